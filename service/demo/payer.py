"""The payer, as the clinic's system reaches it: by HTTP, with nothing but the guides' interfaces."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import httpx

from service.dtr.app.payer import PayerDoor, PayerRefused
from service.fhir import canonical
from service.fhir.build import Json
from service.settings import Settings
from service.wire import FHIR_JSON


class Guides(StrEnum):
    """Which versions of the guides the clinic speaks: 2.0.1 throughout, or CRD 2.2.1, DTR 2.2.0, PAS 2.2.1."""

    NEWEST = "2.2.1"
    OLDEST = "2.0.1"

    @property
    def fhir_base(self) -> str:
        return "/fhir" if self is Guides.NEWEST else "/2.0.1/fhir"

    @property
    def hook_version(self) -> str:
        """The version's name in davinci-crd.requestedVersion."""
        return "2.2" if self is Guides.NEWEST else "2.0"

    @property
    def automatic(self) -> str:
        """information-origin of what the clinic's own software filled in."""
        return "auto-client" if self is Guides.NEWEST else "auto"

    @property
    def reason_codes(self) -> str:
        """Code system of documentation purposes (withpa, ...)."""
        return canonical.CRD_COVERAGE_CODES if self is Guides.NEWEST else canonical.CRD_TEMP


@dataclass(frozen=True, slots=True)
class Payer:
    """The payer's interfaces. Raises PayerRefused for an error answer, EhrUnavailable when there is none."""

    client: httpx.AsyncClient
    settings: Settings

    async def prefetch_templates(self, service_id: str) -> dict[str, str]:
        """What a hook wants to be sent along: key to FHIR query."""
        listed = await self._answer("GET", "/cds-services", None, "application/json")
        for service in listed.get("services", ()):
            if service.get("id") == service_id:
                return dict(service.get("prefetch", {}))
        raise PayerRefused("The payer offers no such hook.")

    async def call_hook(self, service_id: str, request: Json) -> Json:
        return await self._answer("POST", f"/cds-services/{service_id}", request, "application/json")

    async def questionnaire_package(self, guides: Guides, parameters: Json) -> Json:
        path = f"{guides.fhir_base}/Questionnaire/$questionnaire-package"
        return await self._answer("POST", path, parameters, FHIR_JSON)

    async def submit(self, guides: Guides, request: Json) -> Json:
        return await self._answer("POST", f"{guides.fhir_base}/Claim/$submit", request, FHIR_JSON)

    async def inquire(self, guides: Guides, request: Json) -> Json:
        return await self._answer("POST", f"{guides.fhir_base}/Claim/$inquire", request, FHIR_JSON)

    async def _answer(self, method: str, path: str, sent: Json | None, media_type: str) -> Json:
        return await PayerDoor(self.client, self.settings).ask(method, path, sent, media_type)

"""Reading a CommunicationRequest or Task that an answer of ours refers to."""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import NotFound
from service.fhir.build import Json
from service.fhir.canonical import PAS_CLAIM_RESPONSE
from service.pas.dependencies import PasDependencies
from service.pas.filed import filed
from service.pas.information import information_entries
from service.pas.response import claim_response
from service.pas.shape import Rendering, Shape
from service.ports import Caller


@dataclass(frozen=True, slots=True)
class Asked:
    """The use case, in one guide version."""

    dependencies: PasDependencies
    shape: Shape

    async def read(self, kind: str, resource_id: str, caller: Caller) -> Json:
        """What is still asked of this client; NotFound for everything else, answered requests among it."""
        given = self.dependencies
        rendering = Rendering(given.settings, given.codes, self.shape)
        full_url = rendering.own_url(kind, resource_id)
        # Both are known by the control number of what they ask for.
        by_number = await given.store.case_by_number(resource_id)
        found = await given.store.case(by_number.id) if by_number else None
        if found is not None and found[0].client == caller.client:
            case = filed(*found, given.settings)
            response = claim_response(case.case, case.received, rendering, PAS_CLAIM_RESPONSE)
            for entry in information_entries(case.case, response, case.received, rendering):
                if entry["fullUrl"] == full_url:
                    resource: Json = entry["resource"]
                    return resource
        raise NotFound(f"There is no such {kind}, or it has been answered.")

"""Asking a payer by HTTP, with nothing but the guides' interfaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from service.errors import EhrUnavailable, ServiceError
from service.fhir.build import Json
from service.fhir.json import decode, encode
from service.settings import Settings

_UNREADABLE = "The payer's answer could not be read."


class PayerRefused(ServiceError):
    """The payer answered with an error; `text` holds its own words."""


@dataclass(frozen=True, slots=True)
class PayerDoor:
    """One payer's server, where `client` leads. PayerRefused for an error answer, EhrUnavailable for none."""

    client: httpx.AsyncClient
    settings: Settings

    async def ask(
        self, method: str, path: str, sent: Json | None, media_type: str, headers: Mapping[str, str] | None = None
    ) -> Json:
        """The JSON object of a successful answer."""
        content = None if sent is None else encode(sent)
        said = {"Accept": media_type, "Content-Type": media_type, **(headers or {})}
        try:
            response = await self.client.request(method, path, content=content, headers=said)
        except httpx.HTTPError:
            raise EhrUnavailable("The payer could not be reached. Try again in a moment.") from None
        answer = self.read(response.content)
        if response.is_success:
            return answer
        raise PayerRefused(f"The payer answered with an error ({response.status_code}): {_words(answer)}")

    def read(self, body: bytes) -> Json:
        """An answer's JSON object."""
        try:
            answer = decode(body, max_bytes=self.settings.max_body_bytes, max_depth=self.settings.max_depth)
        except ServiceError:
            raise PayerRefused(_UNREADABLE) from None
        if not isinstance(answer, dict):
            raise PayerRefused(_UNREADABLE)
        return answer


def _words(outcome: Json) -> str:
    texts = [_issue_text(issue) for issue in outcome.get("issue", ()) if isinstance(issue, dict)]
    return " ".join(text for text in texts if text) or "no reason was given."


def _issue_text(issue: Json) -> str:
    text: Any = issue.get("details", {}).get("text") or issue.get("diagnostics") or ""
    return str(text)

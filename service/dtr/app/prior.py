"""A request that the payer has on file already: what is sent once more goes to it, as an update (PAS 2.2.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.dtr.app.claim_parts import relation
from service.dtr.pended import waiting_case
from service.errors import ServiceError
from service.fhir.build import Json, entry, extension
from service.fhir.canonical import PAS_CLAIM_UPDATE, PAS_INFO_CHANGED
from service.fhir.json import decode
from service.policy.case import CaseLine, ClientId
from service.policy.decision import Outcome
from service.policy.review import WAITING
from service.ports import Store
from service.settings import Settings

ADDED: Final = "The payer holds this request for review. What you send from here is added to it."
SECOND: Final = (
    "The payer already holds a request of your EHR for this order. What you send from here is a second request: it "
    "is decided by itself, and the payer's reviewers see both."
)
_CLOSED: Final = frozenset({Outcome.DENIED, Outcome.CANCELLED})


@dataclass(frozen=True, slots=True)
class Prior:
    """`entries` are those of the Bundle as it was sent, the Claim's first; `sequence` is the line to change.

    `waits` says whether that line is still to be decided: else nothing is marked as changed, and it stands.
    """

    entries: tuple[Json, ...]
    sequence: int
    waits: bool


@dataclass(frozen=True, slots=True)
class Requests:
    """What the payer has on file. `account` sends the app's requests; without one the launch's own client does."""

    store: Store
    settings: Settings
    account: ClientId | None = None

    def sender(self, client: ClientId) -> ClientId:
        """Whose requests the app's are: nobody changes those of another client."""
        return self.account or client

    async def held(self, context: str | None, client: ClientId) -> str | None:
        """The fullUrl of the Claim that waits under a number of the launch, where it is this client's."""
        named = await waiting_case(context, client, self.store) if context else None
        return named[0].claim_url if named else None

    async def on_file(self, claim_url: str | None, client: ClientId) -> Prior | None:
        """This client's newest request of that Claim; None where it is closed, and needs a new one."""
        case = await self.store.case_for_claim(client, claim_url, ()) if claim_url else None
        if case is None:
            return None
        bodies = await self.store.requests(case.id)
        try:
            limits = {"max_bytes": self.settings.max_body_bytes, "max_depth": self.settings.max_depth}
            entries = tuple(_entries(decode(bodies[0], **limits))) if bodies else ()
        except ServiceError:
            # It was read once; limits may have been lowered since.
            return None
        line = _line(case.lines)
        if line is None or not entries or entries[0]["resource"].get("resourceType") != "Claim":
            return None
        found = line.determination
        return Prior(entries, found.sequence, found.outcome in WAITING)


def as_update(request: Json, prior: Prior) -> Json:
    """The request as a change of the prior one; that goes along with what it refers to, and without its own prior."""
    first, *rest = request["entry"]
    claim, before = first["resource"], prior.entries[0]
    [line] = claim["item"]
    changed = [extension(PAS_INFO_CHANGED, valueCode="changed")] if prior.waits else []
    line = {**line, "extension": [*line["extension"], *changed], "sequence": prior.sequence}
    update = {
        **claim,
        "meta": {"profile": [PAS_CLAIM_UPDATE]},
        "related": [relation(before["fullUrl"])],
        "item": [line],
    }
    own = {held["fullUrl"] for held in request["entry"]}
    named = {name: value for name, value in before["resource"].items() if name != "related"}
    others = [held for held in prior.entries[1:] if held["resource"].get("resourceType") != "Claim"]
    carried = [entry(before["fullUrl"], named), *(held for held in others if held["fullUrl"] not in own)]
    return {**request, "entry": [{**first, "resource": update}, *rest, *carried]}


def _line(lines: tuple[CaseLine, ...]) -> CaseLine | None:
    """The line that waits, else the first that is not closed."""
    still = [line for line in lines if line.determination.outcome not in _CLOSED]
    return next((line for line in still if line.determination.outcome in WAITING), still[0] if still else None)


def _entries(body: Any) -> Iterator[Json]:
    """The entries of a request's Bundle, whether it is the body or in Parameters."""
    if not isinstance(body, Mapping):
        return
    for part in body.get("parameter") or ():
        yield from _entries(part.get("resource"))
    for held in body.get("entry") or ():
        if isinstance(held.get("fullUrl"), str) and isinstance(held.get("resource"), dict):
            yield held

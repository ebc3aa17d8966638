"""What came with a call: prefetch and draft orders as one set of records that references resolve in."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from service.crd.discovery import COVERAGE_KEY, ORDER_KEYS
from service.crd.hooks import HookCall
from service.crd.reading import last_steps, object_at, objects_at, text_at
from service.errors import Fault
from service.fhir.build import Json
from service.fhir.bundle import Entries, Entry
from service.fhir.json import content_hash
from service.fhir.parse import StructureCheck

_LOG: Final = logging.getLogger(__name__)
_NAMES: Final = {
    "patient": "the patient's record",
    COVERAGE_KEY: "the coverage",
    "payor": "the payer's record",
    "medications": "the medication",
    "practitioners": "the prescriber's record",
    "encounter": "the encounter",
}
# The kinds that an answer is made from. Others are never looked at.
_USED: Final = frozenset(
    {"Patient", "Coverage", "Organization", "Medication", "Practitioner", "PractitionerRole", "Encounter"}
)
ORDER_TYPES: Final = frozenset(ORDER_KEYS)
"""Orders that come by prefetch or from the EHR, where a hook only names them. Drafts are read by themselves."""


@dataclass(frozen=True, slots=True)
class Records:
    """Resources of one call. `coverage_supplied` says that the client told us about coverage, if only "none".

    `incomplete` says that something of use was sent that could not be read. `unread` names what was asked of the
    EHR in vain, by prefetch key ("patient", "coverage", "payor", "medications", ...).
    """

    entries: Entries
    coverage_supplied: bool
    incomplete: bool
    unread: tuple[str, ...] = ()

    def all(self, resource_type: str) -> tuple[Json, ...]:
        return self.entries.all(resource_type)

    @property
    def unread_text(self) -> str | None:
        """A sentence that says what the EHR did not give; None when nothing is missing."""
        if not self.unread:
            return None
        names = [
            _NAMES.get(key, "an order" if key in ORDER_KEYS.values() else "part of the record") for key in self.unread
        ]
        listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        return f"{listed[0].upper()}{listed[1:]} could not be read from the EHR."

    def joined(self, resources: Sequence[Json], server: str) -> Records:
        """With resources of the client's server; what was sent goes before what has the same type and id."""
        known = {name for entry in self.entries.all_entries for name in _names(entry)}
        entries: list[Json] = [_bundled(entry) for entry in self.entries.all_entries]
        for resource in resources:
            name = f"{resource['resourceType']}/{resource['id']}"
            if name not in known:
                known.add(name)
                entries.append(_entry(resource, server))
        return replace(self, entries=Entries.of({"entry": entries}))

    def resolve(self, reference: Json, within: Json) -> Json | None:
        """The one resource that a Reference means, or None.

        One call tells of one patient in one record system, so an absolute reference that matches no fullUrl
        (bare prefetched resources have none) is tried by its type and id.
        """
        found = self.entries.resolve(reference, within=within)
        text = text_at(reference, "reference")
        if found is not None or text is None:
            return found
        return self.entries.resolve(last_steps(text), within=within)


def read_records(call: HookCall, check: StructureCheck) -> Records:
    """Index everything of use; what breaks FHIR R4 is left out and noted, and the hook goes on (found-34).

    Keys do not matter: foreign clients use their own. An OperationOutcome under a key says that the client
    failed to get the data, null that it has none (CDS Hooks, prefetch).
    """
    kept: list[Json] = []
    seen: set[str] = set()
    unreadable = 0
    drafted = ((candidate, _USED) for candidate in objects_at(call.draft_orders, "entry"))
    sent = ((candidate, _USED | ORDER_TYPES) for candidate in _prefetched(call))
    for candidate, used in (*drafted, *sent):
        resource = object_at(candidate, "resource")
        if text_at(resource, "resourceType") not in used:
            continue
        if structural_faults(check, resource):
            unreadable += 1
            continue
        identity = content_hash(resource)
        if identity not in seen:
            seen.add(identity)
            kept.append(candidate)
    if unreadable:
        _LOG.warning("resources sent with a hook break FHIR R4 and were left out", extra={"left_out": unreadable})
    entries = Entries.of({"entry": kept})
    told = COVERAGE_KEY in call.prefetch and not _failed(call.prefetch[COVERAGE_KEY])
    return Records(entries, told or bool(entries.all("Coverage")), bool(unreadable))


def structural_faults(check: StructureCheck, resource: object) -> tuple[Fault, ...]:
    """Faults against FHIR R4, elements that R4 does not know apart: those are ignored (CRD 2.2.1 found-33)."""
    return tuple(fault for fault in check.check(resource) if "not an element of" not in fault.problem)


def _prefetched(call: HookCall) -> Iterator[Json]:
    """Each prefetched resource as a Bundle entry; bare ones get the fullUrl that they have on the client's server."""
    for value in call.prefetch.values():
        if not isinstance(value, dict):
            continue
        if value.get("resourceType") == "Bundle":
            yield from objects_at(value, "entry")
        else:
            yield _entry(value, call.fhir_server)


def _entry(resource: Json, server: str | None) -> Json:
    kind, logical_id = text_at(resource, "resourceType"), text_at(resource, "id")
    if server is None or kind is None or logical_id is None:
        return {"resource": resource}
    return {"fullUrl": f"{server}/{kind}/{logical_id}", "resource": resource}


def _names(entry: Entry) -> Iterator[str]:
    kind = text_at(entry.resource, "resourceType")
    own = text_at(entry.resource, "id")
    if own:
        yield f"{kind}/{own}"
    if entry.full_url:
        yield last_steps(entry.full_url)


def _bundled(entry: Entry) -> Json:
    return (
        {"resource": entry.resource}
        if entry.full_url is None
        else {"fullUrl": entry.full_url, "resource": entry.resource}
    )


def may_ask(call: HookCall, key: str) -> bool:
    """Whether what belongs under a prefetch key may be queried: null says that the client has none of it."""
    return key not in call.prefetch or call.prefetch[key] is not None


def _failed(value: Any) -> bool:
    return isinstance(value, dict) and value.get("resourceType") == "OperationOutcome"

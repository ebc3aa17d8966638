"""What a hook needs and was not sent, asked of the client's FHIR server: all at once, inside one deadline."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from service.crd.discovery import COVERAGE_KEY, ORDER_KEYS
from service.crd.hooks import HookCall
from service.crd.prefetch import ORDER_TYPES, Records, may_ask
from service.crd.reading import last_steps, object_at, objects_at, text_at
from service.errors import EhrRefused, EhrUnavailable, PrefetchMissing
from service.fhir.build import Json
from service.fhir.bundle import references
from service.ports import Caller, EhrClient, EhrClients, Resource
from service.settings import Settings

_LOG: Final = logging.getLogger(__name__)
_MARGIN: Final = 1.0  # seconds of a hook's time that are kept for our own records and the answer
_MOST: Final = 40  # requests for one hook: a call that names more is no doctor's
_PEOPLE: Final = frozenset({"Practitioner", "PractitionerRole"})
# Element of a record that says whose it is. Types that are not here are nobody's in particular.
_OWNERS: Final = {
    "Coverage": "beneficiary",
    "Encounter": "subject",
    **dict.fromkeys(ORDER_TYPES, "subject"),
    "NutritionOrder": "patient",
    "VisionPrescription": "patient",
}
_IN_FORCE: Final = ("MedicationRequest", "ServiceRequest")
_WHAT_IS_ORDERED: Final = frozenset({"medications", *(ORDER_KEYS[kind] for kind in _IN_FORCE)})
_GATHERED: Final = "read from the EHR"  # no client's prefetch key
_NOBODYS: Final = _PEOPLE | {"Organization", "Medication"}


@dataclass(frozen=True, slots=True)
class Needs:
    """What an answer is made from, beside patient, Coverage, payer and Medications.

    `references` are records that the call names, (prefetch key, "Type/id" or absolute): dispatched orders, an
    encounter. `active_orders` are wanted where the call names none: (prefetch key, resource type).
    """

    references: tuple[tuple[str, str], ...] = ()
    active_orders: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Ask:
    """One thing to read (an id in `what`), to search (parameters) or to go on reading (a Bundle)."""

    key: str
    kind: str
    logical_id: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    include: tuple[str, str] | None = None
    page: str | None = None

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset({self.kind} | ({self.include[0]} if self.include else set()))


@dataclass(frozen=True, slots=True)
class _Given:
    """The patient's own resources among those that an ask gave; `whole` when nothing is known to be missing."""

    resources: tuple[Json, ...]
    whole: bool


def open_ehr(call: HookCall, caller: Caller, clients: EhrClients | None, settings: Settings) -> EhrClient | None:
    """The client's FHIR server, with what is left of the hook's time; None when nothing can be asked of it."""
    seconds = max(settings.hook_seconds - _MARGIN, settings.hook_seconds / 2)
    deadline = asyncio.get_running_loop().time() + seconds
    if clients is None:
        return None
    named = call.fhir_server, call.access_token
    opened = clients.open(*named, deadline=deadline, registered=caller.fhir_servers)
    return opened if opened and opened.named(f"Patient/{call.patient_id}") else None


def needs_of(call: HookCall) -> Needs:
    """The orders that a hook is about and does not carry: dispatched, booked, or in force during an encounter.

    The Encounter itself is not asked for: no answer is made from it.
    """
    booked = (text_at(reference, "reference") for _, reference in references(dict(call.appointments)))
    named = [*call.dispatched, *(text for text in booked if text)]
    keyed = tuple((key, text) for text in named if (key := ORDER_KEYS.get(last_steps(text).partition("/")[0])))
    in_force = _IN_FORCE if call.about_encounter else ()
    return Needs(keyed, tuple((ORDER_KEYS[kind], kind) for kind in in_force))


def with_orders(call: HookCall, records: Records) -> HookCall:
    """The call as if the client had sent the orders that were gathered."""
    gathered = [order for kind in sorted(ORDER_TYPES) for order in records.all(kind)]
    if not gathered:
        return call
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": order} for order in gathered]}
    return replace(call, prefetch={**call.prefetch, _GATHERED: bundle})


async def gather(call: HookCall, records: Records, needs: Needs, ehr: EhrClient | None) -> Records:
    """The records with what was missing, as far as the EHR gave it; `unread` names the rest.

    What is asked for follows from what is there, so an answer may lead to a further question. PrefetchMissing
    (412) when the Coverage was asked for and not given: without it nothing can be said about any order.
    """
    if ehr is None:
        return _as_sent(call, records, needs)
    tried: dict[_Ask, None] = {}
    running: dict[asyncio.Task[_Given], _Ask] = {}
    try:
        while True:
            for ask in _missing(call, records, needs, ehr):
                if ask not in tried and len(tried) < _MOST:
                    tried[ask] = None
                    running[asyncio.create_task(_fetch(ask, call, ehr))] = ask
            if not running:
                break
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                records = _with(records, running.pop(task), task.result(), ehr)
    finally:
        for task in running:
            task.cancel()
    if not records.coverage_supplied and not call.about_encounter:
        at = f"prefetch.{COVERAGE_KEY}"
        text = f"{at} is missing, and the patient's Coverage could not be read from the FHIR server. Send it along."
        raise PrefetchMissing(text, expression=(at,))
    return records


def is_missing(call: HookCall, records: Records, needs: Needs, ehr: EhrClient) -> bool:
    """Whether `gather` will ask the EHR for anything."""
    return next(_missing(call, records, needs, ehr), None) is not None


def orders_unread(records: Records) -> bool:
    """Whether orders in force, or what one of them orders, were looked for in vain."""
    return not _WHAT_IS_ORDERED.isdisjoint(records.unread)


def _as_sent(call: HookCall, records: Records, needs: Needs) -> Records:
    """What came with the call; a client that failed to find the orders in force has not said that there are none.

    Nor has one that says nothing of them: they are unread, as an empty answer would pass for "nothing is needed".
    PrefetchMissing (412) where nothing at all came; with other data, clients wait for an answer (found-32).
    """
    keys = [key for key, _ in needs.active_orders]
    told = any(key in call.prefetch for key in keys) or any(records.all(kind) for kind in ORDER_TYPES)
    if keys and all(value is None for value in call.prefetch.values()) and not told:
        places = tuple(f"prefetch.{key}" for key in keys)
        text = f"{' and '.join(places)} are missing, and the FHIR server cannot be asked for the orders in force."
        raise PrefetchMissing(f"{text} Send them along, or a token.", expression=places)
    unknown = tuple(key for key in keys if not told or _is_outcome(call.prefetch.get(key)))
    return replace(records, unread=unknown) if unknown else records


def _with(records: Records, ask: _Ask, given: _Given, ehr: EhrClient) -> Records:
    resources = given.resources
    if ask.kind == "Coverage" and ask.page is None:
        # A server may ignore `status`; inactive ones count only where there is no active one.
        active = [r for r in resources if r["resourceType"] != "Coverage" or r.get("status") == "active"]
        resources = tuple(active) if any(r["resourceType"] == "Coverage" for r in active) else resources
    joined = records.joined(resources, ehr.base)
    if not given.whole:
        _LOG.warning("part of what a hook needs could not be read from the EHR")
        joined = replace(joined, unread=tuple(dict.fromkeys((*joined.unread, ask.key))))
    supplied = records.coverage_supplied or bool(joined.all("Coverage"))
    return replace(joined, coverage_supplied=supplied or (ask.key == COVERAGE_KEY and given.whole))


def _missing(call: HookCall, records: Records, needs: Needs, ehr: EhrClient) -> Iterator[_Ask]:
    """Everything that the records so far leave to be asked."""
    yield from _later_pages(call)
    if may_ask(call, "patient") and not any(p.get("id") == call.patient_id for p in records.all("Patient")):
        yield _Ask("patient", "Patient", call.patient_id)
    if not records.coverage_supplied and may_ask(call, COVERAGE_KEY):
        of_patient = (("patient", call.patient_id), ("status", "active"))
        yield _Ask(COVERAGE_KEY, "Coverage", None, of_patient, ("Organization", "Coverage:payor"))
    for key, kind in needs.active_orders:
        if key not in call.prefetch or _is_outcome(call.prefetch[key]):
            of_patient = (("patient", call.patient_id), ("status", "active"))
            yield _Ask(key, kind, None, of_patient)
    for key, holder, reference in _references(call, records, needs):
        text = text_at(reference, "reference")
        named = ehr.named(text) if text else None
        if key == "practitioners" and named and named[0] not in _PEOPLE:
            continue
        if named and may_ask(call, key) and records.resolve(reference, within=holder) is None:
            yield _Ask(key, *named)


def _references(call: HookCall, records: Records, needs: Needs) -> Iterator[tuple[str, Json, Json]]:
    """(prefetch key, resource, Reference) of all that an answer would follow."""
    for key, text in needs.references:
        yield key, {}, {"reference": text}
    for coverage in records.all("Coverage"):
        for payor in objects_at(coverage, "payor"):
            yield "payor", coverage, payor
    drafts = [object_at(entry, "resource") for entry in objects_at(call.draft_orders, "entry")]
    for order in (*drafts, *(order for kind in sorted(ORDER_TYPES) for order in records.all(kind))):
        yield "medications", order, object_at(order, "medicationReference")
        yield "practitioners", order, object_at(order, "requester")
    for role in records.all("PractitionerRole"):
        yield "practitioners", role, object_at(role, "practitioner")


def _later_pages(call: HookCall) -> Iterator[_Ask]:
    for key, value in call.prefetch.items():
        links = objects_at(value, "link") if isinstance(value, dict) else []
        if any(link.get("relation") == "next" for link in links):
            yield _Ask(key, "", page=key)


async def _fetch(ask: _Ask, call: HookCall, ehr: EhrClient) -> _Given:
    """Never raises for what the EHR does: a failure is an answer that says nothing."""
    try:
        resources, complete = await _asked(ask, call, ehr)
    except EhrUnavailable:
        return _Given((), False)
    kinds = ask.kinds if ask.kind else frozenset(_OWNERS) | {"Patient"} | _NOBODYS
    kept = tuple(dict(r) for r in resources if r.get("resourceType") in kinds and _of_patient(r, call, ehr))
    return _Given(kept, complete and len(kept) == len(resources))


async def _asked(ask: _Ask, call: HookCall, ehr: EhrClient) -> tuple[Sequence[Resource], bool]:
    if ask.logical_id is not None:
        return (await ehr.read(ask.kind, ask.logical_id),), True
    if ask.page is not None:
        found = await ehr.rest(call.prefetch[ask.page])
        return found.resources, found.complete
    if ask.include is not None:
        try:
            found = await ehr.search(ask.kind, *ask.parameters, ("_include", ask.include[1]))
            return found.resources, found.complete
        except EhrRefused:
            # Many servers include nothing; what would have been included is then read by itself.
            pass
    found = await ehr.search(ask.kind, *ask.parameters)
    return found.resources, found.complete


def _of_patient(resource: Resource, call: HookCall, ehr: EhrClient) -> bool:
    """Whether a record is this patient's, or nobody's in particular. Whose it is must be said to be believed."""
    kind = str(resource.get("resourceType"))
    if kind == "Patient":
        return resource.get("id") == call.patient_id
    return kind not in _OWNERS or owned_by(resource, _OWNERS[kind], call.patient_id, ehr)


def owned_by(resource: Resource, element: str, patient_id: str, ehr: EhrClient) -> bool:
    """Whether that element refers to the patient on this very server."""
    reference = text_at(object_at(resource, element), "reference")
    return reference is not None and ehr.named(reference) == ("Patient", patient_id)


def _is_outcome(value: object) -> bool:
    return isinstance(value, dict) and value.get("resourceType") == "OperationOutcome"

"""What the guide demands of a request Bundle as a whole, and of a change beside what it changes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Final

from service.errors import Fault
from service.fhir.bundle import references
from service.fhir.canonical import PAS_INFO_CHANGED
from service.pas.certification import certifies_cancellation, changed, removed
from service.pas.codes import X12Codes
from service.pas.elements import Json, extensions, listed, object_of
from service.pas.intake import CLAIM, Received
from service.pas.shape import Version

_GUID: Final = re.compile(r"urn:uuid:[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_URL: Final = re.compile(r"https?://[^\s]+/[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}(/_history/[^/\s]+)?")
# A Provenance points to what it is about; nothing points to it.
_ON_ITS_OWN: Final = frozenset({"Provenance"})
_OF_A_VERSION: Final = ("item", "supportingInfo")
_CHANGE_CODES: Final = frozenset({"changed", "added"})


def bundle_faults(received: Received) -> tuple[Fault, ...]:
    """fullUrls, references that lead nowhere, entries that nothing leads to (spec-13, 16, 18, 20, 66, 67)."""
    return (*_full_urls(received), *_connections(received))


def update_faults(received: Received, version: Version, codes: X12Codes) -> tuple[Fault, ...]:
    """How a change tells what it changes (spec-65, 69 to 72); 2.0.1 leaves the prior Claim out."""
    claim = received.claim
    related = listed(claim, "related")
    found = [*_cancellations(claim, codes), *_change_codes(claim)]
    for index, one in enumerate(related):
        place = f"{CLAIM}.related[{index}].claim"
        prior = received.entries.resolve(object_of(one, "claim"), within=claim, by_identifier=True)
        if prior is None or prior.get("resourceType") != "Claim":
            if version != "2.0.1":
                found.append(Fault(place, "must lead to the Claim that is changed, in the Bundle", "required"))
            continue
        found += _unmarked(claim, prior)
    return tuple(found)


def _full_urls(received: Received) -> Iterator[Fault]:
    for position, entry in enumerate(listed(received.bundle, "entry")):
        url = str(entry.get("fullUrl"))
        if not (_GUID.fullmatch(url) or _URL.fullmatch(url)):
            yield Fault(f"Bundle.entry[{position}].fullUrl", "must be a URL of the resource or urn:uuid:", "value")


def _connections(received: Received) -> Iterator[Fault]:
    entries = received.entries
    reached = {id(received.claim)}
    waiting = deque([received.claim])
    while waiting:
        resource = waiting.popleft()
        entry = entries.entry_of(resource)
        for path, reference in references(resource):
            # What the changed Claim itself changed is not to be sent (spec-66): nothing leads to it.
            if resource is not received.claim and path.startswith("Claim.related["):
                continue
            target = entries.resolve(reference, within=resource)
            if target is None and entry is not None:
                place = path.partition(".")[2]
                yield Fault(f"{entry.expression}.{place}", "leads to no entry, or to several", "not-found")
            elif target is not None and id(target) not in reached and entries.entry_of(target) is not None:
                reached.add(id(target))
                waiting.append(target)
        for target in _identified(received, resource):
            if id(target) not in reached:
                reached.add(id(target))
                waiting.append(target)
    for entry in entries.all_entries:
        if id(entry.resource) not in reached and entry.resource.get("resourceType") not in _ON_ITS_OWN:
            yield Fault(
                entry.expression, "is nothing that the Claim leads to; point to it or leave it out", "invalid"
            )


def _identified(received: Received, resource: Json) -> Iterator[Json]:
    """What a resource names by identifier alone."""
    waiting: list[object] = [resource]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if isinstance(node.get("identifier"), dict) and "reference" not in node:
                found = received.entries.resolve(node, within=resource, by_identifier=True)
                if found is not None and received.entries.entry_of(found) is not None:
                    yield found
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _unmarked(claim: Json, prior: Json) -> Iterator[Fault]:
    """Entries that are new, other than before or gone, and do not say so."""
    for name in _OF_A_VERSION:
        before = {one.get("sequence"): one for one in listed(prior, name)}
        for index, one in enumerate(listed(claim, name)):
            known = before.pop(one.get("sequence"), None)
            if (known is None or _told(one) != _told(known)) and not changed(one):
                problem = "is new or other than before: say so with infoChanged"
                yield Fault(f"{CLAIM}.{name}[{index}]", problem, "required")
        for sequence in before:
            problem = f"lacks sequence {sequence} of the version before; mark it with infoCancelled instead"
            yield Fault(f"{CLAIM}.{name}", problem, "required")


def _told(entry: Json) -> Json:
    kept = [one for one in listed(entry, "extension") if one.get("url") != PAS_INFO_CHANGED]
    return {**entry, "extension": kept}


def _cancellations(claim: Json, codes: X12Codes) -> Iterator[Fault]:
    for index, item in enumerate(listed(claim, "item")):
        if removed(item) and not certifies_cancellation(item, codes):
            yield Fault(f"{CLAIM}.item[{index}]", "is cancelled: its certificationType must say so", "required")


def _change_codes(claim: Json) -> Iterator[Fault]:
    for name in _OF_A_VERSION:
        for index, one in enumerate(listed(claim, name)):
            if any(mark.get("valueCode") not in _CHANGE_CODES for mark in extensions(one, PAS_INFO_CHANGED)):
                yield Fault(
                    f"{CLAIM}.{name}[{index}].extension", "infoChanged must be changed or added", "code-invalid"
                )

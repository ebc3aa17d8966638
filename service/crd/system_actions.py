"""The order given back: untouched, but for our own coverage-information on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from service.crd.orders import Order
from service.crd.reading import last_steps, object_at, objects_at, text_at
from service.fhir.build import Json
from service.fhir.canonical import CRD_COVERAGE_INFORMATION
from service.fhir.json import content_hash
from service.policy.dates import PartialDate

_DATES = frozenset({"date", "expiry-date"})


@dataclass(frozen=True, slots=True)
class Annotation:
    """What to write: our block, the ids of assertions that we made for this coverage, and its Coverage.

    `complete` says that the block is all we have to say; on order-select it is not, and what an earlier answer
    says beyond it stays.
    """

    block: Json
    coverage: str
    our_ids: frozenset[str]
    complete: bool
    today: date
    valid_days: int


def earlier_ids(order: Order) -> Iterator[str]:
    """The assertion ids that the order already carries, whoever made them."""
    for block in objects_at(order.resource, "extension"):
        if block.get("url") == CRD_COVERAGE_INFORMATION:
            found = text_at(_part(block, "coverage-assertion-id"), "valueString")
            if found:
                yield found


def update_action(order: Order, annotation: Annotation) -> Json | None:
    """The system action that writes our block, or None when the order already says it (CRD 2.2.1 resp-35, resp-37).

    Blocks of other payers and other coverages stay as they are. Our earlier ones for this coverage are replaced.
    """
    received = order.resource.get("extension")
    extensions = list(received) if isinstance(received, list) else []
    ours = [index for index, extension in enumerate(extensions) if _is_ours(extension, annotation)]
    if len(ours) == 1 and _says_it_already(extensions[ours[0]], annotation):
        return None
    place = ours[0] if ours else len(extensions)
    kept_before = [item for index, item in enumerate(extensions[:place]) if index not in ours]
    kept_after = [item for index, item in enumerate(extensions) if index >= place and index not in ours]
    return {
        "type": "update",
        "description": f"Added coverage information to {order.reference}",
        "resource": {**order.resource, "extension": [*kept_before, annotation.block, *kept_after]},
    }


def _is_ours(extension: object, annotation: Annotation) -> bool:
    if not isinstance(extension, dict) or extension.get("url") != CRD_COVERAGE_INFORMATION:
        return False
    coverage = text_at(object_at(_part(extension, "coverage"), "valueReference"), "reference")
    if coverage and last_steps(coverage) == last_steps(annotation.coverage):
        return True
    return text_at(_part(extension, "coverage-assertion-id"), "valueString") in annotation.our_ids


def _says_it_already(block: Json, annotation: Annotation) -> bool:
    before, now = _facts(block), _facts(annotation.block)
    same = before == now if annotation.complete else now <= before
    return same and _still_valid(block, annotation)


def _facts(block: Json) -> frozenset[str]:
    """What a block says, the days of saying left aside; that it names such a day counts."""
    parts = objects_at(block, "extension")
    return frozenset(str(part["url"]) if part.get("url") in _DATES else content_hash(part) for part in parts)


def _still_valid(block: Json, annotation: Annotation) -> bool:
    expiry = PartialDate.parse(text_at(_part(block, "expiry-date"), "valueDate") or "")
    made = PartialDate.parse(text_at(_part(block, "date"), "valueDate") or "")
    if expiry:
        return expiry.earliest() >= annotation.today
    return made is not None and made.earliest() + timedelta(days=annotation.valid_days) >= annotation.today


def _part(block: Json, url: str) -> Json:
    return next((part for part in objects_at(block, "extension") if part.get("url") == url), {})

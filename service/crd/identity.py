"""What an order is known by: under its own id, and under another id that asks for exactly the same."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from service.crd.orders import Order
from service.crd.reading import object_at
from service.fhir.build import Json
from service.fhir.json import content_hash
from service.policy.match import Match
from service.ports import Assertion

RENAMED_WITHIN: Final = timedelta(days=30)
"""How old an assertion may be that an order takes over which does not carry it: a draft seldom waits longer."""

# What an order asks for, beside what it names. Id, status and author may change on the way from draft to performer.
_ASKED: Final = (
    "intent",
    "dosageInstruction",
    "quantityQuantity",
    "occurrenceDateTime",
    "occurrencePeriod",
    "occurrenceTiming",
    "start",
    "codeCodeableConcept",
    "serviceType",
)
_SUPPLIED: Final = ("quantity", "numberOfRepeatsAllowed", "expectedSupplyDuration", "validityPeriod")
_NAMING: Final = ("codeCodeableConcept", "serviceType")


@dataclass(frozen=True, slots=True)
class Identity:
    """`key` is the order's own reference with `about`, the patient and what is ordered.

    A client may use an id again for another patient or another drug, so both are part of it; status and dates are
    not, so it stays the same from order-select to order-sign to re-sign. `content` is what exactly is asked for, and
    for whom, under whatever id; "" when the order does not name what it orders, so that nothing can be like it. An
    order without an id is the same one as long as it says the same. All are hashes.
    """

    key: str
    about: str
    content: str

    def shown(self) -> Json:
        return {"about": self.about, "content": self.content}


def identity_of(order: Order, match: Match | None, patient_id: str) -> Identity:
    codes = sorted(f"{code.system}|{code.code}" for code in order.named.codes)
    what = match.policy_id if match else (codes or sorted(order.named.names))
    about = {"patient": patient_id, "what": what}
    known_by = order.reference if order.has_id else _all_of(order.resource)
    return Identity(
        key=content_hash({"order": known_by, **about}),
        about=content_hash(about),
        content=_content(order, codes, patient_id),
    )


def _content(order: Order, codes: list[str], patient_id: str) -> str:
    """A hash that does not change with spelling: of case and spaces, of 1.0 and 1, of element ids.

    References are left out, as drafts and signed orders have their own; a Medication counts by its code.
    """
    if order.unnamed and not any(order.resource.get(name) for name in _NAMING):
        return ""
    supply = object_at(order.resource, "dispenseRequest")
    asked = {
        "type": order.resource["resourceType"],
        "patient": patient_id,
        "codes": codes,
        "names": sorted({_words(name) for name in order.named.names}),
        "asked": {name: order.resource.get(name) for name in _ASKED},
        "supply": {name: supply.get(name) for name in _SUPPLIED},
    }
    return content_hash(_normal(asked))


def _all_of(resource: Json) -> Any:
    """Everything that the order says, but for what changes on its way and what is written on it."""
    return _normal({name: value for name, value in resource.items() if name not in ("extension", "meta", "status")})


def _normal(value: Any) -> Any:
    """The value without absent and empty elements, element ids and references."""
    if isinstance(value, dict):
        kept = {name: _normal(item) for name, item in value.items() if name not in ("id", "reference")}
        return {name: item for name, item in kept.items() if item not in (None, {}, [])}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    if isinstance(value, str):
        return _words(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        # The range of a number was checked when it was read.
        return format(Decimal(value).normalize(), "f")
    return value


def _words(text: str) -> str:
    return " ".join(text.split()).casefold()


def is_same_order(assertion: Assertion, order: Order, identity: Identity, references: Collection[str]) -> bool:
    """Whether an assertion that the order carries is about this order, which has another id by now.

    Clients give a signed order an id of its own and keep the extension (CRD 2.2.1 resp-46); a copy for a further
    treatment carries it too, but asks for something else, or stands beside the order that it was copied from.
    `references` are those of all orders of the call.
    """
    known: Mapping[str, Any] = assertion.shown.get("order") or {}
    if known.get("about") != identity.about:
        return False
    if assertion.order_reference == order.reference:
        return True
    return assertion.order_reference not in references and known.get("content") == identity.content


def renamed(
    alike: Iterable[Assertion], order: Order, references: Collection[str], taken: Collection[str]
) -> Assertion | None:
    """The first of the assertions about the same content that may be this order's from before it had its id.

    Not one that stands for another order of the call: a copy is an order of its own.
    """
    others = set(references) - {order.reference}
    return next((one for one in alike if one.id not in taken and one.order_reference not in others), None)

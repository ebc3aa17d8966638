"""Why the rules may not approve a line, beside its criteria (contract.md, "Never approved by rule unless")."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from service.determine.request import Order, PriorAuthRequest, Receipt, RequestLine, Serviced
from service.fhir.canonical import PAS_INFO_CANCELLED
from service.policy.dates import PartialDate, add_months
from service.policy.decision import Obstacle
from service.policy.match import names_drug
from service.policy.membership import Missing, NoMember, Verdict
from service.policy.model import Policy

PayerIds = frozenset[tuple[str | None, str]]
_DEAD_ORDERS: Final = frozenset({"cancelled", "entered-in-error", "stopped", "revoked"})
# A Condition of which its own record says that the patient does not have it (FHIR R4 condition-ver-status).
_NO_DIAGNOSIS: Final = frozenset({"refuted", "entered-in-error"})
_FURTHEST_MONTHS: Final = 12
_MISSING: Final = {
    Missing.NO_MEMBER_FOUND: Obstacle("member-not-found", "The member id is not in the payer's records."),
    Missing.COVERAGE_NOT_FOUND: Obstacle(
        "coverage-not-found", "The payer's records do not show which coverage of the member is meant."
    ),
    Missing.NO_ACTIVE_COVERAGE: Obstacle(
        "coverage-not-in-force", "By the payer's records the member has no active coverage on the first service date."
    ),
}


@dataclass(frozen=True, slots=True)
class House:
    """Who we are, and whether a Coverage is believed as presented."""

    payer: tuple[str, str]
    trusts_presented_coverage: bool

    def is_us(self, ids: PayerIds) -> bool:
        """One of the identifiers is ours; an identifier without a system is not (it could be anybody's)."""
        return self.payer in ids


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is the same for all lines of a request; `modified` are the Python ids of resources with a modifier.

    `membership` is Receipt's.
    """

    today: PartialDate
    house: House
    modified: frozenset[int]
    membership: Mapping[date, Verdict] | None


def circumstances(request: PriorAuthRequest, receipt: Receipt, house: House) -> Circumstances:
    """Looks through each resource of the evidence once, however many lines rest on it."""
    resources = {id(resource): resource for line in request.lines for resource in line.evidence}
    modified = frozenset(key for key, resource in resources.items() if _is_modified(resource))
    return Circumstances(PartialDate.of(receipt.day), house, modified, receipt.membership)


def obstacles(
    request: PriorAuthRequest, line: RequestLine, policy: Policy, around: Circumstances
) -> tuple[Obstacle, ...]:
    """Every reason found, in the contract's order; empty when nothing but the criteria decides."""
    first = first_service(request, line)
    found = [
        *_code(line, policy),
        *_coverage(request, first),
        *_parties(request, around.house),
        *_membership(request, line, policy, around),
        *_orders(request, line, policy),
        *_conditions(request, line),
        *_serviced(line.serviced, request.created, around.today),
        *_quantity(line, policy),
        *_details(line),
        *_modifiers(line, around.modified),
        *_cancelled(line),
    ]
    return tuple(dict.fromkeys(found))


def first_service(request: PriorAuthRequest, line: RequestLine) -> PartialDate:
    """The earliest start of the line's serviced[x], else Claim.created."""
    return line.serviced.start or request.created


def _code(line: RequestLine, policy: Policy) -> Iterator[Obstacle]:
    if line.named.by_code and not line.named.codes <= set(policy.drug.codes):
        yield Obstacle("code-ambiguous", "The line's codes name more than one thing.")


def _coverage(request: PriorAuthRequest, first: PartialDate) -> Iterator[Obstacle]:
    coverage = request.coverage
    if coverage.get("status") != "active":
        yield Obstacle("coverage-not-active", "The coverage is not active.")
    if not _holds(coverage.get("period") or {}, first):
        yield Obstacle("coverage-period", "The coverage's period does not hold the first service date.")
    if (coverage.get("beneficiary") or {}).get("reference") not in request.patient_references:
        yield Obstacle("coverage-beneficiary", "The coverage's beneficiary is not the request's patient.")


def _holds(period: Mapping[str, Any], day: PartialDate) -> bool:
    """Whether a Period surely holds a day: an unreadable or half-known bound that matters does not."""
    start, end = (PartialDate.parse(str(period[key])) if key in period else None for key in ("start", "end"))
    if ("start" in period and start is None) or ("end" in period and end is None):
        return False
    return (start is None or start.latest() <= day.earliest()) and (end is None or day.latest() <= end.earliest())


def _parties(request: PriorAuthRequest, house: House) -> Iterator[Obstacle]:
    if not house.is_us(request.insurer_ids):
        yield Obstacle("insurer", "The request's insurer is not this payer.")
    if not house.is_us(request.payor_ids):
        yield Obstacle("payor", "The coverage's payor is not this payer.")


def _membership(
    request: PriorAuthRequest, line: RequestLine, policy: Policy, around: Circumstances
) -> Iterator[Obstacle]:
    """By the payer's directory; where none is loaded, only a house that trusts the presented Coverage goes on."""
    if request.member is None:
        yield Obstacle("member-id", "The patient and the coverage do not carry one and the same member id.")
        return
    if around.membership is None:
        if not around.house.trusts_presented_coverage:
            yield Obstacle("member-unverified", "Membership has not been checked: no member directory is loaded.")
        return
    verdict = around.membership.get(first_service(request, line).earliest())
    if verdict is None:
        yield Obstacle("member-unverified", "Membership on the first service date has not been checked.")
    elif isinstance(verdict, NoMember):
        yield _MISSING[verdict.reason]
    elif verdict.excludes(line.named.codes | set(policy.drug.codes)):
        yield Obstacle("plan-excludes", "The member's plan excludes this service.")


def _orders(request: PriorAuthRequest, line: RequestLine, policy: Policy) -> Iterator[Obstacle]:
    for order in line.orders:
        yield from _order(order, request, policy)


def _order(order: Order, request: PriorAuthRequest, policy: Policy) -> Iterator[Obstacle]:
    if order.resource is None:
        yield Obstacle("order-missing", "The order behind the line is not in the request.")
        return
    if not names_drug(policy, order.named):
        yield Obstacle("order-other", "The order behind the line is not for what the line asks for.")
    if (order.resource.get("subject") or {}).get("reference") not in request.patient_references:
        yield Obstacle("order-patient", "The order behind the line is for another patient.")
    if order.resource.get("status") in _DEAD_ORDERS:
        yield Obstacle("order-cancelled", "The order behind the line is cancelled.")
    if order.resource.get("doNotPerform") is True:
        yield Obstacle("order-prohibits", "The order behind the line says not to give the drug.")


def _conditions(request: PriorAuthRequest, line: RequestLine) -> Iterator[Obstacle]:
    """Diagnoses by reference: a Condition says more than its code, and may say that it is none of the patient's."""
    for condition in line.evidence:
        if condition.get("resourceType") != "Condition":
            continue
        statuses = {coding.get("code") for coding in (condition.get("verificationStatus") or {}).get("coding") or ()}
        if statuses & _NO_DIAGNOSIS:
            text = "A diagnosis of the request is a condition that is refuted or was entered in error."
            yield Obstacle("diagnosis-refuted", text)
        if (condition.get("subject") or {}).get("reference") not in request.patient_references:
            yield Obstacle("diagnosis-patient", "A diagnosis of the request is another patient's condition.")


def _details(line: RequestLine) -> Iterator[Obstacle]:
    if line.item.get("detail"):
        text = "The line asks for further products or services in its details. A reviewer decides."
        yield Obstacle("line-details", text)


def _serviced(serviced: Serviced, created: PartialDate, today: PartialDate) -> Iterator[Obstacle]:
    """Of a line without dates the request's own day counts, which then has to be a whole one too."""
    start, end = serviced.start, serviced.end
    if start is None and end is None:
        if not created.is_whole:
            yield Obstacle("service-date-partial", "The service dates are not whole days.")
        return
    if start is None or not start.is_whole or (end is not None and not end.is_whole):
        yield Obstacle("service-date-partial", "The service dates are not whole days.")
    if start is not None and end is not None and end.latest() < start.earliest():
        yield Obstacle("service-dates-inverted", "The service ends before it starts.")
    if start is not None and start.latest() > add_months(today.earliest(), _FURTHEST_MONTHS):
        yield Obstacle("service-too-far", "The service starts more than 12 months after the request was received.")


def _quantity(line: RequestLine, policy: Policy) -> Iterator[Obstacle]:
    quantity = line.item.get("quantity") or {}
    value = quantity.get("value")
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)) or not value > 0:
        yield Obstacle("quantity", "The line does not say a positive quantity.")
        return
    system = line.code_system or policy.drug.billing.system
    known = policy.quantity.units.get(system, ())
    units = [str(quantity[key]).strip().casefold() for key in ("unit", "code") if quantity.get(key)]
    if not units or any(unit not in known for unit in units):
        yield Obstacle("quantity-unit", "The line's quantity is in no unit that the policy knows.")
    if quantity.get("comparator"):
        yield Obstacle("quantity-comparator", "The line's quantity is not an exact amount.")
    most = policy.quantity.maximum.get(system)
    if most is not None and value > most:
        yield Obstacle("quantity-maximum", f"The line asks for more than the {most} that rules may authorize.")


def _modifiers(line: RequestLine, modified: frozenset[int]) -> Iterator[Obstacle]:
    for resource in line.evidence:
        if id(resource) in modified:
            kind = resource.get("resourceType", "resource")
            yield Obstacle(
                "modifier",
                f"A {kind} in the evidence carries a modifier extension or implicit rules that are not known.",
            )


def _is_modified(node: object) -> bool:
    if isinstance(node, Mapping):
        unknown = any(entry.get("url") != PAS_INFO_CANCELLED for entry in node.get("modifierExtension") or ())
        return unknown or "implicitRules" in node or any(_is_modified(value) for value in node.values())
    return isinstance(node, list) and any(_is_modified(value) for value in node)


def _cancelled(line: RequestLine) -> Iterator[Obstacle]:
    for entry in line.item.get("modifierExtension") or ():
        if entry.get("url") == PAS_INFO_CANCELLED and entry.get("valueBoolean") is not False:
            yield Obstacle("line-cancelled", "The line is marked as cancelled.")

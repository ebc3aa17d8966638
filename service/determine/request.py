"""A prior authorization request as values: what pas/request.py parses a PAS Bundle into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from service.policy.case import MemberId, Npi
from service.policy.dates import PartialDate
from service.policy.match import Named
from service.policy.membership import Verdict
from service.ports import Resource


@dataclass(frozen=True, slots=True)
class Serviced:
    """A line's serviced[x] as written. Both None when absent; a servicedDate has the same start and end."""

    start: PartialDate | None
    end: PartialDate | None


@dataclass(frozen=True, slots=True)
class Order:
    """What requestedService points to. `resource` is None when the Bundle does not hold it.

    `named` is how the order names its drug, a Medication that it refers to included.
    """

    reference: str
    resource: Resource | None
    named: Named


@dataclass(frozen=True, slots=True)
class RequestLine:
    """One Claim.item with everything it points to, resolved.

    `path` is its FHIRPath from the Bundle. `code` is the code as received (HCPCS or NDC first), for display.
    `diagnoses` are Claim.diagnosis elements that count for the line (those it points to, else all), each as a
    dict with diagnosisCodeableConcept (a diagnosisReference already resolved into the Condition's code).
    `responses` are the QuestionnaireResponses of the supportingInfo that the line points to (else of all),
    also those inside a DTR response Bundle, in the Bundle's order.
    `evidence` are all resources that the line's decision rests on.
    """

    sequence: int
    path: str
    item: Resource
    named: Named
    code: str | None
    code_system: str | None
    serviced: Serviced
    diagnoses: tuple[Resource, ...]
    responses: tuple[Resource, ...]
    orders: tuple[Order, ...]
    evidence: tuple[Resource, ...]


@dataclass(frozen=True, slots=True)
class PriorAuthRequest:
    """A parsed PAS request. Resources are untouched; references are compared through `same_patient`.

    `patient_references` are all the texts by which the Bundle's Patient may be referred to (its fullUrl and
    Type/id), so that "subject is the claim's patient" is a membership test. `insurer_ids` and `payor_ids` are
    (system, value) identifiers of the Organizations that Claim.insurer and Coverage.payor lead to.
    `created` is Claim.created's date as written, `created_at` its instant when it has a time and zone.
    """

    claim: Resource
    patient: Resource
    coverage: Resource
    patient_references: frozenset[str]
    insurer_ids: frozenset[tuple[str | None, str]]
    payor_ids: frozenset[tuple[str | None, str]]
    patient_member_ids: frozenset[str]
    coverage_member_ids: frozenset[str]
    provider_npis: frozenset[Npi]
    claim_identifiers: tuple[str, ...]
    created: PartialDate
    created_at: datetime | None
    lines: tuple[RequestLine, ...]

    @property
    def member(self) -> MemberId | None:
        """The member id that Patient and Coverage agree on; None when they do not, or one gives none."""
        agreed = self.patient_member_ids & self.coverage_member_ids
        return MemberId(min(agreed)) if agreed else None


@dataclass(frozen=True, slots=True)
class Receipt:
    """When the request arrived, which is when the rules decide (aware, UTC), and whose it is by our records.

    `membership` is the member directory's verdict by first service date; None when no directory is loaded.
    """

    received_at: datetime
    membership: Mapping[date, Verdict] | None = None

    @property
    def day(self) -> date:
        return self.received_at.date()

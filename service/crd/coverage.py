"""The one Coverage of a call: is it ours, whose is it, and when does it hold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from service.crd.discovery import COVERAGE_KEY
from service.crd.hooks import HookCall
from service.crd.prefetch import Records
from service.crd.reading import identifiers, last_steps, member_ids, object_at, objects_at, text_at
from service.errors import Fault, InvalidResource, PrefetchMissing
from service.fhir.build import Json
from service.policy.case import MemberId
from service.policy.dates import PartialDate
from service.settings import Settings

_AT: Final = f"prefetch.{COVERAGE_KEY}"


@dataclass(frozen=True, slots=True)
class PresentedCoverage:
    """The client's Coverage, checked to be one of ours.

    `reference` is the client's own name for it. `member` is the member id that Coverage and Patient agree on,
    `numbers` are its ids in our own system.
    `doubt` says, in our words, why it may not be this patient's.
    """

    reference: str
    member: MemberId | None
    doubt: str | None
    active: bool
    start: PartialDate | None
    end: PartialDate | None
    numbers: frozenset[str] = frozenset()

    def holds_on(self, day: date) -> bool:
        """Whether it may be in force on that day; a partial date counts for every day that it may stand for."""
        starts_later = self.start is not None and self.start.earliest() > day
        ended = self.end is not None and self.end.latest() < day
        return self.active and not starts_later and not ended


def read_coverage(call: HookCall, records: Records, settings: Settings) -> PresentedCoverage:
    """The Coverage, or why there is no answer.

    PrefetchMissing (412) when none was sent and none could be asked for; InvalidResource (400) for none at all,
    several, or one that does not name us as payer by identifier (CRD 2.2.1 hook-13).
    """
    if not records.coverage_supplied:
        text = f"{_AT} is missing. Send the patient's active Coverage, as the service's prefetch template says."
        raise PrefetchMissing(text, expression=(_AT,))
    coverages = records.all("Coverage")
    if len(coverages) != 1:
        problem = "holds several Coverages, where only the primary one belongs" if coverages else "holds no Coverage"
        raise _refused(problem)
    coverage = coverages[0]
    payer_doubt = _require_our_payer(coverage, records, settings)
    period = object_at(coverage, "period")
    member, doubt = _member(coverage, call, records, settings)
    return PresentedCoverage(
        reference=_reference(coverage, records),
        member=None if payer_doubt else member,
        doubt=payer_doubt or doubt,
        active=coverage.get("status") == "active",
        start=_day(period, "start"),
        end=_day(period, "end"),
        numbers=frozenset(v for _, system, v in identifiers(coverage) if system == settings.coverage_system),
    )


def trusts_presented(settings: Settings) -> bool:
    """Whether the presented Coverage is believed: by an explicit setting, or in the demo (contract, Demo payer)."""
    return settings.trust_presented_coverage or settings.demo


def _require_our_payer(coverage: Json, records: Records, settings: Settings) -> str | None:
    """Refuses other payers; why it is in doubt where the EHR did not give the payer's record (crd.md T22)."""
    payors = objects_at(coverage, "payor")
    if len(payors) != 1:
        # With several payors it is in doubt whose coverage this is.
        raise _refused("has a Coverage whose payor is not exactly one Organization")
    organization = records.resolve(payors[0], within=coverage)
    # An identifier beside a reference counts only where there is no Organization to read: two that disagree
    # must not let either stand for the payer.
    named = organization or {"identifier": [object_at(payors[0], "identifier")]}
    known = [(system, value) for _, system, value in identifiers(named)]
    if not known and "payor" in records.unread:
        return "The payer of the coverage could not be read from the EHR."
    if not known:
        raise _refused("has a Coverage whose payor has no identifier; send the payer's Organization with it")
    if (settings.payer_id_system, settings.payer_id) not in known:
        raise _refused("has a Coverage whose payor is not a payer that this endpoint answers for")
    return None


def _reference(coverage: Json, records: Records) -> str:
    logical_id = text_at(coverage, "id")
    if logical_id:
        return f"Coverage/{logical_id}"
    full_url = records.entries.full_url_of(coverage)
    if full_url:
        return full_url
    raise _refused("has a Coverage without an id, which an answer cannot refer to")


def _member(
    coverage: Json, call: HookCall, records: Records, settings: Settings
) -> tuple[MemberId | None, str | None]:
    """Member ids: Patient's and Coverage's of type MB, else the subscriber id; they may not disagree."""
    beneficiary = text_at(object_at(coverage, "beneficiary"), "reference")
    if beneficiary and last_steps(beneficiary).startswith("Patient/") and not _is_patient(beneficiary, call):
        return None, "The Coverage that was sent names another beneficiary than the patient of the order."
    on_coverage = member_ids(coverage, settings.member_system)
    subscriber = text_at(coverage, "subscriberId")
    on_coverage = on_coverage or frozenset({subscriber.strip()} if subscriber else ())
    patients = [patient for patient in records.all("Patient") if patient.get("id") == call.patient_id]
    on_patient = frozenset(m for patient in patients for m in member_ids(patient, settings.member_system))
    if not on_patient:
        return (MemberId(min(on_coverage)) if on_coverage else None), None
    agreed = on_patient & on_coverage
    if on_coverage and not agreed:
        return None, "The member numbers of the patient and of the Coverage differ."
    return MemberId(min(agreed or on_patient)), None


def _is_patient(reference: str, call: HookCall) -> bool:
    return last_steps(reference) == f"Patient/{call.patient_id}"


def _day(period: Json, name: str) -> PartialDate | None:
    text = text_at(period, name)
    return PartialDate.parse(text) if text else None


def _refused(problem: str) -> InvalidResource:
    text = f"{_AT} {problem}."
    return InvalidResource(text, faults=(Fault(_AT, problem, "business-rule"),), expression=(_AT,))

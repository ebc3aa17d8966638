"""A case as a reviewer reads it: facts of the request, and each line's criteria with the evidence beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.form.answers import SOURCE
from service.form.questionnaire import read_form
from service.pas.elements import Json, listed, member_ids, npis, object_of, text_of
from service.pas.filed import Filed
from service.policy.case import Case, CaseLine
from service.policy.dates import DatePeriod, authorized_period
from service.policy.decision import Administrative, Clinician, Decision, Reviewer
from service.policy.finding import Evidence, Finding, Status
from service.policy.review import WAITING
from service.ports import LoadedPolicy, PolicyRegistry
from service.review.documents import Origins, origins_of


@dataclass(frozen=True, slots=True)
class EvidenceView:
    """One thing that was read. `where` is the question, or the element of the record; `origins` who answered it."""

    source: str
    where: str
    shown: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FindingView:
    """A criterion in the payer's words, its status, and what that rests on."""

    id: str
    text: str
    citation: str
    status: str
    evidence: tuple[EvidenceView, ...]
    conflicts: tuple[EvidenceView, ...]
    missing: tuple[str, ...]
    unmet_quote: str | None


@dataclass(frozen=True, slots=True)
class Reason:
    """A specific reason to deny, as it is told; `key` names it in the form and in the record."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class LineView:
    """One line. `valid` is what an approval as requested lasts; `quantity` as requested, empty when none was."""

    sequence: int
    code: str
    product: str
    serviced: str
    quantity: str
    unit: str
    outcome: str
    waits: bool
    reference_number: str
    authorization_number: str | None
    period: DatePeriod | None
    granted: str | None
    previous: str | None
    decided_by: str
    reasons: tuple[str, ...]
    policy: str | None
    pathway: str | None
    findings: tuple[FindingView, ...]
    obstacles: tuple[str, ...]
    notes: tuple[str, ...]
    valid: DatePeriod | None
    denials: tuple[Reason, ...]

    @property
    def asks_form(self) -> bool:
        """Whether a question of the form is open, so that it can be asked again."""
        return any(finding.missing for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody in the request: what they are to it, their name, and their ids."""

    part: str
    name: str
    ids: str


@dataclass(frozen=True, slots=True)
class CaseView:
    """What the case page shows of the case itself."""

    case: Case
    member_name: str
    birth_date: str
    gender: str
    parties: tuple[Party, ...]
    diagnoses: tuple[str, ...]
    overdue: bool
    left: str
    lines: tuple[LineView, ...]

    @property
    def waits(self) -> bool:
        return self.case.replaced_by is None and any(line.waits for line in self.lines)


def case_view(case: Case, filed: Filed, registry: PolicyRegistry, now: datetime) -> CaseView:
    """The case beside its request; `now` tells the time that is left."""
    patient = _target(filed, "patient") or {}
    origins = origins_of(filed)
    return CaseView(
        case=case,
        member_name=name_of(patient),
        birth_date=text_of(patient, "birthDate") or "not given",
        gender=text_of(patient, "gender") or "not given",
        parties=tuple(_parties(filed)),
        diagnoses=tuple(_diagnoses(filed.received.claim)),
        overdue=is_overdue(case, now),
        left=time_left(case, now),
        lines=tuple(_line(line, filed, registry, origins) for line in case.lines),
    )


def is_overdue(case: Case, now: datetime) -> bool:
    return case.due is not None and case.due < now


def time_left(case: Case, now: datetime) -> str:
    """How long until the deadline, or since it passed, in the largest two units."""
    if case.due is None:
        return "no deadline"
    minutes = int(abs((case.due - now).total_seconds()) // 60)
    days, hours, minutes = minutes // 1440, minutes % 1440 // 60, minutes % 60
    span = f"{days} d {hours} h" if days else f"{hours} h {minutes} min"
    return f"overdue by {span}" if case.due < now else f"{span} left"


def name_of(resource: Json) -> str:
    """A person's or organization's name."""
    plain = text_of(resource, "name")
    if plain:
        return plain
    name = next(iter(listed(resource, "name")), {})
    given = name.get("given")
    parts = [*map(str, given if isinstance(given, list) else ()), text_of(name, "family") or ""]
    return text_of(name, "text") or " ".join(part for part in parts if part) or "not given"


def _target(filed: Filed, name: str) -> Json | None:
    reference = object_of(filed.received.claim, name)
    entries = filed.received.entries
    return entries.resolve(reference, within=filed.received.claim, by_identifier=True) if reference else None


def _parties(filed: Filed) -> Iterator[Party]:
    patient = _target(filed, "patient")
    if patient is not None:
        yield Party("Member", name_of(patient), ", ".join(sorted(member_ids(patient, None))) or "no member id")
    for kind in ("Organization", "Practitioner"):
        for resource in filed.received.entries.all(kind):
            ids = ", ".join(sorted(npis(resource)))
            if ids:
                yield Party("Provider", name_of(resource), f"NPI {ids}")


def _diagnoses(claim: Json) -> Iterator[str]:
    for diagnosis in listed(claim, "diagnosis"):
        for coding in listed(object_of(diagnosis, "diagnosisCodeableConcept") or {}, "coding"):
            yield " ".join(filter(None, (text_of(coding, "code"), text_of(coding, "display"))))


def _line(line: CaseLine, filed: Filed, registry: PolicyRegistry, origins: Origins) -> LineView:
    found = line.determination
    item = filed.items[found.sequence]
    loaded = _loaded(line, registry)
    quantity = object_of(item, "quantity") or {}
    period = filed.serviced(found.sequence)
    questions = _questions(line, loaded)
    return LineView(
        sequence=found.sequence,
        code=found.code or "",
        product=_product(item, loaded),
        serviced=f"{period.start} to {period.end}" if period else "not given",
        quantity=str(quantity.get("value", "")),
        unit=text_of(quantity, "unit") or text_of(quantity, "code") or "",
        outcome=found.outcome.value,
        waits=found.outcome in WAITING,
        reference_number=line.reference_number,
        authorization_number=line.authorization_number,
        period=found.period,
        granted=_granted(line),
        previous=_previous(line),
        decided_by=decided_by(found.decision),
        reasons=found.decision.reasons,
        policy=f"{loaded.policy.title} {loaded.policy.document}" if loaded else None,
        pathway=found.pathway,
        findings=tuple(_finding(finding, questions, origins) for finding in found.findings),
        obstacles=tuple(obstacle.text for obstacle in found.obstacles),
        notes=found.notes,
        valid=_valid(period, loaded),
        denials=tuple(_denials(found.findings)),
    )


def decided_by(decision: Decision) -> str:
    """Who is behind a decision, in words."""
    by = decision.by
    if isinstance(by, Clinician):
        return f"{by.name}, NPI {by.npi}, specialty {by.specialty}"
    if isinstance(by, Reviewer):
        return by.name
    return f"the plan's terms ({by.code})" if isinstance(by, Administrative) else "the policy's rules"


def _loaded(line: CaseLine, registry: PolicyRegistry) -> LoadedPolicy | None:
    """The revision that decided; None when none did, or when it is loaded no more."""
    ref = line.determination.policy
    return next((loaded for loaded in registry.all() if ref and loaded.policy.ref == ref), None)


def _questions(line: CaseLine, loaded: LoadedPolicy | None) -> dict[str, str]:
    name = line.determination.pathway
    pathway = loaded.policy.pathways.get(name) if loaded and name else None
    if loaded is None or pathway is None:
        return {}
    form = read_form(loaded.questionnaires[pathway.questionnaire])
    return {str(link_id): question.text for link_id, question in form.questions.items()}


def _finding(finding: Finding, questions: dict[str, str], origins: Origins) -> FindingView:
    def views(found: Sequence[Evidence]) -> tuple[EvidenceView, ...]:
        return tuple(_evidence(item, questions, origins) for item in found)

    criterion = finding.criterion
    return FindingView(
        id=criterion.id,
        text=criterion.text,
        citation=str(criterion.citation),
        status=finding.status.value,
        evidence=views(finding.evidence),
        conflicts=views(finding.conflicts),
        missing=tuple(questions.get(link_id, link_id) for link_id in finding.missing),
        unmet_quote=criterion.unmet_quote,
    )


def _evidence(item: Evidence, questions: dict[str, str], origins: Origins) -> EvidenceView:
    if item.source != SOURCE:
        return EvidenceView(item.source, item.path, item.shown, ())
    where = questions.get(item.path, item.path)
    return EvidenceView("Form", where, item.shown, origins.by_link_id.get(item.path, ()))


def _denials(findings: Sequence[Finding]) -> Iterator[Reason]:
    """Reasons in the policy's words: each criterion that is not shown to be met, then the policy's own sentences."""
    for finding in findings:
        if finding.status is not Status.MET:
            text = f"Not met: {finding.criterion.text} ({finding.criterion.citation})."
            yield Reason(f"criterion:{finding.criterion.id}", text)
    for finding in findings:
        if finding.criterion.unmet_quote:
            yield Reason(f"sentence:{finding.criterion.id}", f"The policy says: {finding.criterion.unmet_quote}.")


def _product(item: Json, loaded: LoadedPolicy | None) -> str:
    """What the line asks for, in the request's words, else in the policy's, else by its code."""
    concept: dict[str, Any] = object_of(item, "productOrService") or {}
    coding = next(iter(listed(concept, "coding")), {})
    said = text_of(concept, "text") or text_of(coding, "display")
    return said or (loaded.policy.drug.display if loaded else None) or text_of(coding, "code") or "not given"


def _granted(line: CaseLine) -> str | None:
    granted = line.determination.granted
    if granted is None:
        return None
    parts = [f"{granted.quantity} {granted.unit or ''}".strip() if granted.quantity is not None else ""]
    parts.append(f"{granted.serviced.start} to {granted.serviced.end}" if granted.serviced else "")
    return ", ".join(part for part in parts if part)


def _previous(line: CaseLine) -> str | None:
    """What an earlier version of the request was granted, which stands until this one is decided."""
    before = line.previous
    return f"{before.number}, {before.period.start} to {before.period.end}" if before else None


def _valid(period: DatePeriod | None, loaded: LoadedPolicy | None) -> DatePeriod | None:
    if period is None or loaded is None:
        return period
    return authorized_period(period.start, loaded.policy.approval_months)

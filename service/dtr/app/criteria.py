"""The policy's criteria under the answers so far: met, not met, or open, by the rules that will decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from service.determine.evidence import evaluation, results
from service.determine.request import PriorAuthRequest, RequestLine, Serviced
from service.determine.responses import count_responses
from service.dtr.app.opening import Opened
from service.dtr.order import requested_start
from service.errors import DeadlinePassed, EngineFailed
from service.fhir.build import Json
from service.policy.dates import PartialDate
from service.policy.finding import CriterionResult, Finding, Status, assess
from service.policy.match import Named
from service.ports import Evaluator, Resource

_WORDS: Final = {Status.MET: "met", Status.UNMET: "not met", Status.UNKNOWN: "open"}


@dataclass(frozen=True, slots=True)
class CriterionState:
    """One criterion as shown: `status` is "met", "not met" or "open"; `questions` are its linkIds."""

    id: str
    text: str
    citation: str
    status: str
    questions: tuple[str, ...]


async def criteria(opened: Opened, response: Json, evaluator: Evaluator, now: datetime) -> tuple[CriterionState, ...]:
    """Every criterion of the form's pathway, in the policy's order; all are open when the logic cannot be run."""
    request, line = _request(opened, response, now)
    counted = count_responses(request, line, opened.loaded)
    start = line.serviced.start or PartialDate.of(now.date())
    try:
        values = await evaluator.evaluate(evaluation(request, line, counted, opened.loaded, (start, now)))
        answered = results(counted.pathway, values)
    except (EngineFailed, DeadlinePassed):
        answered = {criterion.define: CriterionResult(None) for criterion in counted.pathway.criteria}
    reading = counted.reading
    findings = assess(counted.pathway.criteria, answered, missing=reading.missing, doubts=reading.doubts)
    return tuple(_state(finding) for finding in findings)


def diagnoses(opened: Opened) -> tuple[Resource, ...]:
    """CodeableConcepts of why the order was written: conditions that it names, then reasons that it holds itself."""
    order = opened.matter.order
    named = {str(each.get("reference", "")).rpartition("/")[2] for each in order.get("reasonReference") or ()}
    found = [c["code"] for c in opened.conditions if c.get("id") in named and isinstance(c.get("code"), Mapping)]
    return (*found, *(each for each in order.get("reasonCode") or () if isinstance(each, Mapping)))


def _request(opened: Opened, response: Json, now: datetime) -> tuple[PriorAuthRequest, RequestLine]:
    """As much of a request as the criteria look at."""
    patient = opened.matter.patient
    start = PartialDate.of(requested_start(opened.matter.order, now.date()))
    line = RequestLine(
        sequence=1,
        path="",
        item={},
        named=Named(codes=frozenset(), names=(), by_code=False),
        code=None,
        code_system=None,
        serviced=Serviced(start, start),
        diagnoses=tuple({"diagnosisCodeableConcept": concept} for concept in diagnoses(opened)),
        responses=({**response, "status": "completed"},),
        orders=(),
        evidence=(),
    )
    request = PriorAuthRequest(
        claim={},
        patient=patient,
        coverage=opened.matter.coverage,
        patient_references=_references(response, patient),
        insurer_ids=frozenset(),
        payor_ids=frozenset(),
        patient_member_ids=frozenset(),
        coverage_member_ids=frozenset(),
        provider_npis=frozenset(),
        claim_identifiers=(),
        created=PartialDate.of(now.date()),
        created_at=now,
        lines=(line,),
    )
    return request, line


def _references(response: Json, patient: Resource) -> frozenset[str]:
    subject: Any = (response.get("subject") or {}).get("reference")
    return frozenset({f"Patient/{patient['id']}", str(subject)})


def _state(finding: Finding) -> CriterionState:
    criterion = finding.criterion
    return CriterionState(
        criterion.id, criterion.text, str(criterion.citation), _WORDS[finding.status], tuple(criterion.link_ids)
    )


def questions_of(states: Sequence[CriterionState]) -> dict[str, list[CriterionState]]:
    """By linkId, the criteria that a question serves."""
    found: dict[str, list[CriterionState]] = {}
    for state in states:
        for link_id in state.questions:
            found.setdefault(link_id, []).append(state)
    return found

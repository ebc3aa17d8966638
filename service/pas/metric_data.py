"""PASMetricData of PAS 2.2.1 for one call, as the payer sees it, without the patient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from service.fhir.build import Json, coding
from service.fhir.canonical import CRD_COVERAGE_INFORMATION, LOINC, NPI, PAS_REQUESTED_SERVICE
from service.pas.dependencies import PasDependencies
from service.pas.elements import codings, extensions, npis, object_of, text_of
from service.pas.filed import Filed
from service.pas.parties import Parties, parties_of
from service.policy.case import Case, CaseLine, ClientId
from service.policy.decision import Outcome
from service.policy.review import WAITING

Operation = Literal["submit", "inquire", "attach"]

# PASMetricData.itemDetail.result has no word for an error, and one for all that waits.
_RESULTS: Final = {
    Outcome.APPROVED: "approved",
    Outcome.MODIFIED: "modified",
    Outcome.DENIED: "denied",
    Outcome.PENDED: "pended",
    Outcome.NOT_COVERED_BY_POLICY: "pended",
    Outcome.CANCELLED: "cancelled",
}


@dataclass(frozen=True, slots=True)
class Story:
    """What came before a call about the same request.

    `versions` are the cases of its chain, oldest first, the one that was answered last; `answers` the lines of each
    answer so far (sequence -> decision, in the contract's words), oldest first; `attached` the control numbers under
    which information arrived by $submit-attachment.
    """

    versions: Sequence[Case]
    answers: Sequence[Mapping[int, str]]
    attached: Sequence[str]


@dataclass(frozen=True, slots=True)
class Measured:
    """One call: when, by whom, how it ended, and the case behind it. `issues` are (issue code, our words)."""

    operation: Operation
    client: ClientId
    requested_at: datetime
    answered_at: datetime
    status: int
    issues: tuple[tuple[str, str], ...]
    filed: Filed | None
    story: Story | None


def metric_data(call: Measured, dependencies: PasDependencies) -> Json:
    """The logical model as JSON. What a refused call does not tell is left out.

    Never known here: itemDetail.trn, which is an integer there and text in every request, exceptionSubmission, which
    is about a grant to the payer, and codes of AAA for one item, as a refusal is of the whole.
    """
    settings, found = dependencies.settings, call.filed
    parties = parties_of(found.received, settings.member_system) if found else None
    organization = _organization(found, parties) if found and parties else None
    provider = _provider(found.case, organization) if found else None
    return {
        "source": "payer-src",
        **({"providerId": {"system": NPI, "value": provider}} if provider else {}),
        "groupId": {"system": NPI, "value": organization} if organization else {"value": call.client},
        "payerId": {"system": settings.payer_id_system, "value": settings.payer_id},
        "exchange": [
            {
                "type": _exchange_type(call),
                "with": "provider",
                "method": "restful",
                "requestTime": call.requested_at.isoformat(),
                "responseTime": call.answered_at.isoformat(),
                "httpResponse": str(call.status),
            }
        ],
        **_listed("issue", [{"code": code, "details": {"text": text}} for code, text in call.issues]),
        **_listed("aaaCodes", list(_rejects(call, dependencies))),
        **_listed("itemDetail", list(_items(found, call.story, dependencies)) if found and call.story else []),
        **(_supporting(found, dependencies) if found else {}),
        **_listed("requestedDoc", list(_documents(found, call.story)) if found and call.story else []),
        **(_business_line(parties, dependencies) if parties else {}),
    }


def _organization(found: Filed, parties: Parties) -> str | None:
    """The NPI of the organization that asks: the requestor, else that of its role."""
    provider = parties.provider
    if provider is not None and provider.get("resourceType") == "PractitionerRole":
        behind = object_of(provider, "organization")
        provider = found.received.entries.resolve(behind, within=provider, by_identifier=True) if behind else None
    if provider is None or provider.get("resourceType") != "Organization":
        return None
    return min(npis(provider), default=None)


def _provider(case: Case, organization: str | None) -> str | None:
    """A person where the request names one."""
    people = sorted(case.providers - {organization})
    return people[0] if people else organization


def _exchange_type(call: Measured) -> str:
    """What a call was; one that was refused before anything was filed counts as the first of its kind."""
    if call.operation == "inquire":
        return "query"
    if call.operation == "attach":
        return "subsequent" if call.story and len(call.story.attached) > 1 else "initialDocToPayer"
    if call.filed is None or call.filed.case.replaces is None:
        return "initial"
    case = call.filed.case
    cancelled = all(line.determination.outcome is Outcome.CANCELLED for line in case.lines)
    return "cancel" if cancelled else "update"


def _rejects(call: Measured, dependencies: PasDependencies) -> Iterator[Json]:
    """X12 AAA: the loop and the code of each refusal."""
    if call.filed is None or call.filed.case.outcome is not Outcome.ERROR:
        return
    lines = call.filed.case.lines
    for key in dict.fromkeys(obstacle.code for line in lines for obstacle in line.determination.obstacles):
        reject = dependencies.codes.rejects[key]
        yield {"loopID": reject.element.partition("-")[0], "aaaCode": reject.code}


def _items(found: Filed, story: Story, dependencies: PasDependencies) -> Iterator[Json]:
    codes = dependencies.codes
    for line in found.case.lines:
        outcome, sequence = line.determination.outcome, line.determination.sequence
        item = found.items[sequence]
        # Codes only: a text may say anything, also about the patient.
        said = codings(item.get("productOrService"))
        decided = outcome not in WAITING | {Outcome.ERROR}
        place = next(
            (codes.places[one] for one in codings(item.get("locationCodeableConcept")) if one in codes.places), None
        )
        optional = {
            "assertionId": _assertion(item, found),
            "finalResponseTime": (line.issued_at or found.case.decided_at).isoformat() if decided else None,
            "locationType": place,
            "result": _RESULTS.get(outcome),
            "denialReason": codes.reason_code(line.determination.decision) if outcome is Outcome.DENIED else None,
        }
        yield {
            "item": {"coding": [coding(*one) for one in said]} if said else {"text": "no code"},
            "initialSubmissionTime": _first_asked(sequence, story).isoformat(),
            "responsesRequired": _responses(line, story),
            **{name: value for name, value in optional.items() if value},
        }


def _first_asked(sequence: int, story: Story) -> datetime:
    """When the version arrived that had the line first."""
    with_line = (
        case for case in story.versions if any(line.determination.sequence == sequence for line in case.lines)
    )
    return next(with_line).received_at


def _responses(line: CaseLine, story: Story) -> int:
    """How many answers it took, or has taken so far: each that left the line waiting, and the one that decided it."""
    sequence = line.determination.sequence
    waited = sum(answer.get(sequence) in {outcome.value for outcome in WAITING} for answer in story.answers)
    return waited if line.determination.outcome in WAITING else waited + 1


def _assertion(item: Mapping[str, Any], found: Filed) -> str | None:
    """The coverage-assertion-id that CRD left on the order behind the line (pas.md 1.11)."""
    for requested in extensions(item, PAS_REQUESTED_SERVICE):
        reference = object_of(requested, "valueReference")
        order = found.received.entries.resolve(reference, within=found.received.claim)
        for information in extensions(order or {}, CRD_COVERAGE_INFORMATION):
            for part in extensions(information, "coverage-assertion-id"):
                return text_of(part, "valueString")
    return None


def _supporting(found: Filed, dependencies: PasDependencies) -> Json:
    """The form of ours whose answers came with the request; the model has place for one."""
    for entry in found.received.entries.all_entries:
        form = text_of(entry.resource, "questionnaire")
        if form and dependencies.registry.questionnaire(form):
            return {"supportingDoc": form}
    return {}


def _documents(found: Filed, story: Story) -> Iterator[Json]:
    for asked in found.case.asked:
        code = {"coding": [coding(LOINC, asked.loinc)]} if asked.loinc else {"text": "payer questionnaire"}
        method = "CDex" if asked.control_number in story.attached else "other"
        yield {
            "docRequest": [code],
            "timeRequested": asked.asked_at.isoformat(),
            **(
                {"timeSubmitted": asked.answered_at.isoformat(), "submissionMethod": method}
                if asked.answered_at
                else {}
            ),
        }


def _business_line(parties: Parties, dependencies: PasDependencies) -> Json:
    """The payer's own name for it, and what the Coverage says of its type, in codes."""
    own = dependencies.deadlines.line_of_business(parties.coverage)
    said = [coding(*one) for one in codings(object_of(parties.coverage, "type"))]
    made: Json = {**_listed("coding", said), **({"text": own.name} if own else {})}
    return {"businessLine": made} if made else {}


def _listed(name: str, values: list[Json]) -> Json:
    return {name: values} if values else {}

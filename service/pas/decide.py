"""From a received request to the case that answers it: refused, decided, or the next version of another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from service.determine.request import PriorAuthRequest, Receipt
from service.pas.certification import appeals, asks_for_drug, urgency_of
from service.pas.codes import Reject
from service.pas.deadlines import due_at
from service.pas.dependencies import PasDependencies
from service.pas.elements import trace_of
from service.pas.filed import Filed, filed, filed_for
from service.pas.information import with_questions
from service.pas.intake import CLAIM, Received, missing
from service.pas.judge import determined, held, refusal, refused
from service.pas.links import link
from service.pas.numbers import authorization_number, reference_number
from service.pas.prior import named_prior, prior_case
from service.pas.ruling import Ruling
from service.pas.submission import Submission
from service.pas.update import Versions, compare, decided_again, is_refused
from service.policy.case import Case, CaseId, CaseLine, Urgency
from service.policy.decision import Obstacle, Outcome
from service.policy.determination import GRANTED, Determination, LineDetermination

APPEAL: Final = Obstacle("appeal", "This is an appeal of an earlier decision. A reviewer decides.")
_UNKNOWN_PRIOR = (
    "The request that this one changes is not on file here under your name: this one was read as a new request."
)
_OTHER_MEMBER = Obstacle("update-other-member", "The request that this one changes is about another member.")


@dataclass(frozen=True, slots=True)
class Arrival:
    """A submission as it was read."""

    submission: Submission
    received: Received
    request: PriorAuthRequest
    guide_version: str


@dataclass(frozen=True, slots=True)
class Decided:
    """The case that answers, the case that it replaces, as it was read, and what the rules said."""

    case: Case
    prior: Case | None = None
    ruling: Ruling | None = None


async def decide_request(arrival: Arrival, dependencies: PasDependencies) -> Decided:
    """Every line decided. ServiceErrors are of structure only; nothing is stored here."""
    reject = refusal(arrival.request, dependencies)
    if reject is not None:
        return Decided(_refused(arrival, reject, dependencies))
    named = named_prior(arrival.received)
    prior = await prior_case(named, arrival.submission.client, dependencies.store) if named else None
    if prior is None:
        note = _UNKNOWN_PRIOR if named else None
        return await _new(arrival, dependencies, note=note)
    if prior.member is None or prior.member != arrival.request.member:
        return await _new(arrival, dependencies, obstacle=_OTHER_MEMBER)
    if appeals(arrival.received.claim, dependencies.codes):
        return await _new(arrival, dependencies, obstacle=APPEAL, about=prior)
    stored = await dependencies.store.case(prior.id)
    if stored is None:
        raise RuntimeError("a case that was found by name is not there")
    versions = Versions(arrival.received, filed(*stored, dependencies.settings), dependencies.codes)
    if is_refused(versions):
        return Decided(_refused(arrival, dependencies.codes.rejects["update-refused"], dependencies))
    return await _changed(arrival, versions, dependencies)


async def _new(
    arrival: Arrival,
    dependencies: PasDependencies,
    *,
    obstacle: Obstacle | None = None,
    note: str | None = None,
    about: Case | None = None,
) -> Decided:
    request = arrival.request
    if not request.lines:
        # Only the cancellation of a whole request on file may leave its items out.
        raise missing(f"{CLAIM}.item")
    ruling = await determined(request, Receipt(arrival.submission.received_at), dependencies)
    determination = ruling.determination
    if obstacle is None and appeals(arrival.received.claim, dependencies.codes):
        obstacle = APPEAL
    if obstacle is not None:
        determination = Determination(tuple(held(line, obstacle) for line in determination.lines))
    linked = link(arrival.received, determination, await _earlier(request, dependencies), arrival.submission.client)
    case_id = CaseId(dependencies.ids.new())
    lines = [_case_line(case_id, _noted(line, note)) for line in linked.determination.lines]
    case = _case(case_id, arrival, lines, dependencies)
    others = (about.id, *linked.cases) if about else linked.cases
    timed = _timed(replace(_traced(case, arrival), linked=tuple(dict.fromkeys(others))), arrival, dependencies)
    return Decided(with_questions(timed, timed.decided_at), ruling=ruling)


async def _changed(arrival: Arrival, versions: Versions, dependencies: PasDependencies) -> Decided:
    """The next version: what stands is taken over, the rest is decided, and nothing of the chain is lost."""
    prior = versions.prior.case
    update = compare(versions, arrival.request)
    case_id = CaseId(dependencies.ids.new())
    lines = dict(update.settled)
    cases = [prior.id]
    ruling = None
    if update.to_decide:
        asked = replace(arrival.request, lines=update.to_decide)
        ruling = await determined(asked, Receipt(arrival.submission.received_at), dependencies)
        earlier = [one for one in await _earlier(asked, dependencies) if one.case.id != prior.id]
        linked = link(arrival.received, ruling.determination, earlier, arrival.submission.client)
        cases += linked.cases
        known = {line.determination.sequence: line for line in prior.lines}
        for found in linked.determination.lines:
            decided = _case_line(case_id, found)
            before = known.get(found.sequence)
            lines[found.sequence] = decided_again(before, decided, prior) if before else decided
    ordered = [_numbered(case_id, lines[sequence]) for sequence in sorted(lines)]
    case = replace(_case(case_id, arrival, ordered, dependencies), linked=tuple(dict.fromkeys(cases)))
    timed = _continued(_timed(_traced(case, arrival), arrival, dependencies), prior)
    return Decided(with_questions(timed, timed.decided_at), prior, ruling)


def _continued(case: Case, prior: Case) -> Case:
    """The case as the next version of `prior`: what was asked is answered by it, and no deadline moves back."""
    asked = tuple(one if one.answered_at else replace(one, answered_at=case.received_at) for one in prior.asked)
    due = case.due
    if prior.due is not None and due is not None and prior.outcome is Outcome.PENDED:
        # A change does not push back the day on which the provider was promised an answer.
        due = min(prior.due, due)
    return replace(case, replaces=prior.id, asked=asked, due=due)


def _refused(arrival: Arrival, reject: Reject, dependencies: PasDependencies) -> Case:
    """What is not ours, or not allowed, is filed under no member and no name, so that nothing is taken for it."""
    if not arrival.request.lines:
        raise missing(f"{CLAIM}.item")
    case_id = CaseId(dependencies.ids.new())
    lines = [_case_line(case_id, line) for line in refused(arrival.request, reject).lines]
    case = _case(case_id, arrival, lines, dependencies)
    return replace(case, member=None, claim_url=None, claim_identifiers=())


async def _earlier(request: PriorAuthRequest, dependencies: PasDependencies) -> list[Filed]:
    members = (request.member,) if request.member else ()
    return await filed_for(dependencies.store, members, dependencies.settings)


def _case(case_id: CaseId, arrival: Arrival, lines: list[CaseLine], dependencies: PasDependencies) -> Case:
    request = arrival.request
    starts = [(line.serviced.start or request.created).earliest() for line in request.lines]
    return Case(
        id=case_id,
        client=arrival.submission.client,
        guide_version=arrival.guide_version,
        received_at=arrival.submission.received_at,
        decided_at=dependencies.clock.now(),
        member=request.member,
        providers=request.provider_npis,
        claim_identifiers=request.claim_identifiers,
        first_service=min(starts, default=None),
        lines=tuple(lines),
        claim_url=arrival.received.entries.full_url_of(arrival.received.claim),
    )


def _timed(case: Case, arrival: Arrival, dependencies: PasDependencies) -> Case:
    urgency: Urgency = urgency_of(arrival.received.claim, dependencies.codes)
    drug = asks_for_drug(arrival.request, case.determination)
    coverage, settings = arrival.request.coverage, dependencies.settings
    hours = dependencies.deadlines.hours(coverage, urgency, drug=drug, settings=settings)
    return replace(case, urgency=urgency, due=due_at(case.received_at, hours))


def _traced(case: Case, arrival: Arrival) -> Case:
    """With the trace number of each line that this version of the request has."""
    traces = {line.sequence: trace_of(line.item) for line in arrival.request.lines}
    lines = (replace(line, trace=traces.get(line.determination.sequence, line.trace)) for line in case.lines)
    return replace(case, lines=tuple(lines))


def _noted(line: LineDetermination, note: str | None) -> LineDetermination:
    return replace(line, notes=(*line.notes, note)) if note else line


def _case_line(case_id: CaseId, line: LineDetermination) -> CaseLine:
    number = authorization_number(case_id) if line.outcome in GRANTED else None
    return CaseLine(line, number, reference_number(case_id, line.sequence))


def _numbered(case_id: CaseId, line: CaseLine) -> CaseLine:
    """A line that was added and withdrawn at once has no number yet."""
    if line.reference_number:
        return line
    return replace(line, reference_number=reference_number(case_id, line.determination.sequence))

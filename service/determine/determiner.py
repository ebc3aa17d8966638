"""Determines a request: every line by itself, by the policy in force on its first service date."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from service.determine.evidence import evaluation, results
from service.determine.notes import notes
from service.determine.obstacles import Circumstances, House, circumstances, first_service, obstacles
from service.determine.request import PriorAuthRequest, Receipt, RequestLine
from service.determine.responses import Counted, count_responses, response_obstacles
from service.errors import DeadlinePassed, EngineFailed
from service.policy.case import Authorization
from service.policy.dates import authorized_period
from service.policy.decision import RULES, Decision, Obstacle, Outcome, decide
from service.policy.determination import Determination, LineDetermination
from service.policy.finding import CriterionResult, Finding, assess
from service.policy.match import Match
from service.policy.model import RENEWAL, Policy
from service.ports import Evaluator, LoadedPolicy, PolicyRegistry

OnFile = Callable[[str], Awaitable[Sequence[Authorization]]]
"""A policy's id -> the member's authorizations on file for it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Matter:
    """A request being decided, with what is the same for all its lines."""

    request: PriorAuthRequest
    receipt: Receipt
    around: Circumstances
    on_file: OnFile


@dataclass(frozen=True, slots=True)
class Determiner:
    """The rules. `house` says who we are, `response_max_age_days` how old answers may be."""

    registry: PolicyRegistry
    evaluator: Evaluator
    house: House
    response_max_age_days: int

    async def determine(self, request: PriorAuthRequest, receipt: Receipt, on_file: OnFile) -> Determination:
        """Approves or pends each line; never denies, and never raises for what CQL does."""
        around = circumstances(request, receipt, self.house)
        matter = _Matter(request, receipt, around, on_file)
        return Determination(tuple([await self._line(matter, line) for line in request.lines]))

    async def _line(self, matter: _Matter, line: RequestLine) -> LineDetermination:
        first = first_service(matter.request, line)
        match = self.registry.match(line.named, first.earliest())
        if match is None:
            return _not_covered(line)
        if match.revision is None:
            return _no_revision(line, match)
        loaded = self.registry.loaded(match.revision)
        counted = count_responses(matter.request, line, loaded)
        in_the_way = [
            *obstacles(matter.request, line, match.revision, matter.around),
            *response_obstacles(matter.request, counted.responses, matter.around.today, self.response_max_age_days),
            *await _renewal(counted, match.revision, first.earliest(), matter.on_file),
        ]
        findings, failures = await self._findings(matter, line, counted, loaded)
        return _decided(line, loaded.policy, counted, findings, (*in_the_way, *failures), first.earliest())

    async def _findings(
        self, matter: _Matter, line: RequestLine, counted: Counted, loaded: LoadedPolicy
    ) -> tuple[tuple[Finding, ...], tuple[Obstacle, ...]]:
        """Findings, and the obstacle when the logic could not be run: then every criterion is unknown."""
        at = (first_service(matter.request, line), matter.receipt.received_at)
        criteria = counted.pathway.criteria
        failures: tuple[Obstacle, ...] = ()
        try:
            values = await self.evaluator.evaluate(evaluation(matter.request, line, counted, loaded, at))
            answered = results(counted.pathway, values)
        except (EngineFailed, DeadlinePassed) as error:
            policy = loaded.policy.ref.id
            _log.error("criteria could not be evaluated", extra={"policy": policy, "reason": error.text})
            answered = {criterion.define: CriterionResult(None) for criterion in criteria}
            failures = (Obstacle("evaluation", "The criteria could not be evaluated automatically."),)
        reading = counted.reading
        return assess(criteria, answered, missing=reading.missing, doubts=reading.doubts), failures


async def _renewal(counted: Counted, policy: Policy, start: date, on_file: OnFile) -> tuple[Obstacle, ...]:
    """A renewal form counts as a renewal only with an authorization on file that is about to end, or ends later."""
    if counted.pathway.name != RENEWAL:
        return ()
    if has_renewable(await on_file(policy.ref.id), policy, start):
        return ()
    return (Obstacle("renewal-without-authorization", "No authorization on file: send the initial form."),)


def has_renewable(authorizations: Sequence[Authorization], policy: Policy, start: date) -> bool:
    """Whether an approval of ours ends within the renewal window of, or after, the requested start."""
    earliest_end = start - timedelta(days=policy.renewal_window_days)
    return any(a.policy_id == policy.ref.id and a.period.end >= earliest_end for a in authorizations)


def _decided(
    line: RequestLine,
    policy: Policy,
    counted: Counted,
    findings: tuple[Finding, ...],
    in_the_way: tuple[Obstacle, ...],
    first: date,
) -> LineDetermination:
    remarks = (*counted.remarks, *counted.reading.remarks)
    texts = notes(findings, in_the_way, remarks, counted.form)
    decision = decide(findings, in_the_way, texts)
    approved = decision.outcome is Outcome.APPROVED
    return LineDetermination(
        sequence=line.sequence,
        code=line.code,
        decision=decision,
        period=authorized_period(first, policy.approval_months) if approved else None,
        policy=policy.ref,
        pathway=counted.pathway.name,
        findings=findings,
        obstacles=in_the_way,
        notes=texts,
    )


def _not_covered(line: RequestLine) -> LineDetermination:
    text = "No loaded policy names this service: a reviewer decides."
    return undecided(line, Outcome.NOT_COVERED_BY_POLICY, Obstacle("no-policy", text))


def _no_revision(line: RequestLine, match: Match) -> LineDetermination:
    text = (
        f"No revision of the {match.title} policy is loaded for the first service date: "
        f"the policy takes effect on {match.earliest.isoformat()}."
    )
    return undecided(line, Outcome.PENDED, Obstacle("no-revision", text))


def undecided(line: RequestLine, outcome: Outcome, obstacle: Obstacle) -> LineDetermination:
    """A line that no policy was asked about: the outcome has the obstacle as its one reason."""
    return LineDetermination(
        sequence=line.sequence,
        code=line.code,
        decision=Decision(outcome, RULES, (obstacle.text,)),
        period=None,
        policy=None,
        pathway=None,
        findings=(),
        obstacles=(obstacle,),
        notes=(obstacle.text,),
    )

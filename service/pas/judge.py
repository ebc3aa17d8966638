"""What is decided on a request, whatever happens: refused, determined by the rules, or pended. Never an exception."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from service.determine.determiner import undecided
from service.determine.obstacles import first_service
from service.determine.request import PriorAuthRequest, Receipt, RequestLine
from service.errors import ServiceError
from service.pas.administrative import by_terms
from service.pas.certification import cancels
from service.pas.codes import Reject
from service.pas.dependencies import PasDependencies
from service.pas.elements import extensions, identifiers
from service.pas.ruling import Basis, Ruling, terms_of
from service.policy.case import Authorization
from service.policy.decision import RULES, Decision, Obstacle, Outcome
from service.policy.determination import Determination, LineDetermination
from service.policy.membership import Presented, Verdict

# The guide wants an answer within 15 seconds, network included (PAS spec-7).
DECIDE_SECONDS: Final = 8.0
_CODE_END: Final = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-productOrServiceCodeEnd"

_NOT_EVALUATED: Final = Obstacle(
    "evaluation", "The request could not be evaluated automatically in time. A reviewer decides."
)
_CANCELLED: Final = Obstacle(
    "cancellation", "The request cancels this service. A reviewer closes it; nothing is authorized by this answer."
)
_RANGE: Final = Obstacle(
    "code-range", "The line asks for a range of codes. Rules authorize one code; a reviewer decides."
)

_log = logging.getLogger(__name__)


def refusal(request: PriorAuthRequest, dependencies: PasDependencies) -> Reject | None:
    """Why the request is not ours to decide: its insurer is identified, and is another payer.

    An insurer without identifier is doubt, not another payer: the rules then pend.
    """
    settings = dependencies.settings
    us = (settings.payer_id_system, settings.payer_id)
    if request.insurer_ids and us not in request.insurer_ids:
        return dependencies.codes.rejects["wrong-payer"]
    return None


def refused(request: PriorAuthRequest, reject: Reject) -> Determination:
    """Every line ends in the same error."""
    return _all(request.lines, Outcome.ERROR, Obstacle(reject.key, reject.text))


async def determined(
    request: PriorAuthRequest, receipt: Receipt, dependencies: PasDependencies, basis: Basis | None = None
) -> Ruling:
    """The rules' determination, with what they must not approve held back; all pended when the rules fail.

    `basis` is what our own records said when a ruling is made again; without it they are asked.
    """
    asked: dict[str, tuple[Authorization, ...]] = {}

    async def on_file(policy_id: str) -> Sequence[Authorization]:
        if basis is not None:
            return basis.on_file.get(policy_id, ())
        member = request.member
        found = () if member is None else await dependencies.store.authorizations(member, policy_id)
        asked[policy_id] = tuple(found)
        return found

    membership: Mapping[date, Verdict] | None = None
    try:
        async with asyncio.timeout(DECIDE_SECONDS):
            membership = basis.membership if basis else await memberships(request, dependencies)
            known = replace(receipt, membership=membership)
            determination = await dependencies.determiner.determine(request, known, on_file)
            lines = _limited(request, determination, membership, dependencies)
    except (ServiceError, TimeoutError) as failure:
        _log.error("a request could not be determined", extra={"reason": type(failure).__name__})
        lines = _all(request.lines, Outcome.PENDED, _NOT_EVALUATED)
    return Ruling(receipt.received_at, lines, Basis(asked, membership, terms_of(dependencies.settings)))


def _limited(
    request: PriorAuthRequest,
    determination: Determination,
    membership: Mapping[date, Verdict] | None,
    dependencies: PasDependencies,
) -> Determination:
    """What the rules of the policy do not know: cancelled certifications, ranges of codes, the plan's terms."""
    by_sequence = {line.sequence: line for line in request.lines}
    lines = [_hold(line, by_sequence[line.sequence], request, dependencies) for line in determination.lines]
    if dependencies.settings.administrative_denials:
        trusts = dependencies.settings.trust_presented_coverage
        # A withdrawal asks for nothing that the plan could exclude.
        lines = [
            line
            if _CANCELLED in line.obstacles
            else by_terms(line, by_sequence[line.sequence], request, membership, trusts=trusts)
            for line in lines
        ]
    return Determination(tuple(lines))


async def memberships(request: PriorAuthRequest, dependencies: PasDependencies) -> Mapping[date, Verdict] | None:
    """What the member directory says of each line's first service date; None when none is loaded."""
    if dependencies.members is None:
        return None
    system = dependencies.settings.coverage_system
    numbers = frozenset(value for _, of, value in identifiers(request.coverage) if of == system)
    presented = Presented(request.member, numbers)
    found: dict[date, Verdict] = {}
    for day in sorted({first_service(request, line).earliest() for line in request.lines}):
        verdict = await dependencies.members.find(presented, day)
        if verdict is None:
            return None
        found[day] = verdict
    return found


def _hold(
    line: LineDetermination, requested: RequestLine, request: PriorAuthRequest, dependencies: PasDependencies
) -> LineDetermination:
    """A cancelled certification is not a request to certify, and a range is more than its first code."""
    if cancels(request.claim, dependencies.codes) or cancels(requested.item, dependencies.codes):
        return held(line, _CANCELLED)
    if any(extensions(requested.item, _CODE_END)) and line.outcome is Outcome.APPROVED:
        return held(line, _RANGE)
    return line


def held(line: LineDetermination, obstacle: Obstacle) -> LineDetermination:
    """The line waits for a reviewer, whatever the rules found."""
    notes = (obstacle.text, *line.notes)
    return replace(
        line,
        decision=Decision(Outcome.PENDED, RULES, notes),
        period=None,
        obstacles=(*line.obstacles, obstacle),
        notes=notes,
    )


def _all(lines: Sequence[RequestLine], outcome: Outcome, obstacle: Obstacle) -> Determination:
    return Determination(tuple(undecided(line, outcome, obstacle) for line in lines))

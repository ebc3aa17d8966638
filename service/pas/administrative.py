"""Denials by the plan's own terms, which a payer may switch on: no medical judgement is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Final

from service.determine.obstacles import first_service
from service.determine.request import PriorAuthRequest, RequestLine
from service.pas.elements import object_of, text_of
from service.policy.dates import PartialDate
from service.policy.decision import Administrative, Decision, Obstacle, Outcome
from service.policy.determination import LineDetermination
from service.policy.membership import Membership, Missing, Verdict

EXCLUDED: Final = Obstacle("plan-excludes", "The member's plan excludes this service.")
NOT_COVERED: Final = Obstacle("not-covered-on-date", "The member is not covered on the first service date.")


def by_terms(
    line: LineDetermination,
    requested: RequestLine,
    request: PriorAuthRequest,
    membership: Mapping[date, Verdict] | None,
    *,
    trusts: bool,
) -> LineDetermination:
    """The line denied when the plan's terms surely rule it out, else as it is.

    `membership` is the directory's verdict by first service date. Without a directory, only the period of the
    presented coverage counts, and only where presented coverage is trusted (`trusts`).
    """
    term = _term(requested, request, membership, trusts=trusts)
    if term is None:
        return line
    return replace(
        line,
        decision=Decision(Outcome.DENIED, Administrative(term.code), (term.text,)),
        period=None,
        obstacles=tuple(dict.fromkeys((term, *line.obstacles))),
        notes=(term.text,),
    )


def _term(
    requested: RequestLine, request: PriorAuthRequest, membership: Mapping[date, Verdict] | None, *, trusts: bool
) -> Obstacle | None:
    first = first_service(request, requested)
    if request.member is None or not first.is_whole:
        return None
    if membership is None:
        return NOT_COVERED if trusts and _surely_outside(request, first) else None
    verdict = membership.get(first.earliest())
    if isinstance(verdict, Membership):
        return EXCLUDED if requested.named.by_code and verdict.excludes(requested.named.codes) else None
    # An id that nobody has may be misspelt: only a member who is known and not covered is denied.
    return NOT_COVERED if verdict is not None and verdict.reason is Missing.NO_ACTIVE_COVERAGE else None


def _surely_outside(request: PriorAuthRequest, first: PartialDate) -> bool:
    """Whether the day is before or after every day for which the coverage may stand."""
    period = object_of(request.coverage, "period") or {}
    start, end = (PartialDate.parse(text) if (text := text_of(period, name)) else None for name in ("start", "end"))
    day = first.earliest()
    if start is not None and end is not None and end.latest() < start.earliest():
        return False
    return (start is not None and day < start.earliest()) or (end is not None and day > end.latest())

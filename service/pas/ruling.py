"""A determination by the rules together with what our own records said: enough to make it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from service.policy.case import Authorization, MemberId
from service.policy.dates import DatePeriod
from service.policy.determination import Determination, as_json
from service.policy.membership import Membership, Missing, NoMember, OpenPeriod, Verdict
from service.policy.model import DrugCode
from service.settings import Settings

_TERMS: Final = (
    "administrative_denials",
    "trust_presented_coverage",
    "response_max_age_days",
    "payer_id_system",
    "payer_id",
    "member_system",
)
"""The settings that a determination rests on."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What was asked of our records: authorizations by policy id, the directory's verdict by first service date.

    `terms` are the settings that counted, by name.
    """

    on_file: Mapping[str, tuple[Authorization, ...]]
    membership: Mapping[date, Verdict] | None
    terms: Mapping[str, bool | int | str]


@dataclass(frozen=True, slots=True)
class Ruling:
    """The lines that the rules decided as of `at`, before anything else was noted on them."""

    at: datetime
    determination: Determination
    basis: Basis


def write_ruling(ruling: Ruling) -> Mapping[str, Any]:
    """JSON for the audit trail: {"at", "lines": [...], "onFile": ..., "membership": ..., "terms": ...}."""
    membership = ruling.basis.membership
    return {
        "at": ruling.at.isoformat(),
        "lines": lines_json(ruling.determination),
        "onFile": {
            policy: [[one.number, one.period.start.isoformat(), one.period.end.isoformat()] for one in found]
            for policy, found in ruling.basis.on_file.items()
        },
        "membership": None
        if membership is None
        else {day.isoformat(): _write_verdict(verdict) for day, verdict in membership.items()},
        "terms": dict(ruling.basis.terms),
    }


def lines_json(determination: Determination) -> Any:
    """The lines in the contract's JSON."""
    return as_json(determination)["lines"] if determination.lines else []


def terms_of(settings: Settings) -> Mapping[str, bool | int | str]:
    """As they are now."""
    return {name: getattr(settings, name) for name in _TERMS}


def read_basis(record: Mapping[str, Any]) -> Basis:
    """The basis that `write_ruling` wrote."""
    on_file = {
        policy: tuple(
            Authorization(
                number, policy, MemberId(""), DatePeriod(date.fromisoformat(start), date.fromisoformat(end))
            )
            for number, start, end in found
        )
        for policy, found in record["onFile"].items()
    }
    membership = record["membership"]
    verdicts = (
        None
        if membership is None
        else {date.fromisoformat(day): _read_verdict(verdict) for day, verdict in membership.items()}
    )
    # Older records tell of one setting only; the others are taken to be as they are.
    terms = record["terms"] if "terms" in record else {"administrative_denials": record["administrative"]}
    return Basis(on_file, verdicts, terms)


def _write_verdict(verdict: Verdict) -> dict[str, Any]:
    """What deciding reads of it; waivers are no matter of the rules."""
    if isinstance(verdict, NoMember):
        return {"missing": verdict.reason.value}
    bounds = (verdict.period.start, verdict.period.end)
    return {
        "member": verdict.member,
        "plan": verdict.plan,
        "period": [bound and bound.isoformat() for bound in bounds],
        "excluded": sorted([code.system, code.code] for code in verdict.excluded),
    }


def _read_verdict(stored: Mapping[str, Any]) -> Verdict:
    if "missing" in stored:
        return NoMember(Missing(stored["missing"]))
    start, end = (date.fromisoformat(bound) if bound else None for bound in stored["period"])
    excluded = frozenset(DrugCode(system, code) for system, code in stored["excluded"])
    return Membership(MemberId(stored["member"]), stored["plan"], OpenPeriod(start, end), excluded, ())

"""The X12 names of decisions and refusals, read from x12.toml: code meanings are data, never code."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from service.errors import InvalidPolicy
from service.fhir.build import Json, code_concept, concept
from service.fhir.canonical import (
    PLACE_OF_SERVICE,
    PROCESS_PRIORITY,
    X12_CERTIFICATION_TYPE,
    X12_DECISION_REASON,
    X12_LEVEL_OF_SERVICE,
    X12_REVIEW_ACTION,
)
from service.pas.administrative import EXCLUDED, NOT_COVERED
from service.policy.decision import Administrative, Decision, Outcome
from service.policy.determination import Granted

TABLE: Final = Path(__file__).with_name("x12.toml")
_DECIDED: Final = tuple(outcome for outcome in Outcome if outcome is not Outcome.ERROR)


@dataclass(frozen=True, slots=True)
class Reject:
    """Why a request cannot be processed (X12 901), what to do (889), the X12 element, and our own words."""

    key: str
    code: str
    follow_up: str
    element: str
    text: str


Codings = frozenset[tuple[str | None, str]]
"""(system, code) of each."""


@dataclass(frozen=True, slots=True)
class X12Codes:
    """The whole table. `authorized_provider` is a code of X12 98, None when the payer set none.

    `cancel` and `appeal` are certification types; `urgent` are codings of level of service, certification type
    or priority, any of which makes a request urgent. `fewer_units` is what a line is called that was modified in its
    quantity alone, None when that is no name of its own. `report_types` (X12 755) and `content_modifiers` (LOINC) say
    more of a document that is asked for, by its LOINC code. `places` says of which kind a place of service is
    ("inpatient", "outpatient", "home").
    """

    review_actions: Mapping[Outcome, tuple[str, str]]
    decision_reasons: Mapping[str, str]
    rejects: Mapping[str, Reject]
    authorized_provider: str | None
    cancel: Codings
    appeal: Codings
    urgent: Codings
    fewer_units: tuple[str, str] | None = None
    report_types: Mapping[str, str] = field(default_factory=dict)
    content_modifiers: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[tuple[str | None, str], str] = field(default_factory=dict)

    def review_action(self, outcome: Outcome, granted: Granted | None = None) -> Json:
        """The reviewActionCode of a decided line; `granted` is what it was granted where that is less."""
        code, display = self.review_actions[outcome]
        if self.fewer_units is not None and granted is not None and granted.serviced is None:
            code, display = self.fewer_units
        return code_concept(X12_REVIEW_ACTION, code, display)

    def reason_code(self, decision: Decision) -> str | None:
        """The payer's code of list 886; None where none is set (trap 20).

        What the plan's terms decided has the code of the term, and never the one for a person's judgement.
        """
        by = decision.by
        name = by.code if isinstance(by, Administrative) else decision.outcome.value
        return self.decision_reasons.get(name)

    def decision_reason(self, decision: Decision) -> Json | None:
        """A reasonCode: the payer's code, and the first reason in our words."""
        code = self.reason_code(decision)
        if code is None or not decision.reasons:
            return None
        return concept({"system": X12_DECISION_REASON, "code": code}, text=decision.reasons[0])


def load_codes(path: Path | None = None) -> X12Codes:
    """Read a table, ours without a path. InvalidPolicy, at start, when a decision or refusal is not complete."""
    path = path or TABLE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        actions = table["review-action"]
        return X12Codes(
            review_actions={outcome: _action(actions[outcome.value]) for outcome in _DECIDED},
            decision_reasons={_reason(name): code for name, code in table["decision-reason"].items()},
            rejects={key: _reject(key, row) for key, row in table["reject"].items()},
            authorized_provider=table["entity"]["authorized-provider"] or None,
            cancel=_codings(X12_CERTIFICATION_TYPE, table["certification"]["cancel"]),
            appeal=_codings(X12_CERTIFICATION_TYPE, table["certification"]["appeal"]),
            urgent=_codings(X12_LEVEL_OF_SERVICE, table["urgent"]["level-of-service"])
            | _codings(X12_CERTIFICATION_TYPE, table["urgent"]["certification"])
            | _codings(PROCESS_PRIORITY, table["urgent"]["priority"]),
            fewer_units=_action(actions["fewer-units"]) if "fewer-units" in actions else None,
            report_types=dict(table.get("report-type", {})),
            content_modifiers=dict(table.get("content-modifier", {})),
            places={
                (PLACE_OF_SERVICE, code): kind for kind, codes in table.get("place", {}).items() for code in codes
            },
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, ValueError, TypeError) as fault:
        raise InvalidPolicy(f"{path.name} is not a complete table of X12 codes.") from fault


def _reason(name: str) -> str:
    """ValueError for what is neither an outcome nor a term of the plan."""
    return name if name in {EXCLUDED.code, NOT_COVERED.code} else Outcome(name).value


def _action(row: Mapping[str, str]) -> tuple[str, str]:
    return row["code"], row["display"]


def _codings(system: str, codes: list[str]) -> Codings:
    return frozenset((system, code) for code in codes)


def _reject(key: str, row: Mapping[str, Any]) -> Reject:
    return Reject(key, row["code"], row["follow-up"], row["element"], row["text"])

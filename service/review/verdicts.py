"""The decision form read into verdicts: one for each line that is decided, with what was wrong beside its field."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from service.policy.case import Case, CaseLine, InfoRequest
from service.policy.dates import DatePeriod
from service.policy.determination import Granted
from service.policy.review import WAITING, Approve, ApproveModified, Ask, Deny, Verdict
from service.review.case_view import CaseView, LineView
from service.review.pages import Fields
from service.review.pages import field as value_of

APPROVE: Final = "approve"
MODIFY: Final = "modify"
DENY: Final = "deny"
ASK: Final = "ask"
OTHER: Final = "other"
# Within which an answer is asked for when the case's own deadline has passed.
_ANSWER_TIME: Final = timedelta(hours=72)
_LONGEST_TEXT: Final = 2000
_LARGEST: Final = Decimal(10) ** 9


@dataclass(frozen=True, slots=True)
class Loinc:
    """A document that may be asked for."""

    code: str
    name: str


def loinc_documents() -> tuple[Loinc, ...]:
    """The documents of loinc.toml, in its order."""
    table = tomllib.loads(Path(__file__).with_name("loinc.toml").read_text(encoding="utf-8"))
    return tuple(Loinc(row["code"], row["name"]) for row in table["document"])


@dataclass
class Decided:
    """What the form says: verdicts by line sequence, faults by field name, and the reason's key for the record."""

    verdicts: dict[int, Verdict] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    reason_keys: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asking:
    """What a request for information needs from around it."""

    now: datetime
    control_number: Callable[[int], str]
    documents: tuple[Loinc, ...]


class _Fault(ValueError):
    """What the person should type instead, and in which field."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name
        self.text = text


def read_verdicts(view: CaseView, fields: Fields, asking: Asking) -> Decided:
    """Reads every line that waits; lines left open are left out. Nothing chosen at all is a fault."""
    decided = Decided()
    for line in view.case.lines:
        shown = next(one for one in view.lines if one.sequence == line.determination.sequence)
        if line.determination.outcome in WAITING:
            try:
                _read_line(decided, _LineForm(fields, shown, line, view.case), asking)
            except _Fault as fault:
                decided.faults[fault.name] = fault.text
    if not decided.verdicts and not decided.faults:
        first = next((line.sequence for line in view.lines if line.waits), 0)
        decided.faults[f"verdict-{first}"] = "Choose what to decide."
    return decided


@dataclass(frozen=True, slots=True)
class _LineForm:
    """One line's part of the form."""

    fields: Fields
    shown: LineView
    line: CaseLine
    case: Case

    def text(self, name: str, missing: str | None = None) -> str:
        """A text field; `missing` is said when it is empty and must not be."""
        text = value_of(self.fields, self.name(name))
        if not text and missing:
            raise _Fault(self.name(name), missing)
        if len(text) > _LONGEST_TEXT:
            raise _Fault(self.name(name), f"Use at most {_LONGEST_TEXT} characters.")
        return text

    def name(self, name: str) -> str:
        return f"{name}-{self.shown.sequence}"

    def day(self, name: str, missing: str) -> date:
        text = self.text(name, missing)
        try:
            return date.fromisoformat(text)
        except ValueError:
            raise _Fault(self.name(name), "Write the date as YYYY-MM-DD.") from None


def _read_line(decided: Decided, form: _LineForm, asking: Asking) -> None:
    chosen = form.text("verdict")
    sequence = form.shown.sequence
    if chosen == APPROVE:
        if form.shown.valid is None:
            raise _Fault(form.name("verdict"), "The request gives no dates: approve with other dates.")
        decided.verdicts[sequence] = Approve(form.shown.valid)
    elif chosen == MODIFY:
        decided.verdicts[sequence] = _modified(form)
    elif chosen == DENY:
        key, text = _reason(form)
        decided.verdicts[sequence] = Deny(text, form.text("note"))
        decided.reason_keys[sequence] = key
    elif chosen == ASK:
        decided.verdicts[sequence] = Ask((_asked(form, asking),))
    elif chosen:
        raise _Fault(form.name("verdict"), "Choose one of the decisions.")


def _modified(form: _LineForm) -> ApproveModified:
    period = DatePeriod(
        form.day("from", "Give the first day that is authorized."),
        form.day("to", "Give the last day that is authorized."),
    )
    if period.end < period.start:
        raise _Fault(form.name("to"), "The last day comes before the first.")
    quantity = _quantity(form)
    other_dates = period if period != form.shown.valid else None
    if quantity is None and other_dates is None:
        raise _Fault(form.name("units"), "Nothing differs from the request: give fewer units or other dates.")
    granted = Granted(quantity, (form.shown.unit or None) if quantity is not None else None, other_dates)
    return ApproveModified(granted, period, form.text("change-reason", "Say why less, or another time, is approved."))


def _quantity(form: _LineForm) -> Decimal | None:
    """The units where they differ from the request; never more than were asked for."""
    text = form.text("units")
    if not text:
        return None
    units = _decimal(text)
    if units is None or not 0 < units < _LARGEST:
        raise _Fault(form.name("units"), "Give a positive number of units.")
    requested = _decimal(form.shown.quantity)
    if requested is not None and units > requested:
        raise _Fault(form.name("units"), f"At most the {form.shown.quantity} that were asked for can be approved.")
    return None if units == requested else units


def _decimal(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _reason(form: _LineForm) -> tuple[str, str]:
    key = form.text("reason", "Choose the reason.")
    if key == OTHER:
        return key, form.text("reason-text", "Write the specific reason.")
    text = next((reason.text for reason in form.shown.denials if reason.key == key), None)
    if text is None:
        raise _Fault(form.name("reason"), "Choose one of the reasons.")
    return key, text


def _asked(form: _LineForm, asking: Asking) -> InfoRequest:
    text = form.text("question", "Write what the provider should send.")
    kind = form.text("kind", "Choose how the provider should answer.")
    missing = tuple(dict.fromkeys(key for finding in form.line.determination.findings for key in finding.missing))
    if kind != "form" and kind not in {document.code for document in asking.documents}:
        raise _Fault(form.name("kind"), "Choose one of the documents.")
    if kind == "form" and not missing:
        raise _Fault(form.name("kind"), "No question of the form is open: ask for a document.")
    due = form.case.due if form.case.due and form.case.due > asking.now else asking.now + _ANSWER_TIME
    return InfoRequest(
        control_number=asking.control_number(form.shown.sequence),
        sequence=form.shown.sequence,
        text=text,
        link_ids=missing if kind == "form" else (),
        loinc=None if kind == "form" else kind,
        asked_at=asking.now,
        due=due,
    )


def recorded(verdicts: Mapping[int, Verdict], keys: Mapping[int, str]) -> Sequence[Mapping[str, Any]]:
    """The verdicts for the audit log."""
    return [_recorded(sequence, verdict, keys.get(sequence)) for sequence, verdict in sorted(verdicts.items())]


def _recorded(sequence: int, verdict: Verdict, key: str | None) -> Mapping[str, Any]:
    match verdict:
        case Approve(period):
            return {"sequence": sequence, "verdict": APPROVE, "period": _days(period)}
        case ApproveModified(granted, period, reason):
            given = {"sequence": sequence, "verdict": MODIFY, "period": _days(period), "reasons": [reason]}
            return {**given, "quantity": granted.quantity, "unit": granted.unit}
        case Deny(reason, note):
            return {"sequence": sequence, "verdict": DENY, "reason": key, "reasons": [reason], "note": note}
        case Ask(requests):
            asked = [{"control_number": one.control_number, "text": one.text, "loinc": one.loinc} for one in requests]
            return {"sequence": sequence, "verdict": ASK, "asked": asked}


def _days(period: DatePeriod) -> Mapping[str, str]:
    return {"start": period.start.isoformat(), "end": period.end.isoformat()}

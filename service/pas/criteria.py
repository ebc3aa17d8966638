"""Query by example: does a stored case have what an inquiry's Claim shows?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date
from typing import Final

from service.fhir.canonical import (
    DATA_ABSENT_REASON_CODES,
    PAS_ADMINISTRATION_REFERENCE,
    PAS_AUTHORIZATION_NUMBER,
    PAS_CERTIFICATION_EFFECTIVE_DATE,
    PAS_CERTIFICATION_EXPIRATION_DATE,
    PAS_CERTIFICATION_ISSUE_DATE,
    PAS_REVIEW_ACTION_CODE,
)
from service.form.naming import named
from service.pas.codes import X12Codes
from service.pas.elements import Json, codings, extension, extensions, listed, object_of, text_of
from service.pas.filed import Filed, requested_period
from service.pas.intake import Received
from service.policy.case import CaseLine
from service.policy.dates import DatePeriod, PartialDate

_NO_FILTER: Final = (DATA_ABSENT_REASON_CODES, "not-applicable")
_UNBOUNDED: Final = DatePeriod(date.min, date.max)


def matches(inquiry: Received, filed: Filed, codes: X12Codes) -> bool:
    """Everything that the Claim itself shows, and, when it has items, all of one item on one line."""
    claim = inquiry.claim
    lines = filed.case.lines
    if not any(_has_numbers(claim, filed, line) for line in lines):
        return False
    billable = object_of(claim, "billablePeriod")
    if billable is not None and not any(_served(filed, line, _period(billable)) for line in lines):
        return False
    wanted = _diagnoses(inquiry)
    if wanted and not wanted & _diagnoses(filed.received):
        return False
    items = listed(claim, "item")
    return not items or any(_line_matches(item, filed, line, codes) for item in items for line in lines)


def _line_matches(item: Json, filed: Filed, line: CaseLine, codes: X12Codes) -> bool:
    if not (_has_numbers(item, filed, line) and _same_product(item, filed.items[line.determination.sequence])):
        return False
    if ("servicedDate" in item or "servicedPeriod" in item) and not _served(filed, line, requested_period({}, item)):
        return False
    action = extension(item, PAS_REVIEW_ACTION_CODE)
    if action is not None:
        ours = codings(codes.review_action(line.determination.outcome))
        if not set(ours) & set(codings(action.get("valueCodeableConcept"))):
            return False
    return _certified(item, filed, line)


def _has_numbers(element: Json, filed: Filed, line: CaseLine) -> bool:
    """REF*BB and REF*NT, on the Claim or on an item; both when both are given. Old numbers mean the line, too."""
    sequence = line.determination.sequence
    asked = (
        (PAS_AUTHORIZATION_NUMBER, filed.authorization_numbers(sequence)),
        (PAS_ADMINISTRATION_REFERENCE, filed.reference_numbers(sequence)),
    )
    for url, known in asked:
        given = {text_of(one, "valueString") for one in extensions(element, url)}
        if given and not given & known:
            return False
    return True


def _same_product(asked: Json, requested: Json) -> bool:
    """The product code, unless it says "not applicable" (spec-43) or is given as words only."""
    concept = object_of(asked, "productOrService") or {}
    given = codings(concept)
    if not given or _NO_FILTER in given:
        return True
    stored = object_of(requested, "productOrService") or {}
    return bool(set(given) & set(codings(stored)) or named([concept]).codes & named([stored]).codes)


def _served(filed: Filed, line: CaseLine, wanted: DatePeriod | None) -> bool:
    """The service was asked for, or is authorized, on one of the days."""
    periods = (filed.serviced(line.determination.sequence), line.determination.period)
    return wanted is not None and any(period is not None and period.overlaps(wanted) for period in periods)


def _certified(item: Json, filed: Filed, line: CaseLine) -> bool:
    """Dates of issue, effect and end of what was granted; a line that is not granted has none."""
    valid = line.determination.period
    moment = line.issued_at or filed.case.decided_at
    issued = moment.astimezone(UTC).date() if line.authorization_number else None
    dates = (
        (PAS_CERTIFICATION_ISSUE_DATE, issued),
        (PAS_CERTIFICATION_EFFECTIVE_DATE, valid.start if valid else None),
        (PAS_CERTIFICATION_EXPIRATION_DATE, valid.end if valid else None),
    )
    for url, day in dates:
        asked = extension(item, url)
        if asked is not None and (day is None or day not in _period(object_of(asked, "valuePeriod") or asked)):
            return False
    return True


def _period(element: Json) -> DatePeriod:
    """The days that a Period, or a date in valueDate, may stand for; open where it says nothing."""
    start = _date(element.get("start") or element.get("valueDate"))
    end = _date(element.get("end") or element.get("valueDate"))
    return DatePeriod(
        start.earliest() if start else _UNBOUNDED.start,
        end.latest() if end else _UNBOUNDED.end,
    )


def _date(value: object) -> PartialDate | None:
    return PartialDate.parse(value) if isinstance(value, str) else None


def _diagnoses(received: Received) -> frozenset[tuple[str | None, str]]:
    """(system, code without dot) of all diagnoses of the Claim; several in an inquiry are a union."""
    return frozenset(_plain(codings(concept) for concept in _diagnosis_concepts(received)))


def _diagnosis_concepts(received: Received) -> Iterable[Json | None]:
    for diagnosis in listed(received.claim, "diagnosis"):
        reference = object_of(diagnosis, "diagnosisReference")
        condition = received.entries.resolve(reference, within=received.claim) if reference else None
        yield object_of(condition, "code") if condition else object_of(diagnosis, "diagnosisCodeableConcept")


def _plain(concepts: Iterable[list[tuple[str | None, str]]]) -> Iterable[tuple[str | None, str]]:
    return ((system, code.replace(".", "").upper()) for concept in concepts for system, code in concept)

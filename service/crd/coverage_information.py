"""What a payer says about one order, as a value that cannot break the guides' invariants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Final

from service.policy.dates import DatePeriod
from service.policy.model import DrugCode


class Covered(StrEnum):
    """Whether the plan covers what is ordered. INDETERMINATE is `conditional` in 2.0.1."""

    COVERED = "covered"
    NOT_COVERED = "not-covered"
    CONDITIONAL = "conditional"
    INDETERMINATE = "indeterminate"


class PaNeeded(StrEnum):
    """Whether prior authorization is needed. INDETERMINATE is `conditional` in 2.0.1."""

    NO_AUTH = "no-auth"
    AUTH_NEEDED = "auth-needed"
    SATISFIED = "satisfied"
    PERFORMPA = "performpa"
    CONDITIONAL = "conditional"
    INDETERMINATE = "indeterminate"


class DocNeeded(StrEnum):
    """Whose documentation is needed; only what both versions can say (no `patient`)."""

    CLINICAL = "clinical"
    ADMIN = "admin"
    CONDITIONAL = "conditional"
    INDETERMINATE = "indeterminate"


_BOTH: Final = frozenset({DocNeeded.CLINICAL, DocNeeded.ADMIN})


class DocPurpose(StrEnum):
    """What the documentation is for."""

    WITH_PA = "withpa"
    WITH_CLAIM = "withclaim"
    WITH_ORDER = "withorder"
    RETAIN = "retain-doc"
    OTHER = "OTH"


class InfoNeeded(StrEnum):
    """What must be known before a conditional answer becomes a firm one."""

    PERFORMER = "performer"
    LOCATION = "location"
    TIMEFRAME = "timeframe"
    CONTRACT_WINDOW = "contract-window"
    DETAIL_CODE = "detail-code"
    OTHER = "OTH"


class ReasonCode(StrEnum):
    """coverageAssertionReasons of CRD 2.2.1 that we use."""

    NO_MEMBER_FOUND = "no-member-found"
    NO_ACTIVE_COVERAGE = "no-active-coverage"
    COVERAGE_NOT_FOUND = "coverage-not-found"
    GOLD_CARD = "gold-card"
    TECHNICAL = "technical"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, in words for a clinician; a code where the guide has one. The text is mandatory, so q7 always holds."""

    text: str
    code: ReasonCode | None = None


@dataclass(frozen=True, slots=True)
class Detail:
    """One further fact. Exactly one of `text`, `url` and `period`."""

    code: str
    category: str
    text: str | None = None
    url: str | None = None
    period: DatePeriod | None = None

    def __post_init__(self) -> None:
        if sum(value is not None for value in (self.text, self.url, self.period)) != 1:
            raise ValueError("a detail has one value")


@dataclass(frozen=True, slots=True)
class Contact:
    """Who answers questions about this very answer."""

    name: str
    phone: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """What every answer carries: for which Coverage, since when, until when, under which id.

    `coverage` is the Coverage reference that the client uses, `expires` the last day on which it holds.
    """

    coverage: str
    id: str
    made: date
    expires: date

    def __post_init__(self) -> None:
        if not self.coverage or not self.id:
            raise ValueError("an assertion names its Coverage and has an id")
        if self.expires < self.made:
            raise ValueError("an assertion does not expire before it is made")


@dataclass(frozen=True, slots=True)
class CoverageInformation:
    """One coverage-information block, the same in both versions; the renderers differ.

    The constraints crd-ci-q1 to q9 of both versions hold by construction, in their stricter reading (see the
    comments); ValueError where a caller asks for what they forbid.
    """

    assertion: Assertion
    covered: Covered
    pa_needed: PaNeeded | None = None
    doc_needed: frozenset[DocNeeded] = frozenset()
    doc_purpose: tuple[DocPurpose, ...] = ()
    info_needed: tuple[InfoNeeded, ...] = ()
    billing: tuple[DrugCode, ...] = ()
    reasons: tuple[Reason, ...] = ()
    details: tuple[Detail, ...] = ()
    questionnaires: tuple[str, ...] = ()
    satisfied_pa_id: str | None = None
    contact: Contact | None = None

    def __post_init__(self) -> None:
        for broken, rule in self._rules():
            if broken:
                raise ValueError(rule)

    def _rules(self) -> tuple[tuple[bool, str], ...]:
        levels = self.levels
        withpa = DocPurpose.WITH_PA in self.doc_purpose
        settled = {PaNeeded.SATISFIED, PaNeeded.NO_AUTH}
        return (
            (bool(self.questionnaires) and not self.doc_needed, "q1: a questionnaire needs doc-needed"),
            # 2.0.1 q2 also wants pa-needed on everything that is not not-covered.
            ((self.covered is Covered.NOT_COVERED) != (self.pa_needed is None), "q2: pa-needed, or not-covered"),
            # 2.0.1 q3 has one direction, 2.2.1 q3's expression the other, its text both.
            (("conditional" in levels) != bool(self.info_needed), "q3: info-needed exactly when conditional"),
            # The published expressions test codes that do not exist (`PA`, `noauth`); their texts say this.
            (self.pa_needed in settled and withpa, "q4: nothing to document for an authorization that is settled"),
            ((self.pa_needed is PaNeeded.SATISFIED) != bool(self.satisfied_pa_id), "q5: satisfied has its id"),
            (InfoNeeded.OTHER in self.info_needed and not self.reasons, "q6: OTH needs a reason"),
            (bool(self.doc_purpose) and not self.reasons, "q8: doc-purpose needs a reason"),
            ("indeterminate" in levels and not self.reasons, "q9: indeterminate needs a reason"),
            (bool(self.doc_purpose) and not self.doc_needed, "a purpose needs something to document"),
            # 2.0.1 has one doc-needed: only clinical and admin together have a word for it (`both`).
            (len(self.doc_needed) > 1 and not self.doc_needed <= _BOTH, "only clinical and admin go together"),
            (any(not reason.text for reason in self.reasons), "q7: a reason has text"),
        )

    @property
    def levels(self) -> frozenset[str]:
        """The codes of covered, pa-needed and doc-needed together."""
        return frozenset({self.covered, *self.doc_needed} | ({self.pa_needed} if self.pa_needed else set()))

    def shown(self) -> Mapping[str, Any]:
        """As a JSON object that no version's shape bends, for the store."""
        return {
            "covered": str(self.covered),
            "pa-needed": str(self.pa_needed) if self.pa_needed else None,
            "doc-needed": sorted(self.doc_needed),
            "doc-purpose": [str(purpose) for purpose in self.doc_purpose],
            "info-needed": [str(info) for info in self.info_needed],
            "reasons": [{"code": str(r.code) if r.code else None, "text": r.text} for r in self.reasons],
            "questionnaires": list(self.questionnaires),
            "satisfied-pa-id": self.satisfied_pa_id,
            "date": self.assertion.made.isoformat(),
            "expiry-date": self.assertion.expires.isoformat(),
        }

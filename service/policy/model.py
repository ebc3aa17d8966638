"""A payer's policy as values: what it covers, what it asks, in whose words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import NewType

CriterionId = NewType("CriterionId", str)
PathwayName = NewType("PathwayName", str)
LinkId = NewType("LinkId", str)

INITIAL = PathwayName("initial")
RENEWAL = PathwayName("renewal")


@dataclass(frozen=True, slots=True)
class Citation:
    """Where in the payer's document a sentence stands."""

    document: str
    page: int

    def __str__(self) -> str:
        return f"{self.document} p.{self.page}"


@dataclass(frozen=True, slots=True)
class Criterion:
    """One condition of the policy. `define` names its Boolean in the criteria library; null is unknown."""

    id: CriterionId
    text: str
    citation: Citation
    define: str
    link_ids: tuple[LinkId, ...]
    unmet_quote: str | None = None


@dataclass(frozen=True, slots=True)
class DrugCode:
    """A code that names a drug or service; `system` is one of our canonical systems (see fhir/canonical.py)."""

    system: str
    code: str


@dataclass(frozen=True, slots=True)
class Drug:
    """How an order or a claim line may name the drug. Names count only where no code of these systems is given."""

    display: str
    codes: tuple[DrugCode, ...]
    names: tuple[str, ...]
    billing: DrugCode


@dataclass(frozen=True, slots=True)
class QuantityRule:
    """Units in which a line's quantity may be asked for, by the system of the line's code; optional maximum."""

    units: Mapping[str, tuple[str, ...]]
    maximum: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Pathway:
    """One way through a policy: a form and the criteria that it must meet, in the policy's order."""

    name: PathwayName
    questionnaire: str
    questionnaire_version: str
    criteria: tuple[Criterion, ...]


@dataclass(frozen=True, slots=True)
class PolicyRef:
    """Exactly which revision decided: `digest` covers manifest, forms, logic and value sets."""

    id: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Policy:
    """One revision of a payer's policy."""

    ref: PolicyRef
    title: str
    document: str
    source_url: str | None
    effective: date
    ends: date | None
    drug: Drug
    quantity: QuantityRule
    pathways: Mapping[PathwayName, Pathway]
    attested: frozenset[LinkId]
    approval_months: int
    renewal_window_days: int

    def in_force(self, day: date) -> bool:
        return self.effective <= day and (self.ends is None or day <= self.ends)

    def pathway_of_form(self, url: str) -> Pathway | None:
        """The pathway whose form has this canonical url (without version)."""
        return next((p for p in self.pathways.values() if p.questionnaire == url), None)

"""The schema of a policy manifest (policies/*.toml). Unknown keys are refused."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from service.catalog.fault import PolicyFault
from service.fhir.canonical import HCPCS, NDC, RXNORM
from service.form.naming import ndc_forms
from service.policy.model import (
    Citation,
    Criterion,
    CriterionId,
    Drug,
    DrugCode,
    LinkId,
    Pathway,
    PathwayName,
    Policy,
    PolicyRef,
    QuantityRule,
)

_NAME = r"^[a-z0-9][a-z0-9-]*$"
_NDC = re.compile(r"\d{4,5}-\d{3,4}-\d{1,2}")
Name = Annotated[str, Field(pattern=_NAME)]
Text = Annotated[str, Field(min_length=1)]
Page = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DrugPart(_Part):
    """How the drug is named and billed."""

    display: Text
    names: tuple[Text, ...] = Field(min_length=1)
    hcpcs: tuple[Annotated[str, Field(pattern=r"^[A-Z]\d{4}$")], ...] = ()
    ndc: tuple[str, ...] = ()
    rxnorm: tuple[Annotated[str, Field(pattern=r"^\d+$")], ...] = ()

    @model_validator(mode="after")
    def _codes(self) -> DrugPart:
        if not self.hcpcs and not self.ndc:
            raise ValueError("needs at least one hcpcs or ndc code, which is what claims are made with")
        if any(_NDC.fullmatch(code) is None for code in self.ndc):
            raise ValueError("ndc codes are written with hyphens, so that every form can be derived")
        return self

    def drug(self) -> Drug:
        codes = tuple(DrugCode(HCPCS, code) for code in self.hcpcs)
        packages = tuple(form for code in self.ndc for form in ndc_forms(code))
        ingredients = tuple(DrugCode(RXNORM, code) for code in self.rxnorm)
        return Drug(self.display, (*codes, *packages, *ingredients), self.names, billing=(*codes, *packages)[0])


class QuantityPart(_Part):
    """Known units by kind of code, and an optional maximum in those units."""

    hcpcs: tuple[Text, ...] = ()
    ndc: tuple[Text, ...] = ()
    maximum_hcpcs: int | None = Field(default=None, gt=0)
    maximum_ndc: int | None = Field(default=None, gt=0)

    def rule(self) -> QuantityRule:
        units = {HCPCS: self.hcpcs, NDC: self.ndc}
        maximum = {HCPCS: self.maximum_hcpcs, NDC: self.maximum_ndc}
        return QuantityRule(
            units={system: tuple(unit.casefold() for unit in known) for system, known in units.items()},
            maximum={system: most for system, most in maximum.items() if most is not None},
        )


class LogicPart(_Part):
    """Names of the CQL libraries."""

    criteria: Text
    prepopulation: Text | None = None


class PathwayPart(_Part):
    """The form of a pathway: its file name, which is also the last part of its url."""

    questionnaire: Name


class QuotePart(_Part):
    """A further sentence of the payer's, quoted when the criterion is not met."""

    text: Text
    page: Page


class CriterionPart(_Part):
    """One criterion; `text` and `page` may differ by pathway."""

    id: Name
    pathways: tuple[Name, ...] = Field(min_length=1)
    text: Text | Mapping[Name, Text]
    page: Page | Mapping[Name, Page]
    define: Text
    link_ids: tuple[Text, ...] = Field(min_length=1)
    unmet_quote: QuotePart | None = None

    @model_validator(mode="after")
    def _every_pathway_has_words(self) -> CriterionPart:
        for key, value in (("text", self.text), ("page", self.page)):
            if isinstance(value, Mapping) and set(value) != set(self.pathways):
                raise ValueError(f"{key} must name exactly the criterion's pathways: {', '.join(self.pathways)}")
        return self

    def criterion(self, pathway: str, document: str) -> Criterion:
        text = self.text if isinstance(self.text, str) else self.text[pathway]
        page = self.page if isinstance(self.page, int) else self.page[pathway]
        quote = self.unmet_quote
        return Criterion(
            id=CriterionId(self.id),
            text=text,
            citation=Citation(document, page),
            define=self.define,
            link_ids=tuple(LinkId(link_id) for link_id in self.link_ids),
            unmet_quote=f"\u201c{quote.text}\u201d ({Citation(document, quote.page)})" if quote else None,
        )


class Manifest(_Part):
    """One revision of a policy."""

    id: Name
    title: Text
    version: Text
    effective: date
    ends: date | None = None
    document: Text
    source_url: Annotated[str, Field(pattern=r"^https://")] | None = None
    approval_months: int = Field(ge=1, le=120)
    renewal_window_days: int = Field(ge=0, le=365)
    attested: tuple[Text, ...] = ()
    drug: DrugPart
    quantity: QuantityPart
    logic: LogicPart
    pathway: Mapping[Name, PathwayPart] = Field(min_length=1)
    criterion: tuple[CriterionPart, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _joins(self) -> Manifest:
        ids = [part.id for part in self.criterion]
        if len(set(ids)) != len(ids):
            raise ValueError("two criteria have one id")
        if self.ends is not None and self.ends < self.effective:
            raise ValueError("ends before it is effective")
        for part in self.criterion:
            if strange := set(part.pathways) - set(self.pathway):
                raise ValueError(f"criterion {part.id} names unknown pathways: {', '.join(sorted(strange))}")
        if bare := [name for name in self.pathway if not self.criteria_of(name)]:
            raise ValueError(f"pathways without a criterion would approve anything: {', '.join(bare)}")
        if "initial" not in self.pathway or set(self.pathway) - {"initial", "renewal"}:
            raise ValueError("pathways are initial (always) and renewal (where the policy has one)")
        forms = [part.questionnaire for part in self.pathway.values()]
        if len(set(forms)) != len(forms):
            raise ValueError("two pathways share a form, so a response could not tell which one it is for")
        return self

    def criteria_of(self, pathway: str) -> tuple[Criterion, ...]:
        return tuple(part.criterion(pathway, self.document) for part in self.criterion if pathway in part.pathways)

    def policy(self, digest: str, forms: Mapping[str, tuple[str, str]]) -> Policy:
        """The domain value; `forms` gives each pathway's Questionnaire url and version."""
        return Policy(
            ref=PolicyRef(self.id, self.version, digest),
            title=self.title,
            document=self.document,
            source_url=self.source_url,
            effective=self.effective,
            ends=self.ends,
            drug=self.drug.drug(),
            quantity=self.quantity.rule(),
            pathways={
                PathwayName(name): Pathway(PathwayName(name), *forms[name], self.criteria_of(name))
                for name in self.pathway
            },
            attested=frozenset(LinkId(link_id) for link_id in self.attested),
            approval_months=self.approval_months,
            renewal_window_days=self.renewal_window_days,
        )


def read_manifest(file: str, text: str) -> Manifest | tuple[PolicyFault, ...]:
    """The manifest, or every fault in it with its key."""
    try:
        return Manifest.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        return (PolicyFault(file, "", f"not TOML: {error}"),)
    except ValidationError as error:
        return tuple(
            PolicyFault(file, ".".join(str(part) for part in fault["loc"]), fault["msg"]) for fault in error.errors()
        )

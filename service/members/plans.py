"""The payer's file of plans and prior-authorization waivers (TOML)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from service.errors import InvalidPolicy
from service.fhir.canonical import HCPCS
from service.form.naming import ndc_forms
from service.policy.case import Npi
from service.policy.dates import DatePeriod
from service.policy.enrollment import Benefits, Plan
from service.policy.membership import Waiver
from service.policy.model import DrugCode
from service.toml_file import read_toml

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
_Hcpcs = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{5}$")]
_Ndc = Annotated[str, StringConstraints(pattern=r"^(\d{4}-\d{4}-\d{2}|\d{5}-\d{3}-\d{2}|\d{5}-\d{4}-\d{1,2})$")]
_Npi = Annotated[str, StringConstraints(pattern=r"^\d{10}$")]


class _Strict(BaseModel):
    """Unknown keys are refused: a misspelt one would silently change who is covered."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Plan(_Strict):
    """One [[plan]]. `id` is the value of the Coverage's class of type plan."""

    id: _Text
    name: _Text
    excluded_hcpcs: tuple[_Hcpcs, ...] = ()
    excluded_ndc: tuple[_Ndc, ...] = ()


class _Waiver(_Strict):
    """One [[waiver]]; both days are included."""

    npi: _Npi
    policy: _Text
    first: date = Field(alias="from")
    last: date = Field(alias="to")

    @field_validator("npi")
    @classmethod
    def _checked(cls, npi: str) -> str:
        if not _has_check_digit(npi):
            raise ValueError("is no NPI: its check digit does not fit")
        return npi

    @model_validator(mode="after")
    def _forward(self) -> _Waiver:
        if self.last < self.first:
            raise ValueError("ends before it starts")
        return self


class _File(_Strict):
    plan: tuple[_Plan, ...] = ()
    waiver: tuple[_Waiver, ...] = ()


def load_benefits(path: Path, policies: Collection[str]) -> Benefits:
    """Reads the file; `policies` are the ids that a waiver may name. InvalidPolicy names every place and fault."""
    read = read_toml(path, _File, "the file of plans and waivers")
    faults = list(_contradictions(read, policies))
    if faults:
        raise InvalidPolicy(f"{path.name}: {'; '.join(faults)}")
    return Benefits(
        plans=tuple(Plan(plan.id, plan.name, frozenset(_excluded(plan))) for plan in read.plan),
        waivers=tuple(
            Waiver(Npi(waiver.npi), waiver.policy, DatePeriod(waiver.first, waiver.last)) for waiver in read.waiver
        ),
    )


def _excluded(plan: _Plan) -> Iterator[DrugCode]:
    yield from (DrugCode(HCPCS, code) for code in plan.excluded_hcpcs)
    for code in plan.excluded_ndc:
        yield from ndc_forms(code)


def _contradictions(read: _File, policies: Collection[str]) -> Iterator[str]:
    ids = [plan.id for plan in read.plan]
    yield from (f"two plans have the id {plan!r}" for plan in sorted({i for i in ids if ids.count(i) > 1}))
    unknown = sorted({waiver.policy for waiver in read.waiver} - set(policies))
    yield from (f"no loaded policy is called {policy!r}" for policy in unknown)
    keys = [(waiver.npi, waiver.policy, waiver.first) for waiver in read.waiver]
    if len(set(keys)) < len(keys):
        yield "two waivers of one NPI and policy start on one day"


def _has_check_digit(npi: str) -> bool:
    """The Luhn check over the NPI with the prefix 80840 (45 CFR 162.406; US Core us-core-17)."""
    total = 0
    for place, digit in enumerate(reversed(f"80840{npi}")):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0

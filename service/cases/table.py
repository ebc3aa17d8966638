"""The schema of a file of policy cases (tests/policies/*.toml)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

StatusName = Literal["met", "unmet", "unknown"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Given(_Part):
    """What is sent. `answers` maps a linkId to a value, a list of values, or {valueX = ...} for a raw answer."""

    form: str = "initial"
    code: str | None = None
    code_system: str | None = None
    text: str | None = None
    serviced: date | str | None = None
    serviced_end: date | str | None = None
    created: date | None = None
    received: datetime | None = None
    birth_date: date | str | None = None
    diagnoses: tuple[str, ...] | None = None
    quantity: int | float | None = None
    unit: str | None = None
    authored: date | None = None
    response_status: str = "completed"
    response_subject: str | None = None
    form_version: str | None = None
    automatic: tuple[str, ...] = ()
    on_file_until: date | None = None
    coverage: Mapping[str, Any] = Field(default_factory=dict)
    order: Mapping[str, Any] | None = None
    answers: Mapping[str, Any] = Field(default_factory=dict)
    second_response: Mapping[str, Any] | None = None


class Case(_Part):
    """`given` is laid over the file's [base]; an answer of "" takes the base's answer away."""

    note: str
    given: Mapping[str, Any] = Field(default_factory=dict)
    want: Mapping[str, StatusName] = Field(default_factory=dict)
    want_outcome: Literal["approved", "pended", "not-covered-by-policy"]
    want_notes: tuple[str, ...] = ()
    want_period: tuple[date, date] | None = None


class CaseFile(_Part):
    """Cases of one policy. `base` approves when nothing is laid over it, if the first case says so."""

    policy: str
    base: Mapping[str, Any]
    case: tuple[Case, ...] = Field(min_length=1)

    def given(self, case: Case) -> Given:
        answers = {**self.base.get("answers", {}), **case.given.get("answers", {})}
        kept = {link_id: value for link_id, value in answers.items() if value != ""}
        return Given.model_validate({**self.base, **case.given, "answers": kept})

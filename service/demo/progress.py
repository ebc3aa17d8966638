"""How far a story has come: what was asked of the payer and what it answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.demo.hooks import CoverageAnswer, HookAnswer
from service.demo.payer import Guides
from service.demo.prefill import Prefilled, Record
from service.demo.questions import Item
from service.demo.stories import Setting
from service.dtr.app.decision import Decision
from service.fhir.build import Json
from service.form.questionnaire import Form


@dataclass(frozen=True, slots=True)
class OpenForm:
    """The payer's form as the clinic opened it, with what was filled in from the start.

    `evidence` are the chart's records by linkId, also for questions that they leave open.
    """

    questionnaire: Json
    form: Form
    items: tuple[Item, ...]
    prefilled: Mapping[str, Prefilled]
    answers: Mapping[str, tuple[Json, ...]]
    evidence: Mapping[str, Sequence[Record]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that was sent: the Bundle, the versions of the guides, and the answer."""

    request: Json
    guides: Guides
    decision: Decision


@dataclass(frozen=True, slots=True)
class Progress:
    """One story's state; replaced at each step, never changed."""

    setting: Setting
    guides: Guides = Guides.NEWEST
    selected: HookAnswer | None = None
    signed: HookAnswer | None = None
    form: OpenForm | None = None
    sent: Sent | None = None
    earlier: Decision | None = None

    @property
    def coverage(self) -> CoverageAnswer | None:
        """What signing told about coverage."""
        return next(iter(self.signed.coverage), None) if self.signed else None

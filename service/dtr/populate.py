"""Answers that the chart already gives: a form's population logic over one patient's records."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from service.dtr.answers import answer_values
from service.dtr.expressions import DefineRef, population
from service.errors import DeadlinePassed, EngineFailed, InvalidResource
from service.fhir.build import Json, extension, nested_extension
from service.fhir.canonical import DTR_INFORMATION_ORIGIN
from service.form.enable import has_place, is_enabled
from service.form.questionnaire import Form, read_form
from service.policy.model import LinkId
from service.ports import Evaluation, Evaluator, LibraryRef, LoadedPolicy, Resource

_log = logging.getLogger(__name__)

# The companion define that names the records behind an answer.
EVIDENCE_SUFFIX: Final = " Evidence"
UNREADABLE: Final = (
    "The patient's records could not be evaluated, so no answer was filled from them. Answer the form by hand."
)

UNCLEAR_PATIENT: Final = (
    "The records hold more than one Patient of the id that they are about, so no answer was filled from them. "
    "Answer the form by hand."
)


class ChartRecords(Protocol):
    """One patient's records: what CQL may see, and what was left out with the reason."""

    @property
    def records(self) -> tuple[Resource, ...]: ...

    @property
    def dropped(self) -> Sequence[Any]: ...


Prepare = Callable[[Sequence[Resource], str], ChartRecords]
"""(records, Patient id) -> that patient's records ready for CQL, foreign subjects left out.

InvalidResource unless the records hold exactly one such Patient.
"""


@dataclass(frozen=True, slots=True)
class ChartLogic:
    """What reads a chart."""

    evaluator: Evaluator
    prepare: Prepare


@dataclass(frozen=True, slots=True)
class Chart:
    """A patient's records as received, the Patient among them."""

    records: tuple[Resource, ...]
    patient_id: str

    @property
    def holds_patient(self) -> bool:
        return any(r.get("resourceType") == "Patient" and r.get("id") == self.patient_id for r in self.records)


@dataclass(frozen=True, slots=True)
class ChartEvidence:
    """A record behind an answer: its type, the element read, what it says, and "Type/id"."""

    source: str
    path: str
    shown: str
    reference: str | None


@dataclass(frozen=True, slots=True)
class Populated:
    """A form filled as far as the chart goes.

    `items` are QuestionnaireResponse.item: every question that is asked, answered or not, in the form's nesting.
    `answers` are the values filled in, by linkId. `evidence` also holds what was found for questions left open.
    `dropped` are the records left out; `problems` what went wrong, in words for the user.
    """

    items: tuple[Json, ...]
    answers: Mapping[LinkId, tuple[Any, ...]] = field(default_factory=dict)
    evidence: Mapping[LinkId, tuple[ChartEvidence, ...]] = field(default_factory=dict)
    dropped: tuple[Any, ...] = ()
    problems: tuple[str, ...] = ()


def unfilled(questionnaire: Resource, *, problems: tuple[str, ...] = (), dropped: tuple[Any, ...] = ()) -> Populated:
    """The form's questions without answers."""
    items = response_items(questionnaire, read_form(questionnaire), {}, "")
    return Populated(items=items, problems=problems, dropped=dropped)


async def populate(
    loaded: LoadedPolicy,
    questionnaire: Resource,
    chart: Chart | None,
    *,
    logic: ChartLogic,
    origin: str,
    now: datetime,
) -> Populated:
    """Run the form's population defines over the chart; `origin` is the information-origin code of its answers.

    Never raises for what the logic does: a failure leaves the form unfilled with the problem said. Questions that
    only the prescriber may answer (policy.attested) are never filled.
    """
    wanted = {
        link_id: reference
        for link_id, reference in population(questionnaire).items()
        if link_id not in loaded.policy.attested
    }
    library = loaded.prepopulation
    if chart is None or not chart.holds_patient or library is None or not wanted:
        return unfilled(questionnaire)
    try:
        ready = logic.prepare(chart.records, chart.patient_id)
    except InvalidResource:
        return unfilled(questionnaire, problems=(UNCLEAR_PATIENT,))
    readable = {link_id: ref.define for link_id, ref in wanted.items() if ref and ref.library == library.name}
    defines = _with_evidence(loaded, library, readable.values())
    evaluation = Evaluation(loaded.logic, library, defines, ready.records, {}, now)
    try:
        values = await logic.evaluator.evaluate(evaluation)
    except (EngineFailed, DeadlinePassed) as error:
        _log.error("chart could not be evaluated", extra={"policy": loaded.policy.ref.id, "reason": error.text})
        return unfilled(questionnaire, problems=(UNREADABLE,), dropped=tuple(ready.dropped))
    return _filled(questionnaire, _Found(wanted, readable, values, tuple(ready.dropped)), origin)


@dataclass(frozen=True, slots=True)
class _Found:
    wanted: Mapping[LinkId, DefineRef | None]
    readable: Mapping[LinkId, str]
    values: Mapping[str, Any]
    dropped: tuple[Any, ...]


def _filled(questionnaire: Resource, found: _Found, origin: str) -> Populated:
    form = read_form(questionnaire)
    problems = [
        f'"{form.questions[link_id].text}" was not filled: its expression is not one that is evaluated here.'
        for link_id in found.wanted
        if link_id not in found.readable
    ]
    answers: dict[LinkId, tuple[Any, ...]] = {}
    evidence: dict[LinkId, tuple[ChartEvidence, ...]] = {}
    for link_id, define in found.readable.items():
        question = form.questions[link_id]
        converted = answer_values(question, found.values.get(define))
        if converted is None:
            problems.append(f'"{question.text}" was not filled: what was found is no answer of its type.')
        elif converted:
            answers[link_id] = converted
        records = _evidence(found.values.get(define + EVIDENCE_SUFFIX))
        if records:
            evidence[link_id] = records
    asked = _asked_only(form, answers)
    items = response_items(questionnaire, form, asked, origin)
    return Populated(items, asked, evidence, found.dropped, tuple(problems))


def response_items(
    questionnaire: Resource, form: Form, answers: Mapping[LinkId, tuple[Any, ...]], origin: str
) -> tuple[Json, ...]:
    """The questions asked under these answers, nested as QuestionnaireResponse.item has it."""
    given = _as_read(form, answers)
    return tuple(_items(questionnaire, _Answered(form, answers, given, origin)))


@dataclass(frozen=True, slots=True)
class _Answered:
    form: Form
    answers: Mapping[LinkId, tuple[Any, ...]]
    given: Mapping[LinkId, Any]
    origin: str


def _items(holder: Resource, answered: _Answered) -> list[Json]:
    built = (_item(item, answered) for item in holder.get("item") or ())
    return [item for item in built if item is not None]


def _item(item: Resource, answered: _Answered) -> Json | None:
    """None for what a response does not hold: displays, groups without a question, questions that are not asked."""
    link_id = LinkId(item["linkId"])
    written: Json = {"linkId": link_id, "text": item.get("text", link_id)}
    if item["type"] == "group":
        inner = _items(item, answered)
        return {**written, "item": inner} if inner else None
    question = answered.form.questions.get(link_id)
    if question is None or not is_enabled(answered.form, link_id, answered.given):
        return None
    values = answered.answers.get(link_id, ())
    if not values:
        return written
    inner = _items(item, answered)
    written["answer"] = [_answer(question.value_element, value, answered.origin) for value in values]
    if inner:
        # Questions under a question stand under its answer (R4 QuestionnaireResponse, qrs-1).
        written["answer"][0]["item"] = inner
    return written


def _answer(element: str, value: Any, origin: str) -> Json:
    said = nested_extension(DTR_INFORMATION_ORIGIN, extension("source", valueCode=origin))
    return {"extension": [said], element: value}


def _asked_only(form: Form, answers: Mapping[LinkId, tuple[Any, ...]]) -> dict[LinkId, tuple[Any, ...]]:
    """Answers to questions that are asked; repeated, since leaving one out may disable another."""
    kept = dict(answers)
    while True:
        given = _as_read(form, kept)
        out = [link_id for link_id in kept if not has_place(form, link_id, given)]
        if not out:
            return kept
        for link_id in out:
            del kept[link_id]


def _as_read(form: Form, answers: Mapping[LinkId, tuple[Any, ...]]) -> dict[LinkId, Any]:
    return {k: list(v) if form.questions[k].repeats else v[0] for k, v in answers.items()}


def _with_evidence(loaded: LoadedPolicy, library: LibraryRef, defines: Any) -> tuple[str, ...]:
    """The defines, and of their companions those that the library has."""
    logic = next(each for each in loaded.logic.libraries if each.ref == library)
    there = {statement["name"] for statement in logic.elm["library"]["statements"]["def"]}
    named = dict.fromkeys(defines)
    return (*named, *(companion for define in named if (companion := define + EVIDENCE_SUFFIX) in there))


def _evidence(found: Any) -> tuple[ChartEvidence, ...]:
    rows = found if isinstance(found, list) else []
    return tuple(
        ChartEvidence(row["source"], row["path"], row["shown"], row.get("reference"))
        for row in rows
        if isinstance(row, Mapping) and all(isinstance(row.get(key), str) for key in ("source", "path", "shown"))
    )

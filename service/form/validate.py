"""What is wrong with a QuestionnaireResponse against its form, and where.

One reading for all: what counts as an answer is said by answers.py and values.py, what is asked by enable.py.
An error here is what makes an answer not count at $submit; a warning is what is passed over there with a remark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.form.answers import NOT_ATTESTED, SOURCE, Reading, is_automatic, read_answers
from service.form.enable import has_place, is_enabled
from service.form.questionnaire import Form, Question
from service.form.values import unfit, values_of
from service.policy.model import LinkId
from service.ports import Resource

ERROR: Final = "error"
WARNING: Final = "warning"


@dataclass(frozen=True, slots=True)
class AnswerFinding:
    """One thing wrong. `link_id` is one of the form's own, or None for an item that the form does not have.

    `code` is a FHIR issue type, `text` is ours and never repeats what was received, `expression` is FHIRPath.
    """

    link_id: LinkId | None
    code: str
    text: str
    expression: str
    severity: str = ERROR


@dataclass(frozen=True, slots=True)
class _Place:
    """An item of a response: where it stands, and the linkIds of the items around it, outermost first."""

    item: Mapping[str, Any]
    expression: str
    around: tuple[str, ...]
    holder: int


def validate(
    form: Form,
    response: Resource,
    *,
    attested: frozenset[LinkId] = frozenset(),
    asked: frozenset[LinkId] | None = None,
) -> tuple[AnswerFinding, ...]:
    """Everything wrong with a response, in its order, then what it leaves open.

    `asked` are the questions that must be answered where they are required and asked: None means all, the empty
    set none (a draft). `attested` are questions that only a person may answer.
    """
    reading = read_answers(form, response, attested)
    places = tuple(_places(response, SOURCE, (), 0))
    check = _Check(form, reading, attested, _counts(places, form))
    found = [finding for place in places for finding in check.item(place)]
    wrong = {finding.link_id for finding in found if finding.severity == ERROR}
    at = {place.item.get("linkId"): place.expression for place in reversed(places)}
    return (*found, *(_open(form.questions[q], at) for q in unanswered(form, reading, asked) if q not in wrong))


def unanswered(form: Form, reading: Reading, asked: frozenset[LinkId] | None = None) -> tuple[LinkId, ...]:
    """Required questions that are asked and have no answer, in the form's order."""
    return tuple(
        link_id
        for link_id, question in form.questions.items()
        if question.required
        and link_id in reading.missing
        and (asked is None or link_id in asked)
        and has_place(form, link_id, reading.answers)
    )


def _open(question: Question, at: Mapping[Any, str]) -> AnswerFinding:
    return AnswerFinding(
        question.link_id, "required", f'"{question.text}" is not answered.', at.get(question.link_id, SOURCE)
    )


@dataclass(frozen=True, slots=True)
class _Check:
    form: Form
    reading: Reading
    attested: frozenset[LinkId]
    counts: Mapping[tuple[LinkId, int], int]

    def item(self, place: _Place) -> Iterator[AnswerFinding]:
        link_id = LinkId(str(place.item.get("linkId")))
        if link_id not in self.form.around:
            yield AnswerFinding(None, "not-found", "The form has no item of this linkId.", place.expression)
            return
        question = self.form.questions.get(link_id)
        if question is None:
            if place.item.get("answer"):
                yield AnswerFinding(
                    link_id, "structure", "A heading or a text takes no answer.", f"{place.expression}.answer"
                )
            return
        if not is_enabled(self.form, link_id, self.reading.answers):
            if place.item.get("answer"):
                text = f'"{question.text}" is not asked here: its answer does not count.'
                yield AnswerFinding(link_id, "business-rule", text, place.expression, WARNING)
            return
        yield from self._misplaced(question, place)
        yield from self._answers(question, place)

    def _misplaced(self, question: Question, place: _Place) -> Iterator[AnswerFinding]:
        if self.counts[question.link_id, _instance(question.link_id, place, self.form)] > 1:
            yield _finding(question, "duplicate", "stands more than once", place.expression)
        if place.around != question.parents:
            text = "stands elsewhere than in the form; it was read all the same"
            yield _finding(question, "structure", text, place.expression, WARNING)

    def _answers(self, question: Question, place: _Place) -> Iterator[AnswerFinding]:
        answers = [(n, a, values_of(a)) for n, a in enumerate(place.item.get("answer") or ())]
        given = [(n, a, values) for n, a, values in answers if values]
        for index, answer, values in given:
            expression = f"{place.expression}.answer[{index}]"
            if question.link_id in self.attested and is_automatic(answer):
                yield _finding(question, "business-rule", NOT_ATTESTED, expression)
            elif (wrong := unfit(question, values)) is not None:
                yield _finding(question, wrong.code, wrong.problem, expression)
        if len(given) > 1 and not question.repeats:
            yield _finding(question, "invalid", "takes one answer and has several", f"{place.expression}.answer")


def _finding(question: Question, code: str, problem: str, expression: str, severity: str = ERROR) -> AnswerFinding:
    return AnswerFinding(question.link_id, code, f'"{question.text}" {problem}.', expression, severity)


def _places(holder: Mapping[str, Any], expression: str, around: tuple[str, ...], number: int) -> Iterator[_Place]:
    for index, item in enumerate(holder.get("item") or ()):
        at = f"{expression}.item[{index}]"
        yield _Place(item, at, around, number)
        inner = (*around, str(item.get("linkId")))
        yield from _places(item, at, inner, id(item))
        for place, answer in enumerate(item.get("answer") or ()):
            yield from _places(answer, f"{at}.answer[{place}]", inner, id(item))


def _counts(places: tuple[_Place, ...], form: Form) -> dict[tuple[LinkId, int], int]:
    """How often each question stands in one instance of the repeating group around it, or in the whole response."""
    counts: dict[tuple[LinkId, int], int] = {}
    for place in places:
        link_id = LinkId(str(place.item.get("linkId")))
        if link_id in form.questions:
            key = link_id, _instance(link_id, place, form)
            counts[key] = counts.get(key, 0) + 1
    return counts


def _instance(link_id: LinkId, place: _Place, form: Form) -> int:
    """The holder of an item where a group that repeats stands around it; else the response."""
    return place.holder if any(parent in form.repeating for parent in form.around[link_id]) else 0

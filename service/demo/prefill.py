"""Answers that nobody typed: from the payer's draft and from the chart, each with where it came from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from service.demo.payer import Guides
from service.fhir.build import Json
from service.fhir.canonical import DTR_INFORMATION_ORIGIN

_SOURCE: Final = "source"


class Record(Protocol):
    """A record behind an answer: its type, the element read, and what it says."""

    @property
    def source(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def shown(self) -> str: ...


Filling = tuple[Sequence[Json], Mapping[str, Sequence[Record]]]
"""QuestionnaireResponse items and, by linkId, the records that speak to each question (answered or not)."""


Fill = Callable[[Json, Sequence[Json], str], Awaitable[Filling]]
"""(Questionnaire, records, Patient id): runs a form's population logic over a chart, as a DTR client does."""


@dataclass(frozen=True, slots=True)
class Prefilled:
    """One question's prefilled answers: value[x] elements, and the code of their origin."""

    values: tuple[Json, ...]
    origin: str


def prefilled_answers(draft: Json | None, items: Sequence[Json], guides: Guides) -> dict[str, Prefilled]:
    """By linkId, from the payer's draft and the items filled from the chart, which go before it."""
    by_server = "auto-server" if guides is Guides.NEWEST else "auto"
    found = {
        link_id: Prefilled(values, _origin(answers) or by_server)
        for link_id, answers, values in _answered((draft or {}).get("item", ()))
    }
    for link_id, _, values in _answered(items):
        found[link_id] = Prefilled(values, guides.automatic)
    return found


def _answered(items: Sequence[Json]) -> Iterator[tuple[str, Sequence[Json], tuple[Json, ...]]]:
    for item in items:
        answers = item.get("answer", ())
        values = tuple(value for value in map(_value, answers) if value)
        if values:
            yield item["linkId"], answers, values
        yield from _answered(item.get("item", ()))
        for answer in answers:
            yield from _answered(answer.get("item", ()))


def _value(answer: Json) -> Json:
    return {name: value for name, value in answer.items() if name.startswith("value")}


def _origin(answers: Sequence[Json]) -> str | None:
    for answer in answers:
        for extension in answer.get("extension", ()):
            if extension.get("url") == DTR_INFORMATION_ORIGIN:
                for part in extension.get("extension", ()):
                    if part.get("url") == _SOURCE:
                        return str(part.get("valueCode"))
    return None

"""The stories and their charts: read from data, with dates told as days from today."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from service.errors import NotFound
from service.fhir.build import Json
from service.settings import Settings

_FOLDER: Final = Path(__file__).parent / "patients"
_DATE: Final = re.compile(r"\{(today|history|renewal)(?:([+-]\d+)d)?\}")
_WORD: Final = re.compile(r"\{([a-z-]+)\}")
# The policy revision that the demo runs on took effect on 1 April 2026; an earlier first request would be pended.
_FIRST_HISTORY: Final = date(2026, 4, 2)


@dataclass(frozen=True, slots=True)
class Earlier:
    """A request that the clinic sent before the story begins: order id, canonical of the form, answers by linkId."""

    order: str
    questionnaire: str
    answers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Story:
    """One made-up patient. `answers` are what the clinician types: yes, no, a date, or "" for left open."""

    id: str
    title: str
    patient: str
    expect: str
    member: str
    answers: Mapping[str, str]
    earlier: Earlier | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """What a chart's words stand for: the day it is read, the member id, and who the payer is."""

    today: date
    member: str
    settings: Settings

    @property
    def history(self) -> date:
        """When treatment began: the first of the month ten months ago, so that a month's starts tell one past."""
        month = self.today.year * 12 + self.today.month - 1 - 10
        return max(date(month // 12, month % 12 + 1, 1), _FIRST_HISTORY)

    @property
    def renewal(self) -> date:
        """The day after an authorization of 12 months from `history` ends."""
        return self.history.replace(year=self.history.year + 1)


def load_stories() -> tuple[Story, ...]:
    """All stories, in their order."""
    listed = tomllib.loads((_FOLDER / "stories.toml").read_text(encoding="utf-8"))["story"]
    return tuple(_story(entry) for entry in listed)


def load_clinic(setting: Setting) -> tuple[Json, ...]:
    """The resources that all charts share: prescriber, clinic, payer."""
    return _resources("clinic", setting)


def load_chart(story: Story, setting: Setting) -> tuple[Json, ...]:
    """A patient's resources, with dates and member id filled in."""
    return _resources(story.id, setting)


def typed_answers(answers: Mapping[str, str], setting: Setting) -> dict[str, str]:
    """What the clinician types, with dates filled in."""
    return {link_id: _fill(text, setting) for link_id, text in answers.items()}


def find_story(stories: tuple[Story, ...], story_id: str) -> Story:
    """The story of an id; NotFound."""
    for story in stories:
        if story.id == story_id:
            return story
    raise NotFound("There is no story of that name. The list of stories is at /demo.")


def _story(entry: Mapping[str, Any]) -> Story:
    rest = {name: value for name, value in entry.items() if name != "earlier"}
    earlier = Earlier(**entry["earlier"]) if "earlier" in entry else None
    return Story(**rest, earlier=earlier)


def _resources(name: str, setting: Setting) -> tuple[Json, ...]:
    bundle = msgspec.json.decode((_FOLDER / f"{name}.json").read_bytes())
    return tuple(_resolved(entry["resource"], setting) for entry in bundle["entry"])


def _resolved(value: Any, setting: Setting) -> Any:
    if isinstance(value, dict):
        return {name: _resolved(item, setting) for name, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, setting) for item in value]
    return _fill(value, setting) if isinstance(value, str) else value


def _fill(text: str, setting: Setting) -> str:
    words = {
        "member": setting.member,
        "member-system": setting.settings.member_system,
        "payer-id": setting.settings.payer_id,
        "payer-id-system": setting.settings.payer_id_system,
        "payer-name": setting.settings.payer_name,
    }

    def day(found: re.Match[str]) -> str:
        starts = {"today": setting.today, "history": setting.history, "renewal": setting.renewal}
        return (starts[found[1]] + timedelta(days=int(found[2] or 0))).isoformat()

    return _WORD.sub(lambda found: words[found[1]], _DATE.sub(day, text))

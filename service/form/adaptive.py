"""The adaptive twin of a form: its canonical, and which of our forms a response to it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from service.fhir.canonical import split_canonical, versioned
from service.ports import Resource

SUFFIX: Final = "-adaptive"
"""What the canonical url of an adaptive form has after its standard form's; no authored form's name ends in it."""


def adaptive_url(url: str) -> str:
    """The canonical url of a form's adaptive twin."""
    return url + SUFFIX


def standard_canonical(canonical: str) -> str:
    """The canonical of the form that was authored: an adaptive twin asks the same questions, one by one."""
    url, version = split_canonical(canonical)
    return versioned(url.removesuffix(SUFFIX), version)


def answered_form(response: Resource) -> str | None:
    """The canonical of the standard form that a QuestionnaireResponse answers.

    A response to an adaptive form names a contained Questionnaire ("#id"): of that only the canonical counts from
    which it says to be derived (DTR 2.2.0 spec-25), never its questions. None where nothing is said, or two things.
    """
    canonical = response.get("questionnaire")
    if not isinstance(canonical, str):
        return None
    if not canonical.startswith("#"):
        return standard_canonical(canonical)
    base = derived_from(response)
    return standard_canonical(base) if base else None


def derived_from(response: Resource) -> str | None:
    """The one canonical from which the contained Questionnaire of a response to an adaptive form is derived."""
    held = contained_form(response)
    bases: Sequence[Any] = (held or {}).get("derivedFrom") or ()
    return bases[0] if len(bases) == 1 and isinstance(bases[0], str) else None


def contained_form(response: Resource) -> Resource | None:
    """The contained Questionnaire that a response names, if it holds exactly one of that id."""
    wanted = str(response.get("questionnaire", ""))
    named = [
        held
        for held in response.get("contained") or ()
        if wanted == f"#{held.get('id')}" and held.get("resourceType") == "Questionnaire"
    ]
    return named[0] if len(named) == 1 else None

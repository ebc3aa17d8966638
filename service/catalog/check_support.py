"""Checks that a form uses only what every DTR client must support: none loses a question or an answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from service.catalog.fault import PolicyFault
from service.fhir.canonical import (
    QUESTIONNAIRE_HIDDEN,
    QUESTIONNAIRE_ITEM_CONTROL,
    QUESTIONNAIRE_OPTION_EXCLUSIVE,
    QUESTIONNAIRE_SUPPORT_LINK,
    QUESTIONNAIRE_UNIT_OPTION,
    SDC_INITIAL_EXPRESSION,
)

_CORE: Final = "http://hl7.org/fhir/StructureDefinition/"
_SDC: Final = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
# mustSupport in dtr-std-questionnaire of 2.0.1 and of 2.2.0 alike: one form serves the clients of both.
_ELEMENTS: Final = frozenset(
    {"id", "extension", "linkId", "prefix", "text", "type", "enableWhen", "enableBehavior", "required", "repeats"}
    | {"readOnly", "answerValueSet", "answerOption", "initial", "item"}
)
_ON_ITEMS: Final = frozenset(
    {
        QUESTIONNAIRE_HIDDEN,
        QUESTIONNAIRE_ITEM_CONTROL,
        QUESTIONNAIRE_UNIT_OPTION,
        SDC_INITIAL_EXPRESSION,
        *(_CORE + name for name in ("mimeType", "questionnaire-referenceProfile", "questionnaire-referenceResource")),
        _CORE + "questionnaire-unitValueSet",
        *(_SDC + name for name in ("calculatedExpression", "candidateExpression", "contextExpression")),
        *(_SDC + name for name in ("enableWhenExpression", "lookupQuestionnaire")),
    }
)
_ON_TEXT: Final = frozenset({_CORE + "rendering-xhtml"})
_ON_OPTIONS: Final = frozenset({QUESTIONNAIRE_OPTION_EXCLUSIVE})


def check_support(file: str, form: Mapping[str, Any], items: Iterable[Mapping[str, Any]]) -> Iterator[PolicyFault]:
    """What a client may leave out (DTR 2.2.0 spec-21), and pages inside the form (spec-160); items of every depth."""
    if any(resource.get("resourceType") == "Binary" for resource in form.get("contained") or ()):
        yield PolicyFault(file, "contained", "holds a page (Binary), which may have active content (DTR spec-160)")
    for item in items:
        link_id = str(item.get("linkId"))
        for name in sorted({name.removeprefix("_") for name in item} - _ELEMENTS):
            yield PolicyFault(file, link_id, f"no DTR client need support {name} (DTR spec-21)")
        # supportLink is spoken of by itself: 2.0.1 has it.
        for url in sorted(set(_beyond(item, _ON_ITEMS)) - {QUESTIONNAIRE_SUPPORT_LINK}):
            yield PolicyFault(file, link_id, f"no DTR client need support the extension {url} (DTR spec-21)")


def _beyond(part: Mapping[str, Any], supported: frozenset[str]) -> Iterator[str]:
    """Extensions of an item, of its elements and of its options that the profiles do not flag at that place."""
    yield from {str(extension.get("url")) for extension in part.get("extension") or ()} - supported
    for name, value in part.items():
        if name in {"item", "extension"}:
            continue
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Mapping):
                yield from _beyond(each, _supported_in(name))


def _supported_in(element: str) -> frozenset[str]:
    if element == "answerOption":
        return _ON_OPTIONS
    return _ON_TEXT if element == "_text" or element.lstrip("_").startswith("value") else frozenset()

"""The population expressions of a form: which define of which library fills which question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.fhir.build import Json, extension
from service.fhir.canonical import DTR_ALTERNATIVE_EXPRESSION, SDC_INITIAL_EXPRESSION
from service.fhir.json import encode
from service.policy.model import LinkId
from service.ports import Resource

# A reference to a define and nothing more: "Library"."Define", quoted or plain (CQL 1.5 qualified identifier).
_PART = r'(?:"((?:[^"\\]|\\.)+)"|([A-Za-z_][A-Za-z0-9_]*))'
_REFERENCE: Final = re.compile(rf"\s*{_PART}\s*\.\s*{_PART}\s*")
_LANGUAGES: Final = frozenset({"text/cql", "text/cql-identifier"})


@dataclass(frozen=True, slots=True)
class DefineRef:
    """A define by its library's name and its own."""

    library: str
    define: str


def define_of(expression: Mapping[str, Any]) -> DefineRef | None:
    """The define that an Expression refers to; None when it is anything else."""
    found = _REFERENCE.fullmatch(str(expression.get("expression", "")))
    if found is None or expression.get("language") not in _LANGUAGES:
        return None
    quoted_library, library, quoted_define, define = found.groups()
    return DefineRef(_unquoted(quoted_library) or library, _unquoted(quoted_define) or define)


def population(questionnaire: Resource) -> dict[LinkId, DefineRef | None]:
    """Each question with an initialExpression, in the form's order; None where it is no reference to a define."""
    return {
        LinkId(item["linkId"]): define_of(part["valueExpression"])
        for item in _items(questionnaire)
        for part in item.get("extension") or ()
        if part["url"] == SDC_INITIAL_EXPRESSION
    }


def with_elm(questionnaire: Json) -> Json:
    """A copy whose CQL expressions carry their ELM beside them (2.2.0 spec-96)."""
    copied: Json = _with_elm(questionnaire)
    return copied


def _with_elm(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_elm(item) for item in value]
    if not isinstance(value, dict):
        return value
    copied = {name: _with_elm(item) for name, item in value.items()}
    expression = copied.get("valueExpression")
    if isinstance(expression, dict) and (reference := define_of(expression)):
        copied["valueExpression"] = {**expression, "extension": [*expression.get("extension", ()), _elm(reference)]}
    return copied


def _elm(reference: DefineRef) -> Json:
    # ELM of a reference to another library's define (CQL 1.5, ELM ExpressionRef).
    elm = {"type": "ExpressionRef", "libraryName": reference.library, "name": reference.define}
    return extension(
        DTR_ALTERNATIVE_EXPRESSION,
        valueExpression={"language": "application/elm+json", "expression": encode(elm).decode()},
    )


def _items(holder: Resource) -> Iterator[Resource]:
    for item in holder.get("item") or ():
        yield item
        yield from _items(item)


def _unquoted(text: str | None) -> str | None:
    return re.sub(r"\\(.)", r"\1", text) if text else None

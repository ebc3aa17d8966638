"""$log-questionnaire-errors: what clients found wrong with our forms, without a word that could be a patient's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from service.dtr.shelf import Shelf
from service.errors import InvalidResource, MissingElement
from service.fhir.build import Json
from service.fhir.canonical import versioned
from service.policy.case import ClientId
from service.ports import Resource

MOST_ISSUES: Final = 50
MOST_FORMS: Final = 20
_LONGEST_TEXT: Final = 20_000
_CANONICALS: Final = ("valueCanonical", "valueUri", "valueUrl", "valueString")
# Element names and indices alone: anything else in a FHIRPath may quote what was answered.
_PATH: Final = re.compile(r"[A-Z][A-Za-z]{0,40}(\.[a-z][A-Za-z]{0,40}(\[[0-9]{1,4}\])?){0,30}")
# FHIR R4 OperationOutcome.issue.severity and .code (IssueType).
_SEVERITIES: Final = frozenset({"fatal", "error", "warning", "information"})
_ISSUE_TYPES: Final = frozenset(
    {
        "invalid",
        "structure",
        "required",
        "value",
        "invariant",
        "security",
        "login",
        "unknown",
        "expired",
        "forbidden",
        "suppressed",
        "processing",
        "not-supported",
        "duplicate",
        "multiple-matches",
        "not-found",
        "deleted",
        "too-long",
        "code-invalid",
        "extension",
        "too-costly",
        "business-rule",
        "conflict",
        "transient",
        "lock-error",
        "no-store",
        "exception",
        "timeout",
        "incomplete",
        "throttled",
        "informational",
    }
)


class FormErrors(Protocol):
    """Where reports are kept."""

    async def save_form_error(self, client: ClientId, report: Mapping[str, Any], at: datetime) -> bool:
        """False when the client has sent so many lately that this one was not kept."""
        ...


@dataclass(frozen=True, slots=True)
class _Received:
    canonicals: tuple[str, ...]
    outcomes: tuple[Resource, ...]


def error_report(parameters: Resource, shelf: Shelf) -> Json:
    """What is kept of a report: our forms that it names, and its issues as codes, paths and names of our own.

    Both versions' spellings of the two parameters are taken (questionnaire, Questionnaire, operationOutcome,
    OperationOutcome). MissingElement without an OperationOutcome.
    """
    received = _received(parameters)
    forms = [content for canonical in received.canonicals if (content := shelf.content(canonical)) is not None]
    ours = dict.fromkeys(versioned(content.url, content.version) for content in forms)
    names = sorted({name for content in forms for name in _names(content.questionnaire)})
    issues = [issue for outcome in received.outcomes for issue in outcome.get("issue") or ()]
    return {
        "questionnaires": list(ours),
        "unknownQuestionnaires": len(received.canonicals) - len(forms),
        "issues": [_scrubbed(issue, names) for issue in issues[:MOST_ISSUES]],
        "issueCount": len(issues),
    }


def _received(parameters: Resource) -> _Received:
    canonicals: list[str] = []
    outcomes: list[Resource] = []
    for index, parameter in enumerate(parameters.get("parameter") or ()):
        name = str(parameter.get("name")).casefold()
        if name == "questionnaire":
            canonicals += [parameter[element] for element in _CANONICALS if isinstance(parameter.get(element), str)]
        elif name == "operationoutcome":
            resource = parameter.get("resource")
            if not isinstance(resource, Mapping) or resource.get("resourceType") != "OperationOutcome":
                expression = f"Parameters.parameter[{index}].resource"
                raise InvalidResource(f"{expression} must be an OperationOutcome.", expression=(expression,))
            outcomes.append(resource)
    if not outcomes:
        raise MissingElement(
            "Parameters has no OperationOutcome. Send what went wrong as a resource named operationOutcome.",
            expression=("Parameters.parameter",),
        )
    return _Received(tuple(canonicals[:MOST_FORMS]), tuple(outcomes))


def _scrubbed(issue: Mapping[str, Any], names: Iterable[str]) -> Json:
    severity, code = issue.get("severity"), issue.get("code")
    expressions = [text for text in issue.get("expression") or () if isinstance(text, str) and _PATH.fullmatch(text)]
    said = " ".join(_texts(issue))[:_LONGEST_TEXT]
    return {
        "severity": severity if severity in _SEVERITIES else "unknown",
        "code": code if code in _ISSUE_TYPES else "unknown",
        "expression": expressions[:10],
        "mentions": [name for name in names if name in said],
    }


def _texts(issue: Mapping[str, Any]) -> Iterator[str]:
    """Where a report says which part of the form failed. Only names of our own are taken from it."""
    texts = [issue.get("diagnostics"), (issue.get("details") or {}).get("text"), *(issue.get("location") or ())]
    yield from (text for text in (*texts, *(issue.get("expression") or ())) if isinstance(text, str))


def _names(questionnaire: Json) -> Iterator[str]:
    """LinkIds of a form, and the expressions that fill its questions."""
    for item in questionnaire.get("item") or ():
        yield item["linkId"]
        for extension in item.get("extension") or ():
            if (text := (extension.get("valueExpression") or {}).get("expression")) is not None:
                yield from re.findall(r'"([^"]+)"', text)
        yield from _names(item)

"""The input of $questionnaire-package: Parameters into a frozen value, liberal where the guide's texts differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import Any, Final

from service.errors import Fault, InvalidResource, MissingElement
from service.policy.dates import PartialDate
from service.ports import Resource

# 2.0.1 spells a canonical as valueCanonical; older senders use the types it specialises.
_CANONICALS: Final = ("valueCanonical", "valueUri", "valueUrl", "valueString")


@dataclass(frozen=True, slots=True)
class Given:
    """A resource that was sent, and where (FHIRPath); `name` is what our texts call it, for example "order[0]"."""

    resource: Resource
    expression: str
    name: str


@dataclass(frozen=True, slots=True)
class AskedForm:
    """A form asked for by canonical, with or without version, and where."""

    canonical: str
    expression: str
    name: str


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """What a client asks for. There is a coverage, and at least one of orders, forms and context (dtr-1)."""

    coverages: tuple[Given, ...]
    orders: tuple[Given, ...]
    referenced: tuple[Resource, ...]
    forms: tuple[AskedForm, ...]
    context: str | None
    changed_since: datetime | None


@dataclass
class _Draft:
    coverages: list[Given] = field(default_factory=list)
    orders: list[Given] = field(default_factory=list)
    referenced: list[Resource] = field(default_factory=list)
    forms: list[AskedForm] = field(default_factory=list)
    contexts: list[str] = field(default_factory=list)
    changed_since: list[datetime] = field(default_factory=list)


def package_request(parameters: Resource) -> PackageRequest:
    """Read Parameters that passed the structure check.

    MissingElement: no coverage, or none of order, questionnaire and context. InvalidResource: a parameter of
    another type than the operation takes. Parameters with other names are passed over.
    """
    draft = _Draft()
    for index, parameter in enumerate(parameters.get("parameter") or ()):
        _take(parameter, f"Parameters.parameter[{index}]", draft)
    if not draft.coverages:
        raise MissingElement(
            "Parameters has no parameter named coverage. Send the patient's Coverage as a resource.",
            expression=("Parameters.parameter",),
        )
    if not (draft.orders or draft.forms or draft.contexts):
        raise MissingElement(
            "Parameters has none of order, questionnaire and context. Send at least one of them.",
            expression=("Parameters.parameter",),
        )
    if len(draft.contexts) > 1 or len(draft.changed_since) > 1:
        raise _invalid("Parameters.parameter", "holds context or changedsince more than once")
    return PackageRequest(
        coverages=tuple(draft.coverages),
        orders=tuple(draft.orders),
        referenced=tuple(draft.referenced),
        forms=tuple(draft.forms),
        context=draft.contexts[0] if draft.contexts else None,
        changed_since=draft.changed_since[0] if draft.changed_since else None,
    )


def _take(parameter: Mapping[str, Any], expression: str, draft: _Draft) -> None:
    name = parameter.get("name")
    if name == "coverage":
        resource = _resource(parameter, expression)
        if resource.get("resourceType") != "Coverage":
            raise _invalid(f"{expression}.resource", "must be a Coverage")
        draft.coverages.append(Given(resource, f"{expression}.resource", f"coverage[{len(draft.coverages)}]"))
    elif name == "order":
        resource = _resource(parameter, expression)
        draft.orders.append(Given(resource, f"{expression}.resource", f"order[{len(draft.orders)}]"))
    elif name == "referenced":
        draft.referenced.append(_resource(parameter, expression))
    elif name == "questionnaire":
        canonical = next((parameter[key] for key in _CANONICALS if isinstance(parameter.get(key), str)), None)
        if canonical is None:
            raise _invalid(expression, "must have a valueCanonical")
        draft.forms.append(AskedForm(canonical, expression, f"questionnaire[{len(draft.forms)}]"))
    elif name == "context":
        draft.contexts.append(_context(parameter, expression))
    elif name == "changedsince":
        draft.changed_since.append(_moment(parameter, expression))


def _resource(parameter: Mapping[str, Any], expression: str) -> Resource:
    resource = parameter.get("resource")
    if not isinstance(resource, Mapping):
        raise _invalid(expression, "must have a resource")
    return resource


def _context(parameter: Mapping[str, Any], expression: str) -> str:
    # PAS 2.0.1 hands the id on as an Identifier (Task input questionnaires-needed).
    identifier = parameter.get("valueIdentifier")
    value = identifier.get("value") if isinstance(identifier, Mapping) else parameter.get("valueString")
    if not isinstance(value, str):
        raise _invalid(expression, "must have a valueString: the coverage-assertion-id of the order")
    return value


def _moment(parameter: Mapping[str, Any], expression: str) -> datetime:
    """An instant (the profile's type) or a dateTime (2.0.1's OperationDefinition); a date means its first moment."""
    text = parameter.get("valueInstant") or parameter.get("valueDateTime")
    if not isinstance(text, str):
        raise _invalid(expression, "must have a valueInstant")
    if "T" not in text:
        day = PartialDate.parse(text)
        if day is None:
            raise _invalid(expression, "must name a day of the calendar")
        return datetime.combine(day.earliest(), time(), UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        # What Python's calendar does not reach, such as a leap second.
        raise _invalid(expression, "must be an instant with seconds and time zone") from None


def _invalid(expression: str, problem: str) -> InvalidResource:
    return InvalidResource(
        f"{expression} {problem}.", expression=(expression,), faults=(Fault(expression, problem, "invalid"),)
    )

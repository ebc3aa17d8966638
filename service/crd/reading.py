"""Reading parts of received resources; whatever does not have the right JSON type counts as absent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from service.fhir.build import Json
from service.fhir.canonical import CRD_BILLING_OPTIONS, IDENTIFIER_TYPE, MEMBER_ID_TYPE_CODE


def object_at(holder: Mapping[str, Any] | None, *path: str) -> Json:
    """The object at the end of a path of single elements; {} when it is not there."""
    found: Any = holder
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def objects_at(holder: Mapping[str, Any], name: str) -> list[Json]:
    """The objects of a repeating element."""
    found = holder.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def text_at(holder: Mapping[str, Any], name: str) -> str | None:
    """A string element that is not blank."""
    found = holder.get(name)
    return found if isinstance(found, str) and found.strip() else None


def texts_at(holder: Mapping[str, Any], name: str) -> list[str]:
    """The strings of a repeating element."""
    found = holder.get(name)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def identifiers(resource: Mapping[str, Any]) -> Iterator[tuple[Json, str | None, str]]:
    """(Identifier, system, value) of each identifier with a value."""
    for identifier in objects_at(resource, "identifier"):
        value = text_at(identifier, "value")
        if value is not None:
            yield identifier, text_at(identifier, "system"), value.strip()


def member_ids(resource: Mapping[str, Any], member_system: str) -> frozenset[str]:
    """Values of identifiers of type MB (HL7 v2-0203), or of our own member system."""
    return frozenset(
        value
        for identifier, system, value in identifiers(resource)
        if system == member_system or _is_member_number(object_at(identifier, "type"))
    )


def concept_with_billing(concept: Json) -> list[Json]:
    """A CodeableConcept and the billing codes that the client puts beside it (CRD 2.2.1 billopt-3)."""
    options = [
        object_at(extension, "valueCodeableConcept")
        for extension in objects_at(concept, "extension")
        if extension.get("url") == CRD_BILLING_OPTIONS
    ]
    return [found for found in (concept, *options) if found]


def last_steps(reference: str) -> str:
    """ "Type/id" of a relative or absolute reference, its version left aside; any other text as it is."""
    steps = reference.partition("/_history/")[0].rstrip("/").split("/")
    return "/".join(steps[-2:])


def _is_member_number(kind: Json) -> bool:
    return any(
        coding.get("system") == IDENTIFIER_TYPE and coding.get("code") == MEMBER_ID_TYPE_CODE
        for coding in objects_at(kind, "coding")
    )

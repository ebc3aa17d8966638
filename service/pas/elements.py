"""Reading parts of received resources that may be absent; never trusts a type that was not looked at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from service.fhir.canonical import IDENTIFIER_TYPE, MEMBER_ID_TYPE_CODE, NPI, PAS_ITEM_TRACE_NUMBER

Json = dict[str, Any]


def instant(moment: datetime) -> str:
    """A FHIR instant in UTC, whole seconds."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def instant_of(value: object) -> datetime | None:
    """The moment of a FHIR instant, which has a zone; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def listed(element: Mapping[str, Any], name: str) -> list[Json]:
    """The objects of a repeating element; empty when it is absent or not a list."""
    found = element.get(name)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def text_of(element: Mapping[str, Any], name: str) -> str | None:
    """A non-blank string element."""
    found = element.get(name)
    return found if isinstance(found, str) and found.strip() else None


def object_of(element: Mapping[str, Any], name: str) -> Json | None:
    """A complex element that occurs at most once."""
    found = element.get(name)
    return found if isinstance(found, dict) else None


def positive(value: object) -> int | None:
    """A positiveInt; true is no number."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def numbers(element: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """The positive integers of a repeating element."""
    found = element.get(name)
    return tuple(n for item in found if (n := positive(item)) is not None) if isinstance(found, list) else ()


def extensions(element: Mapping[str, Any], url: str) -> Iterator[Json]:
    """Each extension of that url directly on the element."""
    return (item for item in listed(element, "extension") if item.get("url") == url)


def extension(element: Mapping[str, Any], url: str) -> Json | None:
    """The first extension of that url directly on the element."""
    return next(extensions(element, url), None)


def trace_of(item: Mapping[str, Any]) -> str | None:
    """The value of a Claim.item's first trace number: the one that a Task of ours gives as its context."""
    identifier = object_of(extension(item, PAS_ITEM_TRACE_NUMBER) or {}, "valueIdentifier")
    return text_of(identifier or {}, "value")


def diagnoses_of(claim: Mapping[str, Any], item: Mapping[str, Any]) -> Iterator[Json]:
    """The diagnosisCodeableConcept of each Claim.diagnosis that the item points to, in the Claim's order."""
    pointed = numbers(item, "diagnosisSequence")
    for diagnosis in listed(claim, "diagnosis"):
        concept = object_of(diagnosis, "diagnosisCodeableConcept")
        if concept is not None and diagnosis.get("sequence") in pointed:
            yield concept


def codings(concept: object) -> list[tuple[str | None, str]]:
    """(system, code) of each coding of a CodeableConcept that has a code."""
    if not isinstance(concept, dict):
        return []
    return [
        (text_of(coding, "system"), code) for coding in listed(concept, "coding") if (code := text_of(coding, "code"))
    ]


def identifiers(element: Mapping[str, Any]) -> Iterator[tuple[Json, str | None, str]]:
    """(Identifier, system, value) of each identifier that has a value."""
    for identifier in listed(element, "identifier"):
        value = text_of(identifier, "value")
        if value is not None:
            yield identifier, text_of(identifier, "system"), value.strip()


def identifier_of(reference: Mapping[str, Any]) -> tuple[str | None, str] | None:
    """(system, value) of a Reference's logical identifier."""
    identifier = object_of(reference, "identifier")
    value = text_of(identifier, "value") if identifier else None
    return (text_of(identifier, "system"), value.strip()) if identifier and value else None


def member_ids(resource: Mapping[str, Any], member_system: str | None) -> frozenset[str]:
    """Values of identifiers of type MB (HL7 v2-0203), or of the payer's own member system."""
    return frozenset(
        value
        for identifier, system, value in identifiers(resource)
        if (member_system is not None and system == member_system)
        or (IDENTIFIER_TYPE, MEMBER_ID_TYPE_CODE) in codings(identifier.get("type"))
    )


def npis(resource: Mapping[str, Any]) -> frozenset[str]:
    """National provider identifiers of a Practitioner, Organization or PractitionerRole."""
    return frozenset(value for _, system, value in identifiers(resource) if system == NPI)

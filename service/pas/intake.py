"""A received PAS Bundle, checked as far as $submit and $inquire both need: one index, the Claim first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from service.errors import Fault, InvalidResource, MissingElement, TooLarge, UnresolvedReference
from service.fhir.bundle import Entries, Entry
from service.fhir.json import repeats_a_name
from service.fhir.parse import StructureCheck
from service.pas.elements import Json, listed, object_of, positive, text_of
from service.settings import Settings
from service.wire import read_json

CLAIM: Final = "Bundle.entry[0].resource"
MOST: Final = 500
"""Items, diagnoses or documents in one Claim. Every line is evaluated by itself within the time of one answer."""


@dataclass(frozen=True, slots=True)
class Received:
    """A Bundle whose entries have unique fullUrls and whose first entry is an active preauthorization Claim."""

    bundle: Json
    entries: Entries
    claim: Json

    def party(self, name: str, kinds: tuple[str, ...]) -> Json | None:
        """The resource that Claim.`name` refers to; MissingElement or UnresolvedReference otherwise.

        None when the reference is logical (identifier only) and nothing here carries the identifier.
        """
        reference = object_of(self.claim, name)
        if reference is None:
            raise missing(f"{CLAIM}.{name}")
        return self.target(reference, f"{CLAIM}.{name}", kinds)

    def target(self, reference: Json, expression: str, kinds: tuple[str, ...]) -> Json | None:
        """The resource, of one of these types, that a Reference of the Claim means.

        None for a logical reference (identifier only) that nothing here carries.
        """
        found = self.entries.resolve(reference, within=self.claim, by_identifier=True)
        if found is None:
            literal = text_of(reference, "reference")
            if literal is None and object_of(reference, "identifier") is not None:
                return None
            raise self._unresolved(reference, expression)
        if kinds and found.get("resourceType") not in kinds:
            raise InvalidResource(
                f"{expression} refers to a resource of the wrong type. Refer to {' or '.join(kinds)}.",
                expression=(expression,),
                faults=(Fault(expression, f"must refer to {' or '.join(kinds)}", "invalid"),),
            )
        return found

    def evidence(self, reference: Json, expression: str) -> Json:
        """The resource behind a reference whose content the decision reads; it must be in the Bundle."""
        found = self.entries.resolve(reference, within=self.claim, by_identifier=True)
        if found is None:
            raise self._unresolved(reference, expression)
        return found

    def _unresolved(self, reference: Json, expression: str) -> UnresolvedReference:
        several = self.entries.ambiguous(reference, within=self.claim, by_identifier=True)
        problem = "fits several entries" if several else "leads to no entry"
        return UnresolvedReference(
            f"{expression} {problem} of the Bundle. Send every resource that the Claim refers to, exactly once.",
            expression=(expression,),
            faults=(Fault(expression, f"{problem} of the Bundle", "not-found"),),
        )


def read_message(body: bytes, settings: Settings) -> Any:
    """The JSON of something that decisions rest on; InvalidResource for what is not JSON, or has two readings."""
    value = read_json(body, settings)
    if repeats_a_name(body, value):
        raise InvalidResource("An object of the body has the same name twice. Send every name once.")
    return value


def receive(body: object, check: StructureCheck) -> Received:
    """Check a request's body. InvalidResource, MissingElement or UnresolvedReference with FHIRPath, else Received."""
    bundle = bundle_of(body)
    _refuse_empty(bundle)
    check.require(bundle, expected=frozenset({"Bundle"}))
    if bundle.get("type") != "collection":
        raise invalid("Bundle.type", "must be collection")
    _check_entries(bundle)
    entries = Entries.of(bundle)
    if entries.duplicate_full_urls():
        places = [f"Bundle.entry[{entry.index}].fullUrl" for entry in _repeated(entries)]
        raise _invalid_all(places, "repeats the fullUrl of another entry; send each resource once")
    claim = entries.all_entries[0].resource
    _check_claim(claim)
    return Received(bundle, entries, claim)


def missing(expression: str) -> MissingElement:
    """A mandatory element is absent."""
    return MissingElement(
        f"{expression} is missing. Send it; PAS makes it mandatory.",
        expression=(expression,),
        faults=(Fault(expression, "is mandatory and missing", "required"),),
    )


def invalid(expression: str, problem: str) -> InvalidResource:
    """An element is there and is not what the guide prescribes."""
    return _invalid_all([expression], problem)


def check_sequences(claim: Json, name: str) -> frozenset[int]:
    """The sequences of Claim.`name`: each present, positive and unique. TooLarge beyond MOST of them."""
    numbered = listed(claim, name)
    if len(numbered) > MOST:
        raise TooLarge(f"{CLAIM}.{name} has more than {MOST} entries. Split the request.")
    seen: set[int] = set()
    for index, element in enumerate(numbered):
        expression = f"{CLAIM}.{name}[{index}].sequence"
        number = positive(element.get("sequence"))
        if number is None:
            raise missing(expression)
        if number in seen:
            raise invalid(expression, "repeats the sequence of another one; sequences are unique")
        seen.add(number)
    return frozenset(seen)


def bundle_of(body: object) -> Json:
    """The request Bundle of a body that is one, or Parameters with it as the parameter `resource`."""
    if isinstance(body, dict) and body.get("resourceType") == "Parameters":
        named = [p for p in listed(body, "parameter") if p.get("name") == "resource"]
        if len(named) != 1:
            raise _not_a_bundle()
        body = named[0].get("resource")
    if not isinstance(body, dict) or body.get("resourceType") != "Bundle":
        raise _not_a_bundle()
    return body


def _not_a_bundle() -> InvalidResource:
    return InvalidResource(
        "The body is not a PAS request. Send one Bundle of type collection, alone or as the parameter "
        "named resource of a Parameters.",
        expression=("Bundle",),
        faults=(Fault("Bundle", "a Bundle is expected here", "invalid"),),
    )


def _refuse_empty(bundle: Json) -> None:
    listed_entries = bundle.get("entry")
    if not isinstance(listed_entries, list) or not listed_entries:
        raise MissingElement(
            "Bundle.entry is empty. Send the Claim first, then every resource that it refers to.",
            expression=("Bundle.entry",),
            faults=(Fault("Bundle.entry", "is mandatory and empty", "required"),),
        )


def _check_entries(bundle: Json) -> None:
    for index, entry in enumerate(bundle["entry"]):
        if not isinstance(entry, dict) or not isinstance(entry.get("resource"), dict):
            raise missing(f"Bundle.entry[{index}].resource")
        if text_of(entry, "fullUrl") is None:
            raise missing(f"Bundle.entry[{index}].fullUrl")


def _repeated(entries: Entries) -> Iterator[Entry]:
    seen: set[str | None] = set()
    for entry in entries.all_entries:
        if entry.full_url in seen:
            yield entry
        seen.add(entry.full_url)


def _check_claim(claim: Json) -> None:
    if claim.get("resourceType") != "Claim":
        raise invalid(CLAIM, "must be the Claim; send it as the first entry")
    if claim.get("status") != "active":
        raise invalid(f"{CLAIM}.status", "must be active, also when something is cancelled")
    if claim.get("use") != "preauthorization":
        raise invalid(f"{CLAIM}.use", "must be preauthorization")


def _invalid_all(expressions: list[str], problem: str) -> InvalidResource:
    first = expressions[0]
    return InvalidResource(
        f"{first} {problem}.",
        expression=tuple(expressions),
        faults=tuple(Fault(expression, problem, "invalid") for expression in expressions),
    )

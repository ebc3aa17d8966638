"""The demo EHR's records, in memory: read by id, found by patient and a few search parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from service.errors import NotFound, NotSupported
from service.fhir.build import Json, bundle, entry

_PATIENT_ELEMENTS: Final = ("subject", "patient", "beneficiary")


class EhrStore:
    """FHIR resources of one process. Resources are replaced, never changed in place."""

    def __init__(self) -> None:
        self._resources: dict[tuple[str, str], Json] = {}

    def put(self, resource: Json) -> None:
        """Saves a resource under its type and id, in place of what was there."""
        self._resources[resource["resourceType"], resource["id"]] = resource

    def write(self, resource: Json) -> Json:
        """Saves what came from outside under its next version; the resource as it is now held."""
        held = self._resources.get((resource["resourceType"], resource["id"]))
        meta = {**resource.get("meta", {}), "versionId": str(version_of(held) + 1)}
        written = {**resource, "meta": meta}
        self.put(written)
        return written

    def read(self, kind: str, resource_id: str) -> Json:
        """A resource; NotFound."""
        try:
            return self._resources[kind, resource_id]
        except KeyError:
            raise NotFound("There is no such resource in the demo EHR.") from None

    def resolve(self, reference: str) -> Json | None:
        """What "Type/id" refers to."""
        kind, _, resource_id = reference.partition("/")
        return self._resources.get((kind, resource_id))

    def records_of(self, patient_id: str) -> tuple[Json, ...]:
        """A patient and everything about that patient."""
        return tuple(r for r in self._resources.values() if patient_id in _patients(r))

    def forget(self, patient_id: str) -> None:
        """Removes a patient and everything about that patient."""
        for resource in self.records_of(patient_id):
            del self._resources[resource["resourceType"], resource["id"]]

    def search(self, kind: str, parameters: Mapping[str, str]) -> tuple[Json, ...]:
        """Resources of one type that fit all parameters (alternatives by comma); NotSupported for others.

        Without `patient`, `subject` or `_id` nothing is listed: a chart is opened for one patient.
        """
        for name in parameters:
            if name not in _SEARCHES:
                known = ", ".join(sorted(_SEARCHES))
                raise NotSupported(f"A search parameter is not known here. Use {known}.")
        if not {"patient", "subject", "practitioner", "_id"} & parameters.keys():
            raise NotSupported("Search for one patient: add the parameter patient, or _id.")
        return tuple(
            resource
            for (held, _), resource in self._resources.items()
            if held == kind and all(_fits(resource, name, text) for name, text in parameters.items())
        )


def version_of(resource: Json | None) -> int:
    """The version of a resource: 0 for none, 1 as it was loaded."""
    return 0 if resource is None else int(resource.get("meta", {}).get("versionId", "1"))


def searchset(resources: Iterable[Json], base: str) -> Json:
    """The searchset Bundle of what was found; `base` is the FHIR base of the fullUrls."""
    found = [
        entry(f"{base}/{resource['resourceType']}/{resource['id']}", resource, search={"mode": "match"})
        for resource in resources
    ]
    return bundle("searchset", found, total=len(found))


def _fits(resource: Json, name: str, text: str) -> bool:
    wanted = text.split(",")
    return any(_SEARCHES[name](resource, one) for one in wanted)


def _patients(resource: Json) -> frozenset[str]:
    if resource["resourceType"] == "Patient":
        return frozenset({resource["id"]})
    named = (resource.get(element, {}).get("reference", "") for element in _PATIENT_ELEMENTS)
    return frozenset(text.removeprefix("Patient/") for text in named if text.startswith("Patient/"))


def _codings(resource: Json, *elements: str) -> Iterator[Mapping[str, Any]]:
    for element in elements:
        value = resource.get(element, [])
        for concept in value if isinstance(value, list) else [value]:
            yield from concept.get("coding", ())


def _has_token(codings: Iterator[Mapping[str, Any]], token: str) -> bool:
    system, bar, code = token.rpartition("|")
    return any(coding.get("code") == code and (not bar or coding.get("system", "") == system) for coding in codings)


_SEARCHES: Final[Mapping[str, Callable[[Json, str], bool]]] = {
    "_id": lambda resource, text: resource["id"] == text,
    "patient": lambda resource, text: text.removeprefix("Patient/") in _patients(resource),
    "subject": lambda resource, text: text.removeprefix("Patient/") in _patients(resource),
    "practitioner": lambda resource, text: resource.get("practitioner", {}).get("reference") == text,
    "status": lambda resource, text: resource.get("status") == text,
    "intent": lambda resource, text: resource.get("intent") == text,
    "code": lambda resource, text: _has_token(_codings(resource, "code", "medicationCodeableConcept"), text),
    "category": lambda resource, text: _has_token(_codings(resource, "category"), text),
}

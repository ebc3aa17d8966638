"""What a guide's own profiles say of a resource: add all that they support, or take away all that they do not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Wanted = Callable[[Json], bool]

# One value of each type; a Reference is made by its target. Elements that have a pattern or a fixed value get that.
_SAMPLES: Mapping[str, Any] = {
    "Address": {"line": ["1 Main Street"], "city": "Springfield", "postalCode": "62701-1234", "country": "US"},
    "CodeableConcept": {"coding": [{"system": "urn:example:codes", "code": "x"}]},
    "Coding": {"system": "urn:example:codes", "code": "x"},
    "Annotation": {"text": "said"},
    "ContactPoint": {"system": "phone", "value": "555-0100"},
    "Dosage": {"text": "as directed"},
    "Duration": {"value": 1, "unit": "d"},
    "HumanName": {"family": "Doe", "given": ["Jan"]},
    "Identifier": {"system": "urn:example:ids", "value": "1"},
    "Money": {"value": 1, "currency": "USD"},
    "Period": {"start": "2026-09-08", "end": "2026-09-09"},
    "Meta": {"versionId": "1"},
    "Quantity": {"value": 1, "unit": "unit"},
    "boolean": False,
    "code": "x",
    "date": "2026-09-08",
    "dateTime": "2026-09-08T00:00:00Z",
    "decimal": 1,
    "integer": 1,
    "positiveInt": 1,
    "Timing": {"code": {"text": "daily"}},
    "instant": "2026-09-08T00:00:00Z",
    "string": "said",
    "unsignedInt": 1,
    "url": "https://ehr.example.org/x",
    "uri": "urn:example:uri",
    "canonical": "urn:example:canonical",
}


def is_mandatory(element: Json) -> bool:
    return bool(element.get("min", 0) >= 1)


def is_supported(element: Json) -> bool:
    """Mandatory or must-support: all that a guide lets a server count on, or makes it take."""
    return is_mandatory(element) or bool(element.get("mustSupport"))


@dataclass(frozen=True)
class Guide:
    """The StructureDefinitions of a package by url, and where a Reference of each type leads in the tests."""

    definitions: Mapping[str, Json]
    targets: Mapping[str, str]

    @classmethod
    def of(cls, package: Mapping[str, Json], targets: Mapping[str, str]) -> Guide:
        kept = (one for one in package.values() if one.get("resourceType") == "StructureDefinition")
        return cls({one["url"]: one for one in kept}, targets)

    def elements(self, url: str) -> list[Json]:
        found: list[Json] = self.definitions[url.partition("|")[0]]["snapshot"]["element"]
        return found

    def filled(self, resource: Json, url: str) -> Json:
        """A copy with everything that the profile supports; what is there already stays."""
        made = copy.deepcopy(resource)
        elements = self.elements(url)
        self._fill(made, elements, elements[0]["id"])
        return made

    def stripped(self, resource: Json, url: str, wanted: Wanted) -> Json:
        """A copy without the elements that are not wanted; extensions go by their url."""
        elements = self.elements(url)
        return self._strip(resource, elements, elements[0]["path"], wanted)

    def _fill(self, node: Json, elements: list[Json], place: str) -> None:
        for element in _children(elements, place):
            name = element["id"].removeprefix(place + ".")
            if not is_supported(element) or element.get("max") == "0" or name in ("id", "resourceType"):
                continue
            if ":" in name:
                self._fill_slice(node, elements, element)
            elif name not in ("extension", "modifierExtension") and not _present(node, name):
                self._add(node, elements, element)
            else:
                for child in _objects(node.get(name)):
                    self._fill(child, elements, element["id"])

    def _add(self, node: Json, elements: list[Json], element: Json) -> None:
        name, value = self._sample(elements, element)
        several = element["base"]["max"] != "1"
        node[name] = [*node.get(name, []), value] if several else value

    def _fill_slice(self, node: Json, elements: list[Json], element: Json) -> None:
        name = element["path"].rpartition(".")[2]
        if name in ("extension", "modifierExtension"):
            profile = element["type"][0]["profile"][0].partition("|")[0]
            if not any(one["url"] == profile for one in node.get(name, [])):
                node.setdefault(name, []).append(self._extension(profile, elements, element["id"]))
        elif name.endswith("[x]"):
            # A second choice beside the first would be a fault; the resource keeps the one that it has.
            return
        else:
            self._add(node, elements, element)
            if "sequence" in node[name][-1]:
                node[name][-1]["sequence"] = len(node[name])

    def _sample(self, elements: list[Json], element: Json) -> tuple[str, Any]:
        """(name, value)"""
        kind = element["type"][0]
        code: str = kind["code"]
        name = element["path"].rpartition(".")[2].removesuffix("[x]")
        if "[x]" in element["path"].rpartition(".")[2]:
            name += code[0].upper() + code[1:]
        given = [value for key, value in element.items() if key.startswith(("fixed", "pattern"))]
        if given:
            return name, copy.deepcopy(given[0])
        if code == "Reference":
            return name, {"reference": self._target(kind)}
        value: Any = {} if code == "BackboneElement" else copy.deepcopy(_SAMPLES[code])
        if code == "BackboneElement":
            self._fill(value, elements, element["id"])
        return name, value

    def _target(self, kind: Json) -> str:
        asked = [url.rpartition("/")[2].partition("|")[0] for url in kind.get("targetProfile", [])]
        return next((self.targets[one] for one in asked if one in self.targets), self.targets["other"])

    def _extension(self, url: str, inside: list[Json], place: str) -> Json:
        if url not in self.definitions:
            # A pre-adopted element of R5: its own type is not in the package.
            return {"url": url, "valueReference": {"reference": self.targets["other"]}}
        elements = self.elements(url)
        parts = [one for one in elements if one["path"] == "Extension.extension" and "sliceName" in one]
        if parts and any(one.get("max") != "0" for one in parts):
            return {"url": url, "extension": [self._part(elements, one) for one in parts if one.get("max") != "0"]}
        own = [one for one in inside if one["id"] == f"{place}.value[x]"]
        [value] = own or [one for one in elements if one["id"] == "Extension.value[x]"]
        return {"url": url, **dict([self._sample(elements, value)])}

    def _part(self, elements: list[Json], part: Json) -> Json:
        profile = part["type"][0].get("profile")
        if profile:
            return self._extension(profile[0].partition("|")[0], elements, part["id"])
        [url] = [one["fixedUri"] for one in elements if one["id"] == f"{part['id']}.url"]
        [value] = [one for one in elements if one["id"] == f"{part['id']}.value[x]"]
        return {"url": url, **dict([self._sample(elements, value)])}

    def _strip(self, node: Json, elements: list[Json], path: str, wanted: Wanted) -> Json:
        kept: Json = {}
        for name, value in node.items():
            if name == "resourceType":
                kept[name] = value
            elif name == "extension":
                urls = {
                    one["type"][0]["profile"][0].partition("|")[0]
                    for one in elements
                    if one["path"] == f"{path}.extension" and "sliceName" in one and wanted(one)
                }
                if left := [one for one in value if one["url"] in urls]:
                    kept[name] = left
            elif (found := _named(elements, path, name)) and any(wanted(one) for one in found):
                left = self._without(value, elements, found[0]["path"], wanted)
                if left not in ({}, []):
                    kept[name] = left
        return kept

    def _without(self, value: Any, elements: list[Json], path: str, wanted: Wanted) -> Any:
        """What is left of a value; one of a data type is kept whole, for its parts belong together."""
        if isinstance(value, list):
            return [left for one in value if (left := self._without(one, elements, path, wanted)) != {}]
        types = {kind["code"] for one in elements if one["path"] == path for kind in one.get("type", [])}
        return self._strip(value, elements, path, wanted) if types == {"BackboneElement"} else value


def _children(elements: list[Json], place: str) -> Iterator[Json]:
    for element in elements:
        head, _, tail = element["id"].rpartition(".")
        if head == place and tail:
            yield element


def _named(elements: list[Json], path: str, name: str) -> list[Json]:
    """Elements of that path that may be called so: "value[x]" for valueString."""
    found = []
    for element in elements:
        head, _, tail = element["path"].rpartition(".")
        if head == path and (tail == name or (tail.endswith("[x]") and name.startswith(tail[:-3]))):
            found.append(element)
    return found


def _present(node: Json, name: str) -> bool:
    stem = name.removesuffix("[x]")
    return any(key == name or (name != stem and key.startswith(stem)) for key in node)


def _objects(value: Any) -> list[Json]:
    listed = value if isinstance(value, list) else [value]
    return [one for one in listed if isinstance(one, dict)]

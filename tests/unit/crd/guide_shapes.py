"""What a guide's own definitions say about a JSON document: elements, how many, which kinds and which codes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.unit.crd.world import Json

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TEXTS: Final = frozenset({"string", "markdown", "code", "url", "uuid"})
# Required bindings of the CDS Hooks models, whose value sets are in no package: the words of CDS Hooks 3.0.
_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "CDSIndicator": frozenset({"info", "warning", "critical"}),
    "CDSActionType": frozenset({"create", "update", "delete"}),
    "CDSSelectionBehavior": frozenset({"any", "at-most-one"}),
    "CDSLinkType": frozenset({"absolute", "smart"}),
}


def model_faults(model: Json, document: Any) -> list[str]:
    """Where a CDS Hooks document departs from a logical model: path and what is wrong."""
    elements = {element["path"]: element for element in model["snapshot"]["element"]}
    root = model["snapshot"]["element"][0]["path"]
    return list(_object_faults(elements, root, document))


def _object_faults(elements: Mapping[str, Json], path: str, value: Any) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is no object"
        return
    children = {name.rpartition(".")[2]: name for name in elements if name.rpartition(".")[0] == path}
    yield from (f"{path}.{name} is unknown" for name in value if name not in children)
    for name, child in children.items():
        element = elements[child]
        given = value.get(name, [])
        values = given if isinstance(given, list) else [given]
        if len(values) < element["min"] or (element["max"] != "*" and len(values) > int(element["max"])):
            yield f"{child} stands {len(values)} times"
        for each in values:
            yield from _value_faults(elements, child, each)
    if path.endswith(".cards") and "suggestions" in value and "selectionBehavior" not in value:
        yield f"{path}: cds-resp-6"


def _value_faults(elements: Mapping[str, Json], path: str, value: Any) -> Iterator[str]:
    element = elements[path]
    kind = element["type"][0]["code"].rpartition("/")[2]
    if any(name.startswith(f"{path}.") for name in elements):
        yield from _object_faults(elements, path, value)
    elif kind in _TEXTS:
        if not isinstance(value, str) or not value.strip():
            yield f"{path} is no text"
        elif kind == "uuid" and not _UUID.fullmatch(value):
            yield f"{path} is no UUID"
        words = _WORDS.get(element.get("binding", {}).get("valueSet", "").rpartition("/")[2])
        if words and value not in words:
            yield f"{path} is none of {sorted(words)}"
        if element.get("patternCode", value) != value:
            yield f"{path} is not {element['patternCode']}"
    elif kind == "boolean":
        if not isinstance(value, bool):
            yield f"{path} is no Boolean"
    elif not isinstance(value, dict):
        yield f"{path} is no {kind}"
    elif kind == "Coding" and not {"system", "code"} <= set(value):
        yield f"{path} has no system or no code"


def extension_faults(package: Mapping[str, Any], block: Json) -> list[str]:
    """Where a coverage-information block departs from the definition of its guide's package."""
    definition = package["StructureDefinition-ext-coverage-information.json"]
    elements = {element["id"]: element for element in definition["snapshot"]["element"]}
    return list(_slice_faults(package, elements, "Extension", block))


def _slice_faults(package: Mapping[str, Any], elements: Mapping[str, Json], path: str, block: Json) -> Iterator[str]:
    prefix = f"{path}.extension:"
    slices = {
        name.removeprefix(prefix): name for name in elements if re.fullmatch(re.escape(prefix) + r"[^.]+", name)
    }
    parts = block.get("extension", [])
    yield from (f"{part['url']} is unknown" for part in parts if part["url"] not in slices)
    for url, name in slices.items():
        given = [part for part in parts if part["url"] == url]
        most = elements[name]["max"]
        if len(given) < elements[name]["min"] or (most != "*" and len(given) > int(most)):
            yield f"{url} stands {len(given)} times"
        for part in given:
            yield from _part_faults(package, elements, name, part)


def _part_faults(package: Mapping[str, Any], elements: Mapping[str, Json], name: str, part: Json) -> Iterator[str]:
    value = elements[f"{name}.value[x]"]
    if value["max"] == "0":
        yield from _slice_faults(package, elements, name, part)
        return
    kinds = {f"value{kind['code'][0].upper()}{kind['code'][1:]}": kind["code"] for kind in value["type"]}
    named = set(part) - {"url"}
    if len(named) != 1 or not named <= set(kinds):
        yield f"{name} has {sorted(named)} in place of one of {sorted(kinds)}"
        return
    binding = value.get("binding", {})
    if binding.get("strength") == "required" and part[named.pop()] not in codes_of(package, binding["valueSet"]):
        yield f"{name} has a code that its value set does not have"


def codes_of(package: Mapping[str, Any], canonical: str) -> set[str]:
    """The codes of a value set that spells them out."""
    value_set = package[f"ValueSet-{canonical.rpartition('/')[2]}.json"]
    return {concept["code"] for include in value_set["compose"]["include"] for concept in include["concept"]}


def card_types(package: Mapping[str, Any]) -> set[str]:
    """What 2.0.1 calls card types; 2.2.1 took the list over into a code system that is in no package."""
    concepts = package["CodeSystem-temp.json"]["concept"]
    return set(_codes(next(each for each in concepts if each["code"] == "_cardType")["concept"]))


def _codes(concepts: list[Json]) -> Iterator[str]:
    for concept in concepts:
        yield concept["code"]
        yield from _codes(concept.get("concept", []))

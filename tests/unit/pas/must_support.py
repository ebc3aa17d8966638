"""What the PAS profiles mark must-support, read from the guide's packages, and whether an answer has it."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from service.pas.shape import Version

Json = dict[str, Any]
GUIDES = Path(__file__).resolve().parents[4] / "shared" / "ig"


@dataclass(frozen=True)
class Profile:
    """A StructureDefinition: its must-support elements, and what tells its slices apart.

    `slices` are by element id: the url of an extension, the pattern of a `type`, or the type of a `resource`.
    """

    elements: tuple[str, ...]
    slices: Mapping[str, Any] = field(hash=False)

    def absent(self, resources: list[Json]) -> list[str]:
        """The must-support elements that none of these resources has."""
        return [one for one in self.elements if not any(self._has(resource, one) for resource in resources)]

    def _has(self, resource: Json, element: str) -> bool:
        nodes: list[Any] = [resource]
        parts = element.split(".")
        for end in range(2, len(parts) + 1):
            nodes = list(self._step(nodes, parts[end - 1], ".".join(parts[:end])))
        return bool(nodes)

    def _step(self, nodes: list[Any], part: str, element: str) -> Iterator[Any]:
        name, _, sliced = part.partition(":")
        for node in nodes:
            for found in _children(node, name):
                if not sliced or self._in_slice(found, element):
                    yield found

    def _in_slice(self, node: Json, element: str) -> bool:
        kind, value = self.slices[element]
        if kind == "url":
            return bool(node.get("url") == value)
        if kind == "resource":
            return bool(node["resource"]["resourceType"] == value)
        return all(coding in node["type"]["coding"] for coding in value["coding"])


def profile(version: Version, name: str) -> Profile:
    """The profile of that name; skips the test where the packages are not there."""
    package = GUIDES / f"pas-{version}.tgz"
    if not package.exists():
        pytest.skip("NO GUIDE PACKAGES: ../shared/ig is absent, so must-support elements are not checked")
    with tarfile.open(package) as archive:
        content = archive.extractfile(f"package/StructureDefinition-profile-{name}.json")
        assert content is not None
        elements = json.load(content)["snapshot"]["element"]
    marked = tuple(one["id"] for one in elements if one.get("mustSupport"))
    assert marked, f"{name} of {version} marks nothing"
    return Profile(marked, dict(_slices(elements)))


def _slices(elements: list[Json]) -> Iterator[tuple[str, tuple[str, Any]]]:
    for one in elements:
        above, _, last = one["id"].rpartition(".")
        name, _, sliced = last.partition(":")
        if sliced and name == "extension":
            yield one["id"], ("url", one["type"][0]["profile"][0].partition("|")[0])
        elif last == "type" and "patternCodeableConcept" in one:
            yield above, ("type", one["patternCodeableConcept"])
        elif last == "resource":
            yield above, ("resource", one["type"][0]["code"])


def _children(node: Any, name: str) -> Iterator[Any]:
    """What an element's parent has of it: each repetition; `x[x]` under any of its types."""
    if not isinstance(node, dict):
        return
    wanted = [key for key in node if key.startswith(name[:-3])] if name.endswith("[x]") else [name]
    for key in wanted:
        found = node.get(key)
        yield from found if isinstance(found, list) else [] if found is None else [found]

"""What a profile's snapshot asks of a resource: cardinalities, fixed and pattern values, extension slices."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

Json = dict[str, Any]
GUIDES = Path(__file__).resolve().parents[4] / "shared" / "ig"


@dataclass
class Node:
    """An element of a snapshot with its children and slices."""

    element: Json
    children: dict[str, Node] = field(default_factory=dict)
    slices: list[Node] = field(default_factory=list)


@dataclass(frozen=True)
class Profiles:
    """StructureDefinitions by url."""

    by_url: Mapping[str, Json]

    def faults(self, resource: Json, url: str) -> list[str]:
        """Every place where the resource breaks the profile, or an extension in it its own definition."""
        root = _tree(self.by_url[url])
        return [*self._check(resource, root, root, root.element["path"]), *self._extensions(resource, "")]

    def supported(self, url: str) -> dict[str, set[str]]:
        """By element path, what a client must support of a profile: its elements, and the urls of its extensions."""
        found: dict[str, set[str]] = {}
        for element in self.by_url[url]["snapshot"]["element"]:
            if not (element.get("mustSupport") or element.get("min", 0) > 0) or element.get("max") == "0":
                continue
            holder, _, name = element["path"].rpartition(".")
            if name == "extension":
                urls = {p for kind in element.get("type", ()) for p in kind.get("profile", ())}
                found.setdefault(element["path"], set()).update(urls)
            found.setdefault(holder, set()).add(name)
        return found

    def _extensions(self, value: Any, path: str) -> Iterator[str]:
        if isinstance(value, dict):
            definition = self.by_url.get(str(value.get("url")))
            if definition is not None and definition.get("type") == "Extension":
                root = _tree(definition)
                yield from self._check(value, root, root, f"{path}({value['url']})")
            for name, item in value.items():
                yield from self._extensions(item, f"{path}.{name}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self._extensions(item, f"{path}[{index}]")

    def _check(self, value: Any, node: Node, root: Node, path: str) -> Iterator[str]:
        yield from _fixed(value, node.element, path)
        if not isinstance(value, dict):
            return
        reference = node.element.get("contentReference")
        shape = _at(root, reference.partition("#")[2]) if reference else node
        for name, child in shape.children.items():
            found = _values(value, name)
            yield from _count(found, child.element, f"{path}.{name}")
            for index, item in enumerate(found):
                yield from self._check(item, child, root, f"{path}.{name}[{index}]")
            for part in child.slices:
                matching = [item for item in found if _in_slice(item, part)]
                label = f"{path}.{name}:{part.element['sliceName']}"
                yield from _count(matching, part.element, label)
                for item in matching:
                    yield from self._check(item, part, root, label)


def load(*packages: str) -> Profiles:
    """The StructureDefinitions of the guides' packages; skips, loudly, where they are absent."""
    if not GUIDES.is_dir():
        pytest.skip("NO GUIDE PACKAGES: ../shared/ig is absent, so the guides' profiles are not checked")
    found: dict[str, Json] = {}
    for package in packages:
        with tarfile.open(GUIDES / f"{package}.tgz") as archive:
            for member in archive.getmembers():
                if member.name.startswith("package/StructureDefinition-"):
                    definition = json.load(archive.extractfile(member))  # type: ignore[arg-type]  # a regular file
                    found[definition["url"]] = definition
    return Profiles(found)


def _tree(definition: Json) -> Node:
    elements = definition["snapshot"]["element"]
    root = Node(elements[0])
    nodes = {elements[0]["id"]: root}
    for element in elements[1:]:
        holder, _, name = element["id"].rpartition(".")
        name, _, part = name.partition(":")
        node = nodes[element["id"]] = Node(element)
        if part:
            base = f"{holder}.{name}"
            nodes[base].slices.append(node)
        else:
            nodes[holder].children[name] = node
    return root


def _at(root: Node, path: str) -> Node:
    node = root
    for name in path.split(".")[1:]:
        node = node.children[name]
    return node


def _values(value: Json, name: str) -> list[Any]:
    if name.endswith("[x]"):
        stem = name.removesuffix("[x]")
        return [v for k, v in value.items() if k.startswith(stem) and k[len(stem) : len(stem) + 1].isupper()]
    found = value.get(name)
    return found if isinstance(found, list) else [] if found is None else [found]


def _count(found: list[Any], element: Json, path: str) -> Iterator[str]:
    most = element.get("max", "*")
    if len(found) < element.get("min", 0) or (most != "*" and len(found) > int(most)):
        yield f"{path}: {len(found)} of {element.get('min', 0)}..{most}"


def _fixed(value: Any, element: Json, path: str) -> Iterator[str]:
    for name, wanted in element.items():
        if name.startswith("fixed") and value != wanted:
            yield f"{path}: is not {wanted}"
        if name.startswith("pattern") and not _fits(value, wanted):
            yield f"{path}: does not fit {wanted}"


def _fits(value: Any, pattern: Any) -> bool:
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(_fits(value.get(k), v) for k, v in pattern.items())
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(_fits(item, wanted) for item in value) for wanted in pattern)
    return bool(value == pattern)


def _in_slice(item: Any, part: Node) -> bool:
    """Slices by extension url, or by fixed name (the parameters of an operation)."""
    if not isinstance(item, dict):
        return False
    for name in ("url", "name"):
        child = part.children.get(name)
        wanted = next(
            (v for k, v in (child.element if child else {}).items() if k.startswith(("fixed", "pattern"))), None
        )
        if wanted is not None:
            return bool(item.get(name) == wanted)
    profiles = [p for kind in part.element.get("type", ()) for p in kind.get("profile", ())]
    return item.get("url") in profiles

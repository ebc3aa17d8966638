"""The one structural check of FHIR that we receive: R4's elements, cardinalities, types and formats."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, Final

from service.errors import Fault, InvalidResource
from service.fhir.tables import SIBLING_TYPE, Element, Kind, Tables, TypeTable

MAX_FAULTS: Final = 50
# Nested objects, two Python frames each: far under the interpreter's limit, far over any real form or bundle.
MAX_DEPTH: Final = 100
# Only such member names are repeated in an answer: anything else could be anything.
_MEMBER_NAME = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}")

# Where we are: (path of the parent, FHIRPath step, index or None). Made into text only when there is a fault.
_Path = tuple[Any, str, int | None]


class _Full(Exception):
    """As many faults as we report have been found."""


class StructureCheck:
    """Checks decoded JSON against the tables. Made once at start; holds nothing of what it checks."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def check(self, resource: object, *, expected: frozenset[str] | None = None) -> tuple[Fault, ...]:
        """Return every fault of a resource, at most MAX_FAULTS, in document order; () when there is none.

        `expected` names the resource types that may stand at the top. Never raises, whatever the value.
        """
        walk = _Walk(self._tables)
        with suppress(_Full):
            walk.top(resource, expected)
        return tuple(walk.faults)

    def require(self, resource: object, *, expected: frozenset[str] | None = None) -> dict[str, Any]:
        """Return the resource, or raise InvalidResource with all its faults."""
        faults = self.check(resource, expected=expected)
        if faults or not isinstance(resource, dict):
            raise InvalidResource(_summary(faults), expression=tuple(f.expression for f in faults), faults=faults)
        return resource


def _summary(faults: tuple[Fault, ...]) -> str:
    first = f"{faults[0].expression} {faults[0].problem}."
    if len(faults) == 1:
        return first
    count = f"at least {MAX_FAULTS}" if len(faults) >= MAX_FAULTS else str(len(faults))
    return f"The resource has {count} faults against FHIR R4. The first: {first}"


class _Walk:
    """One walk over one document."""

    def __init__(self, tables: Tables) -> None:
        self._types = tables.types
        self._resources = tables.resources
        self.faults: list[Fault] = []

    def top(self, value: object, expected: frozenset[str] | None) -> None:
        kind = value.get("resourceType") if isinstance(value, dict) else None
        known = isinstance(kind, str) and kind in self._resources
        root: _Path = (None, str(kind) if known else "Resource", None)
        if known and expected is not None and kind not in expected:
            self._report(root, f"must be a resource of type {' or '.join(sorted(expected))}", "invalid")
        else:
            self._resource(value, root, 1)

    def _report(self, path: _Path, problem: str, code: str = "structure") -> None:
        self.faults.append(Fault(_fhirpath(path), problem, code))
        if len(self.faults) >= MAX_FAULTS:
            raise _Full

    def _resource(self, value: object, path: _Path, depth: int) -> None:
        if not isinstance(value, dict):
            self._report(path, "must be a resource: a JSON object with a resourceType")
            return
        kind = value.get("resourceType")
        if kind is None:
            self._report(path, "has no resourceType", "required")
        elif not isinstance(kind, str):
            self._report(path, "has a resourceType that is not a string")
        elif kind not in self._resources:
            self._report(path, "has a resourceType that FHIR R4 does not define", "value")
        else:
            self._members(value, self._types[kind], path, depth)

    def _object(self, value: object, table: TypeTable, path: _Path, depth: int) -> None:
        if not isinstance(value, dict):
            self._report(path, "must be a JSON object")
        elif not value or (len(value) == 1 and "id" in value and table.name != SIBLING_TYPE):
            self._report(path, "is empty: leave the element out")
        else:
            self._members(value, table, path, depth)

    def _members(self, value: dict[str, Any], table: TypeTable, path: _Path, depth: int) -> None:
        if depth > MAX_DEPTH:
            self._report(path, f"nests deeper than {MAX_DEPTH} levels", "too-costly")
            return
        chosen: dict[str, str] = {}
        elements = table.elements
        for name, item in value.items():
            element = elements.get(name)
            if element is None:
                self._unknown(name, table, path)
                continue
            if element.choice is not None:
                earlier = chosen.setdefault(element.choice, element.name)
                if earlier != element.name:
                    self._report((path, element.choice, None), "is given twice: only one type may be chosen")
            if element.many:
                self._list(value, item, element, path, depth)
            elif element.name != name:
                self._sibling(value, item, element, (path, element.path, None), depth)
            elif element.check is None:
                self._one(item, element, (path, element.path, None), depth)
            elif (wrong := element.check(item)) is not None:
                self._report((path, element.path, None), wrong[1], wrong[0])
        if table.required or table.required_choices:
            self._required(value, chosen, table, path)

    def _required(self, value: dict[str, Any], chosen: dict[str, str], table: TypeTable, path: _Path) -> None:
        for name in table.required:
            if name not in value and f"_{name}" not in value:
                self._report((path, name, None), "is missing", "required")
        for name in table.required_choices:
            if name not in chosen:
                self._report((path, name, None), "is missing", "required")

    def _sibling(self, value: dict[str, Any], item: Any, element: Element, path: _Path, depth: int) -> None:
        """Check `_name`: beside a value an id is enough, in its place it takes an extension (ele-1)."""
        if element.name not in value and isinstance(item, dict) and "extension" not in item:
            self._report(path, "has neither a value nor an extension that says why")
        else:
            self._one(item, element, path, depth)

    def _list(self, value: dict[str, Any], items: Any, element: Element, path: _Path, depth: int) -> None:
        if not isinstance(items, list):
            self._report((path, element.path, None), "must be a JSON list")
            return
        if not items:
            self._report((path, element.path, None), "is an empty list: leave the element out")
            return
        for index, item in enumerate(items):
            if item is None and _fills_gap(element, value, index):
                continue
            self._one(item, element, (path, element.path, index), depth)

    def _one(self, item: Any, element: Element, path: _Path, depth: int) -> None:
        if element.check is not None:
            if (wrong := element.check(item)) is not None:
                self._report(path, wrong[1], wrong[0])
        elif element.type_name:
            self._object(item, self._types[element.type_name], path, depth + 1)
        elif element.kind is Kind.RESOURCE:
            self._resource(item, path, depth + 1)

    def _unknown(self, name: object, table: TypeTable, path: _Path) -> None:
        if isinstance(name, str) and _MEMBER_NAME.fullmatch(name):
            self._report((path, name, None), f"is not an element of {table.name} in FHIR R4")
        else:
            self._report(path, f"has a member that is not an element of {table.name} in FHIR R4")


def _fills_gap(element: Element, value: dict[str, Any], index: int) -> bool:
    """Say whether null only lines up a primitive's list with its `_sibling` list (R4 json.html#primitive)."""
    if element.kind not in (Kind.PRIMITIVE, Kind.SIBLING):
        return False
    other = value.get(element.name if element.kind is Kind.SIBLING else f"_{element.name}")
    return isinstance(other, list) and index < len(other) and other[index] is not None


def _fhirpath(path: _Path | None) -> str:
    steps: list[str] = []
    while path is not None:
        parent, name, index = path
        steps.append(name if index is None else f"{name}[{index}]")
        path = parent
    return ".".join(reversed(steps))

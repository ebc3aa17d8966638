"""The R4 tables that the set-up generates (tools/r4_tables.py), read into the form the structure check walks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final

import msgspec

from service.fhir.primitives import Check, compile_checks

# ext-1: an Extension has extensions or a value[x], never both and never neither. So it is treated as one choice.
_EXTENSION = "Extension"
# What a `_name` member holds (R4 json.html#primitive).
SIBLING_TYPE: Final = "Element"


class Kind(Enum):
    """What an element holds."""

    PRIMITIVE = auto()
    SIBLING = auto()  # `_name`: id and extensions of the primitive `name`
    OBJECT = auto()
    RESOURCE = auto()  # any resource
    TYPE_NAME = auto()  # resourceType, checked where the resource starts


@dataclass(frozen=True, slots=True)
class Element:
    """One JSON member that a type may have."""

    kind: Kind
    many: bool
    path: str  # its name in FHIRPath: `value` for valueString
    name: str  # the member without a leading underscore
    choice: str | None = None  # value[x]: "value"
    type_name: str = ""
    check: Check | None = None  # of primitives


@dataclass(frozen=True, slots=True)
class TypeTable:
    """The members of one type, resource or nested element ("Claim.item")."""

    name: str
    elements: Mapping[str, Element]
    required: tuple[str, ...]
    required_choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """All types of FHIR R4; `resources` names those that stand alone."""

    types: Mapping[str, TypeTable]
    resources: frozenset[str]


def load_tables(path: Path) -> Tables:
    """Read the generated tables; a file that is not theirs raises KeyError or msgspec.DecodeError at start."""
    raw = msgspec.json.decode(path.read_bytes())
    checks = compile_checks(raw["primitives"])
    types = {name: _type_table(name, spec, checks) for name, spec in raw["types"].items()}
    element = {name: types["Period"].elements[name] for name in ("id", "extension")}
    types[SIBLING_TYPE] = TypeTable(SIBLING_TYPE, element, (), ())
    return Tables(types, frozenset(name for name, spec in raw["types"].items() if spec["resource"]))


def _type_table(name: str, spec: Mapping[str, Any], checks: Mapping[str, Check]) -> TypeTable:
    elements: dict[str, Element] = {}
    for member, (many, type_name, *choice) in spec["elements"].items():
        group = choice[0] if choice else None
        if name == _EXTENSION and member == "extension":
            elements[member] = Element(Kind.OBJECT, many, member, member, "value", type_name)
        else:
            elements |= _members(member, many, type_name, group, checks)
    if spec["resource"]:
        elements["resourceType"] = Element(Kind.TYPE_NAME, False, "resourceType", "resourceType")
    choices = {element.choice for element in elements.values() if element.choice}
    required = [one for one in spec["required"] if one not in choices]
    required_choices = [one for one in spec["required"] if one in choices]
    if name == _EXTENSION:
        required_choices.append("value")
    return TypeTable(name, elements, tuple(required), tuple(required_choices))


def _members(
    member: str, many: bool, type_name: str, group: str | None, checks: Mapping[str, Check]
) -> dict[str, Element]:
    path = group or member
    if type_name == "Resource":
        return {member: Element(Kind.RESOURCE, many, path, member, group)}
    check = checks.get(type_name)
    if check is None:
        return {member: Element(Kind.OBJECT, many, path, member, group, type_name)}
    return {
        member: Element(Kind.PRIMITIVE, many, path, member, group, type_name, check),
        f"_{member}": Element(Kind.SIBLING, many, path, member, group, SIBLING_TYPE),
    }

"""Breaks FHIR documents: by R4's rules (always a fault), or blindly (perhaps a fault)."""

from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

from service.fhir.tables import Element, Kind, Tables, TypeTable

Json = dict[str, Any]
# A value of the wrong kind carries this text, so that a test can look for it in what we say.
SENTINEL = "Zebediah-1958"
_SECOND_CHOICE = {"boolean": True, "string": "x", "dateTime": "2026-01-01", "code": "x", "Period": {"start": "2026"}}
_BAD_DATES = ("2026-13-01", "2026-02-30", "01/02/2026", "2026-1-1", "20260101", "2026-01-01T25:00:00Z")
_BLIND_VALUES: tuple[Any, ...] = (
    None,
    {},
    [],
    "",
    0,
    -1,
    True,
    SENTINEL,
    " two  spaces ",
    1.5,
    {"a": 1},
    [SENTINEL],
    "2026-02-30",
)

LAWLESS = ("missing", "wrong type", "null", "empty", "unlisted", "listed", "twice", "unknown", "bad date")


def mutate(document: Json, kind: str, random: Random, tables: Tables) -> bool:
    """Break one rule of R4 somewhere in the document, in place; False when no place offers itself."""
    places = list(_objects(document, tables))
    random.shuffle(places)
    return any(_MUTATIONS[kind](found, table, random) for found, table in places)


def mutate_blindly(document: Json, random: Random) -> None:
    """Change one member anywhere, in place, knowing nothing of FHIR."""
    places = [(found, name) for found in _any_objects(document) for name in found]
    found, name = random.choice(places)
    match random.randrange(5):
        case 0:
            del found[name]
        case 1:
            found[name + "X"] = found.pop(name)
        case 2:
            found[name] = found[name][0] if isinstance(found[name], list) and found[name] else [found[name]]
        case 3:
            other, other_name = random.choice(places)
            found[name] = deepcopy(other[other_name])
        case _:
            found[name] = random.choice(_BLIND_VALUES)


def _any_objects(value: object) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _any_objects(child)


def _objects(resource: Json, tables: Tables) -> Iterator[tuple[Json, TypeTable]]:
    waiting = [(resource, tables.types[resource["resourceType"]])]
    while waiting:
        value, table = waiting.pop()
        yield value, table
        for name, item in value.items():
            element = table.elements[name]
            for child in item if isinstance(item, list) else [item]:
                if isinstance(child, dict):
                    type_name = element.type_name or child["resourceType"]
                    waiting.append((child, tables.types[type_name]))


def _members(value: Json, table: TypeTable, *kinds: Kind) -> list[tuple[str, Element]]:
    return [(name, table.elements[name]) for name in value if table.elements[name].kind in kinds]


def _missing(value: Json, table: TypeTable, random: Random) -> bool:
    present = [name for name in table.required if name in value or f"_{name}" in value]
    for choice in table.required_choices:
        present += [name for name in value if table.elements[name].choice == choice and f"_{name}" not in value][:1]
    if not present:
        return False
    name = random.choice(present)
    value.pop(name, None)
    value.pop(f"_{name}", None)
    return True


def _wrong_type(value: Json, table: TypeTable, random: Random) -> bool:
    members = _members(value, table, Kind.PRIMITIVE, Kind.OBJECT, Kind.RESOURCE, Kind.SIBLING, Kind.TYPE_NAME)
    if not members:
        return False
    name, element = random.choice(members)
    texts = isinstance(value[name], str) or (element.many and element.kind is Kind.PRIMITIVE)
    wrong: Any = random.choice([{"text": SENTINEL}, [SENTINEL], None] if texts else [SENTINEL, [7]])
    value[name] = [wrong] if element.many else wrong
    return True


def _null(value: Json, table: TypeTable, random: Random) -> bool:
    name = random.choice(list(value))
    value[name] = None
    return True


def _empty(value: Json, table: TypeTable, random: Random) -> bool:
    name = random.choice(list(value))
    value[name] = random.choice(["", {}, []])
    return True


def _unlisted(value: Json, table: TypeTable, random: Random) -> bool:
    lists = [name for name, item in value.items() if isinstance(item, list)]
    if not lists:
        return False
    name = random.choice(lists)
    value[name] = value[name][0]
    return True


def _listed(value: Json, table: TypeTable, random: Random) -> bool:
    single = [name for name, item in value.items() if not isinstance(item, list)]
    if not single:
        return False
    name = random.choice(single)
    value[name] = [value[name]]
    return True


def _twice(value: Json, table: TypeTable, random: Random) -> bool:
    groups = {table.elements[name].choice for name in value} - {None}
    spare = [
        (name, _SECOND_CHOICE[element.type_name])
        for name, element in table.elements.items()
        if element.choice in groups and name not in value and element.type_name in _SECOND_CHOICE
    ]
    if not spare:
        return False
    name, second = random.choice(spare)
    value[name] = second
    return True


def _unknown(value: Json, table: TypeTable, random: Random) -> bool:
    value[random.choice(["notAnElement", "_notAnElement", "Name", SENTINEL, "", "resourceTypes"])] = "x"
    return True


def _bad_date(value: Json, table: TypeTable, random: Random) -> bool:
    dates = [
        name
        for name, element in _members(value, table, Kind.PRIMITIVE)
        if element.type_name in ("date", "dateTime", "instant") and not element.many
    ]
    if not dates:
        return False
    value[random.choice(dates)] = random.choice(_BAD_DATES)
    return True


_MUTATIONS = dict(
    zip(
        LAWLESS,
        (_missing, _wrong_type, _null, _empty, _unlisted, _listed, _twice, _unknown, _bad_date),
        strict=True,
    )
)

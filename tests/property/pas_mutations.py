"""Ways to break a PAS request that can turn no "no" into a "yes": one kind of damage at a time, at a random place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from service.fhir.json import encode

Json = dict[str, Any]
Break = Callable[[Json, Random], None]
_DEEP = "a place for something deep"
_WRONG: tuple[Any, ...] = (None, {}, [], "", 0, -1, 1.5, True, "nonsense", ["nonsense"], {"a": 1}, [[]], [{}])
_OUTSIDE = (
    "https://elsewhere.example.org/fhir/Patient/1",
    "http://169.254.169.254/latest/meta-data",
    "http://127.0.0.1:9/fhir/Patient/1",
    "file:///etc/passwd",
    "//elsewhere.example.org/Patient/1",
    "../../Patient/1",
    "Patient/1?_format=json",
)
_NOWHERE = ("urn:uuid:00000000-0000-4000-8000-00000000dead", "Patient/nowhere", "#nowhere", "#", "", "urn:oid:1", " ")
_MOST = 1_000_000
_DEPTHS = (3, 40, 90, 250, 900, 5_000, 60_000)


def objects(node: Any) -> list[Json]:
    """Every JSON object at any depth."""
    if isinstance(node, dict):
        return [node] + [found for child in node.values() for found in objects(child)]
    return [found for child in node for found in objects(child)] if isinstance(node, list) else []


def _member(bundle: Json, random: Random) -> tuple[Json, str]:
    found = random.choice([one for one in objects(bundle) if one])
    return found, random.choice(list(found))


def _reference(bundle: Json, random: Random) -> Json:
    return random.choice([one for one in objects(bundle) if isinstance(one.get("reference"), str)])


def dropped(bundle: Json, random: Random) -> None:
    """A member, or an entry."""
    if random.random() < 0.3:
        del bundle["entry"][random.randrange(len(bundle["entry"]))]
    else:
        found, name = _member(bundle, random)
        del found[name]


def duplicated(bundle: Json, random: Random) -> None:
    """An entry, under its own name or another; or what stands in a list."""
    if random.random() < 0.4:
        entry = copy.deepcopy(random.choice(bundle["entry"]))
        if random.random() < 0.5:
            entry["fullUrl"] = "urn:uuid:00000000-0000-4000-8000-0000000000ff"
        bundle["entry"].insert(random.randrange(len(bundle["entry"]) + 1), entry)
        return
    lists = [value for one in objects(bundle) for value in one.values() if isinstance(value, list) and value]
    found = random.choice(lists)
    found.insert(random.randrange(len(found) + 1), copy.deepcopy(random.choice(found)))


def retyped(bundle: Json, random: Random) -> None:
    """A member of another type. An answer is never turned to "true"."""
    found, name = _member(bundle, random)
    found[name] = random.choice([one for one in _WRONG if one is not True or name != "valueBoolean"])


def huge(bundle: Json, random: Random) -> None:
    """A long text, a large number, a long list, an object with many members."""
    found, name = _member(bundle, random)
    value = found[name]
    match random.randrange(5):
        case 0:
            found[name] = "x" * random.choice([70_000, 1_500_000])
        case 1:
            found[name] = random.choice([10**30, -(10**30), 1e308, 10**18, 2**31])
        case 2:
            several = value if isinstance(value, list) and value else [value]
            found[name] = several * max(2, min(random.choice([501, 5_000]), _MOST // len(json.dumps(several))))
        case 3:
            found[name] = {f"m{number}": number for number in range(2_000)}
        case _:
            bundle["entry"] += [
                {"fullUrl": f"urn:uuid:00000000-0000-4000-8000-{number:012d}", "resource": {"resourceType": "Basic"}}
                for number in range(3_000)
            ]


def nested(bundle: Json, random: Random) -> None:
    """An extension in an extension, and so on: the bytes are made when the request is written."""
    found, _ = _member(bundle, random)
    found["extension"] = [_DEEP]


def dangling(bundle: Json, random: Random) -> None:
    _reference(bundle, random)["reference"] = random.choice(_NOWHERE)


def outside(bundle: Json, random: Random) -> None:
    _reference(bundle, random)["reference"] = random.choice(_OUTSIDE)


def cyclic(bundle: Json, random: Random) -> None:
    """A resource that leads to itself, two to each other, a Bundle in itself, a Claim that is its own prior."""
    entries = [one for one in bundle["entry"] if isinstance(one.get("resource"), dict)]
    first, second = random.choice(entries), random.choice(entries)
    claim = entries[0]
    match random.randrange(5):
        case 0:
            first["resource"]["extension"] = [_leading(first["fullUrl"])]
        case 1:
            first["resource"]["extension"] = [_leading(second["fullUrl"])]
            second["resource"]["extension"] = [_leading(first["fullUrl"])]
        case 2:
            claim["resource"]["related"] = [{"claim": {"reference": claim["fullUrl"]}}]
        case 3:
            back = {"resourceType": "Basic", "extension": [_leading(first["fullUrl"])]}
            held = [{"fullUrl": first["fullUrl"], "resource": back}]
            inner: Json = {"resourceType": "Bundle", "type": "collection", "entry": held}
            first["resource"] = inner if first is not claim else first["resource"]
        case _:
            _reference(bundle, random)["reference"] = first["fullUrl"]


def _leading(url: str) -> Json:
    return {"url": "https://ehr.example.org/StructureDefinition/own", "valueReference": {"reference": url}}


BREAKS: Mapping[str, Break] = {
    one.__name__: one for one in (dropped, duplicated, retyped, huge, nested, dangling, outside, cyclic)
}


def broken(bundle: Json, kind: str, seed: int) -> bytes:
    """The bytes of the request after one or two breaks of a kind; two huge ones would be gigabytes."""
    random = Random(f"{kind} {seed}")
    changed: Json = json.loads(encode(bundle))
    for _ in range(1 if kind == "huge" else random.randrange(1, 3)):
        if isinstance(changed.get("entry"), list) and all(_is_whole(one) for one in changed["entry"] or [None]):
            BREAKS[kind](changed, random)
    depth = random.choice(_DEPTHS)
    deep = b'{"url":"urn:x","extension":[' * depth + b'{"url":"urn:x","valueBoolean":true}' + b"]}" * depth
    return json.dumps(changed).encode().replace(f'"{_DEEP}"'.encode(), deep)


def _is_whole(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("fullUrl"), str) and bool(objects(entry))

"""ValueSet/$expand of our own value sets: as of now, active codes only (DTR 2.2.0 oper-4, oper-5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from service.dtr.shelf import Shelf
from service.errors import Fault, InvalidResource, MissingElement, NotFound, NotSupported
from service.fhir.build import Json
from service.fhir.canonical import CPT, ICD10_CM, LOINC, RXNORM, SNOMED, UCUM, split_canonical
from service.form.questionnaire import codes
from service.ports import Resource

# Value sets that these systems define implicitly need a terminology server (and, some, a licence).
_ELSEWHERE: Final = (SNOMED, UCUM, LOINC, RXNORM, CPT, ICD10_CM)
_ELEMENTS: Final[Mapping[str, tuple[str, ...]]] = {
    "url": ("valueUri", "valueUrl", "valueCanonical", "valueString"),
    "valueSetVersion": ("valueString",),
    "filter": ("valueString",),
    "count": ("valueInteger",),
    "offset": ("valueInteger",),
}
_LONGEST_NUMBER: Final = 9  # digits: fits FHIR's integer
_NUMBERS: Final = ("count", "offset")


@dataclass(frozen=True, slots=True)
class ExpandRequest:
    """What to expand, and which part of it. `count` None is all."""

    url: str | None
    version: str | None
    filter: str | None
    count: int | None
    offset: int


def expand_request(given: Mapping[str, str]) -> ExpandRequest:
    """From parameters as text. InvalidResource for a count or offset that is no whole number from 0."""
    numbers = {name: _number(name, given[name]) for name in _NUMBERS if name in given}
    url, version = split_canonical(given["url"]) if given.get("url") else (None, None)
    return ExpandRequest(
        url=url,
        version=given.get("valueSetVersion") or version,
        filter=given.get("filter") or None,
        count=numbers.get("count"),
        offset=numbers.get("offset", 0),
    )


def from_parameters(parameters: Resource) -> dict[str, str]:
    """The operation's parameters as text. NotSupported for a value set that was sent along."""
    found: dict[str, str] = {}
    for parameter in parameters.get("parameter") or ():
        name = parameter.get("name")
        if name == "valueSet":
            raise NotSupported("Only value sets of ours are expanded here. Send the url of one.")
        elements = _ELEMENTS.get(str(name), ())
        value = next((parameter[element] for element in elements if element in parameter), None)
        if value is not None:
            found[str(name)] = str(value)
    return found


def find(request: ExpandRequest, shelf: Shelf, logical_id: str | None) -> Json:
    """The value set asked for. MissingElement without url or id, NotSupported for another's, NotFound otherwise."""
    if logical_id is not None:
        found = shelf.by_id("ValueSet", logical_id)
    elif request.url is None:
        raise MissingElement("Say which value set: the parameter url is missing.", expression=("url",))
    else:
        found = next(iter(shelf.search("ValueSet", request.url, request.version)), None)
    if found is not None:
        return found
    if request.url is not None and request.url.startswith(_ELSEWHERE):
        raise NotSupported("This value set is not ours: expand it with a terminology server.")
    raise NotFound("There is no such value set here. ValueSet?url= says which there are.")


def expand(value_set: Json, request: ExpandRequest, *, identifier: str, now: datetime) -> Json:
    """The value set with the codes asked for; its definition is left out. `identifier` is a UUID."""
    offered = [_flat(code) for code in codes((value_set.get("expansion") or {}).get("contains") or ())]
    wanted = [code for code in offered if _matches(code, request.filter)]
    end = None if request.count is None else request.offset + request.count
    parameters = [
        {"name": "activeOnly", "valueBoolean": True},
        *([{"name": "filter", "valueString": request.filter}] if request.filter else ()),
        *([{"name": "count", "valueInteger": request.count}] if request.count is not None else ()),
        *([{"name": "offset", "valueInteger": request.offset}] if request.offset else ()),
    ]
    contains = wanted[request.offset : end]
    expansion: dict[str, Any] = {
        "identifier": f"urn:uuid:{identifier}",
        "timestamp": now.isoformat(timespec="seconds"),
        "total": len(wanted),
        "offset": request.offset,
        "parameter": parameters,
        **({"contains": contains} if contains else {}),
    }
    return {**{name: value for name, value in value_set.items() if name != "compose"}, "expansion": expansion}


def _flat(code: Mapping[str, Any]) -> Json:
    return {name: value for name, value in code.items() if name != "contains"}


def _matches(code: Mapping[str, Any], words: str | None) -> bool:
    """Every word begins a word of the display, or the code."""
    known = _words(f"{code.get('display', '')} {code['code']}")
    return all(any(each.startswith(word) for each in known) for word in _words(words or ""))


def _words(text: str) -> Iterable[str]:
    return text.casefold().split()


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER):
        problem = "must be a whole number from 0"
        raise InvalidResource(f"{name} {problem}.", expression=(name,), faults=(Fault(name, problem, "value"),))
    return int(text)

"""Reads what a translated CQL library declares: defines, retrieves, value sets, parameters, includes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Elm = Mapping[str, Any]
"""A parsed ELM JSON document: {"library": {...}}."""


@dataclass(frozen=True, slots=True)
class ValueSetRef:
    """A value set that a library declares: canonical url, and a version where the CQL pins one."""

    url: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Retrieve:
    """One `[Type: code in "Value Set"]`; a retrieve by single code, or without any, has no value set."""

    type: str
    code_property: str | None
    value_set: str | None


@dataclass(frozen=True, slots=True)
class Include:
    """Another library that a library includes."""

    name: str
    version: str | None


def name(elm: Elm) -> str:
    """The library's name; empty when it declares none."""
    return str(_library(elm).get("identifier", {}).get("id", ""))


def version(elm: Elm) -> str:
    """The library's version; empty when it declares none."""
    return str(_library(elm).get("identifier", {}).get("version", ""))


def defines(elm: Elm) -> frozenset[str]:
    """Names of the library's expressions; functions and the implicit "Patient" are not among them."""
    return frozenset(
        d["name"] for d in _defs(elm, "statements") if d.get("type") != "FunctionDef" and d["name"] != "Patient"
    )


def parameters(elm: Elm) -> frozenset[str]:
    """Names of the library's parameters."""
    return frozenset(d["name"] for d in _defs(elm, "parameters"))


def value_set_refs(elm: Elm) -> tuple[ValueSetRef, ...]:
    """The value sets that the library declares, in its order."""
    return tuple(ValueSetRef(url=d["id"], version=d.get("version")) for d in _defs(elm, "valueSets"))


def includes(elm: Elm) -> tuple[Include, ...]:
    """The libraries that the library includes, in its order."""
    return tuple(Include(name=d["path"], version=d.get("version")) for d in _defs(elm, "includes"))


def retrieves(elm: Elm) -> tuple[Retrieve, ...]:
    """Every kind of retrieve in the library once, in order of first use; the implicit Patient is among them."""
    urls = {d["name"]: d["id"] for d in _defs(elm, "valueSets")}
    found = (
        Retrieve(
            type=node["dataType"].rpartition("}")[2],
            code_property=node.get("codeProperty"),
            value_set=_value_set(node.get("codes"), urls),
        )
        for node in nodes(_library(elm).get("statements", {}))
        if node["type"] == "Retrieve"
    )
    return tuple(dict.fromkeys(found))


def nodes(part: Any) -> Iterator[Mapping[str, Any]]:
    """Every part of an ELM document that has a type, outermost first; annotations are left out."""
    if isinstance(part, list | tuple):
        for element in part:
            yield from nodes(element)
    elif isinstance(part, Mapping):
        if isinstance(part.get("type"), str):
            yield part
        for key, child in part.items():
            if key != "annotation":
                yield from nodes(child)


def _library(elm: Elm) -> Mapping[str, Any]:
    library: Mapping[str, Any] = elm["library"]
    return library


def _defs(elm: Elm, section: str) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = _library(elm).get(section, {}).get("def", [])
    return found


def _value_set(codes: Any, urls: Mapping[str, str]) -> str | None:
    """The canonical url behind a retrieve's `codes`; older translators wrap the reference once more."""
    return next((urls.get(n["name"]) for n in nodes(codes) if n["type"] == "ValueSetRef"), None)

"""Hands a logic set to the engine's script: ELM, and the codes of expanded value sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.engine import elm
from service.ports import LogicSet, Resource


def script_form(logic: LogicSet) -> Mapping[str, Any]:
    """{"digest", "libraries": [ELM], "valueSets": [{"url", "version", "codes": [{"code", "system", "version"}]}]}."""
    return {
        "digest": logic.digest,
        "libraries": [library.elm for library in logic.libraries],
        "valueSets": [
            {"url": vs["url"], "version": vs.get("version", ""), "codes": list(_codes(vs))}
            for vs in logic.value_sets
            if _is_expanded(vs)
        ],
    }


def missing_value_sets(logic: LogicSet) -> tuple[str, ...]:
    """Canonicals of value sets that a library declares and the logic set does not hold expanded."""
    present = {(vs["url"], vs.get("version")) for vs in logic.value_sets if _is_expanded(vs)}
    urls = {url for url, _ in present}
    needed = dict.fromkeys(ref for library in logic.libraries for ref in elm.value_set_refs(library.elm))
    return tuple(
        f"{ref.url}|{ref.version}" if ref.version else ref.url
        for ref in needed
        if (ref.url, ref.version) not in present and (ref.version is not None or ref.url not in urls)
    )


def _is_expanded(value_set: Resource) -> bool:
    return isinstance(value_set.get("url"), str) and isinstance(value_set.get("expansion"), Mapping)


def _codes(value_set: Resource) -> Iterator[Mapping[str, Any]]:
    yield from _contained(value_set["expansion"].get("contains", ()))


def _contained(entries: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Flattens an expansion; abstract entries only group others and are no codes to match."""
    for entry in entries:
        if entry.get("code") and not entry.get("abstract", False):
            yield {"code": entry["code"], "system": entry.get("system"), "version": entry.get("version")}
        yield from _contained(entry.get("contains", ()))

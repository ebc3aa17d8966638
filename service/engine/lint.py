"""Refuses ELM that the engine would answer wrongly instead of loudly; the same rules as tools/elm-lint.mjs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from service.engine.elm import Elm, nodes

_SYSTEM = "{urn:hl7-org:elm-types:r1}"
_LITERALS = frozenset(f"{_SYSTEM}{t}" for t in ("Boolean", "Integer", "Decimal", "String"))
_LISTED = json.loads(files("service.engine").joinpath("node_types.json").read_text(encoding="utf-8"))
_ALLOWED = frozenset(_LISTED["expressions"]) | frozenset(_LISTED["structure"])


def faults(elm: Elm) -> tuple[str, ...]:
    """What is wrong with an ELM document, each once; empty when the engine can evaluate it.

    cql-execution builds null for a node type that it has no class for, so anything outside the list that the
    build checks against the engine is refused, as are errors that a translator left in the document.
    """
    if not isinstance(elm.get("library"), Mapping):
        return ("it has no library",)
    library: Mapping[str, Any] = elm["library"]
    notes = library.get("annotation", [])
    translated = [
        f"the translator reported an error at line {note.get('startLine', '?')}"
        for note in (notes if isinstance(notes, list) else [])
        if isinstance(note, Mapping)
        and note.get("type") == "CqlToElmError"
        and note.get("errorSeverity", "error") == "error"
    ]
    walked = [fault for node in nodes(library) if (fault := _fault(node)) is not None]
    return tuple(dict.fromkeys(translated + walked))


def _fault(node: Mapping[str, Any]) -> str | None:
    kind = node["type"]
    place = f" at {node['locator']}" if isinstance(node.get("locator"), str) else ""
    if kind not in _ALLOWED:
        return f"{kind}{place} is not evaluated by the engine (it would be null)"
    if kind == "Literal" and node.get("valueType") not in _LITERALS:
        return f"a literal of {node.get('valueType')}{place} is not supported"
    return None

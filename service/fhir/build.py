"""Small functions that build the FHIR dicts we author; empty elements never leave here."""

import html
import re
from collections.abc import Iterable
from typing import Any

Json = dict[str, Any]

# XML 1.0 forbids these even as character references: an XHTML div with one is not well-formed.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def prune(value: Any) -> Any:
    """Drop None, empty lists and empty objects at any depth; false, 0 and "" stay.

    For what we author: a received list may hold null to line up with its `_sibling` list.
    """
    if isinstance(value, dict):
        pruned = {name: prune(item) for name, item in value.items()}
        return {name: item for name, item in pruned.items() if not _is_empty(item)}
    if isinstance(value, list | tuple):
        return [item for item in map(prune, value) if not _is_empty(item)]
    return value


def _is_empty(value: Any) -> bool:
    return value is None or value == [] or value == {}


def coding(system: str | None, code: str, display: str | None = None) -> Json:
    """Return a Coding."""
    return _present(system=system, code=code, display=display)


def concept(*codings: Json, text: str | None = None) -> Json:
    """Return a CodeableConcept of codings, a text, or both."""
    return _present(coding=list(codings), text=text)


def code_concept(system: str | None, code: str, display: str | None = None) -> Json:
    """Return a CodeableConcept with one Coding."""
    return concept(coding(system, code, display))


def identifier(system: str | None, value: str, *, kind: Json | None = None, use: str | None = None) -> Json:
    """Return an Identifier; `kind` is its CodeableConcept type."""
    return _present(use=use, type=kind, system=system, value=value)


def reference(
    target: str | None = None,
    *,
    kind: str | None = None,
    logical: Json | None = None,
    display: str | None = None,
) -> Json:
    """Return a Reference to `target` (Type/id, URL, urn:uuid or #id), or a logical one by Identifier."""
    if target is None and logical is None and display is None:
        raise ValueError("a Reference needs a target, an identifier or a display")
    return _present(reference=target, type=kind, identifier=logical, display=display)


def period(start: str | None = None, end: str | None = None) -> Json:
    """Return a Period of FHIR dates or dateTimes."""
    return _present(start=start, end=end)


def quantity(value: Any, *, unit: str | None = None, system: str | None = None, code: str | None = None) -> Json:
    """Return a Quantity; `value` is an int or Decimal."""
    return _present(value=value, unit=unit, system=system, code=code)


def extension(url: str, **value: Any) -> Json:
    """Return an Extension with exactly one value[x]: extension(URL, valueCode="approved")."""
    if len(value) != 1 or not all(name.startswith("value") for name in value):
        raise ValueError(f"extension {url} takes exactly one value[x]")
    if _is_empty(prune(next(iter(value.values())))):
        raise ValueError(f"extension {url} has an empty value")
    return {"url": url, **{name: prune(item) for name, item in value.items()}}


def nested_extension(url: str, *parts: Json | None) -> Json:
    """Return an Extension made of extensions; parts that are None are left out."""
    present = [part for part in parts if part]
    if not present:
        raise ValueError(f"extension {url} has no parts")
    return {"url": url, "extension": present}


def parameter(name: str, *, resource: Json | None = None, parts: Iterable[Json] = (), **value: Any) -> Json:
    """Return one Parameters.parameter: a value[x], a resource, or parts."""
    if len(value) > 1 or not all(key.startswith("value") for key in value):
        raise ValueError(f"parameter {name} takes at most one value[x]")
    built = _present(name=name, **value, part=list(parts))
    if resource is not None:
        built["resource"] = resource
    if len(built) != 2:
        raise ValueError(f"parameter {name} takes one of value[x], resource and parts")
    return built


def parameters(*parts: Json | None, profile: str | None = None) -> Json:
    """Return a Parameters resource of `parameter(...)`s; those that are None are left out."""
    meta = {"profile": [profile]} if profile else None
    return _present(resourceType="Parameters", meta=meta, parameter=[part for part in parts if part])


def entry(full_url: str | None, resource: Json, **rest: Any) -> Json:
    """Return a Bundle.entry; the resource goes in as it is (an echo is never pruned). `rest`: request, search."""
    return {**_present(fullUrl=full_url), "resource": resource, **_present(**rest)}


def bundle(bundle_type: str, entries: Iterable[Json], **rest: Any) -> Json:
    """Return a Bundle; `rest` are its other elements (id, meta, identifier, timestamp, total, link)."""
    built = {"resourceType": "Bundle", **_present(**rest), "type": bundle_type}
    listed = list(entries)
    return {**built, "entry": listed} if listed else built


def narrative(text: str) -> Json:
    """Return a generated Narrative: one escaped paragraph per line of plain text."""
    lines = [line.strip() for line in _NOT_XML.sub("", text).splitlines() if line.strip()]
    if not lines:
        raise ValueError("a Narrative needs text")
    paragraphs = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{paragraphs}</div>'}


def _present(**elements: Any) -> Json:
    return {name: item for name, value in elements.items() if not _is_empty(item := prune(value))}

"""CDS Hooks bodies held against the logical models of CRD 2.2.1, which HAPI's validator does not judge.

It takes resources alone, and the models' parent (HL7's tools package) is not among the guides' packages. What is
checked here, from the models' own snapshots: unknown elements, cardinalities, primitive types, fixed and pattern
values, required bindings, and the parent's constraints cds-resp-1 to cds-resp-6. Orders in the body are judged by the
validator itself.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from conformance.recording import Call, Json

BASE: Final = "CRDHooksResponseBase"
CONFIGURATION: Final = "CDSHookServicesExtensionConfiguration"
# Code sets of the parent's package, from CDS Hooks 2.0 (cds-hooks.hl7.org/2.0), "Card Attributes" and "Action".
_CODES: Final[Mapping[str, frozenset[str]]] = {
    "CDSIndicator": frozenset({"info", "warning", "critical"}),
    "CDSActionType": frozenset({"create", "update", "delete"}),
    "CDSLinkType": frozenset({"absolute", "smart"}),
    "CDSSelectionBehavior": frozenset({"at-most-one", "any"}),
}
_PRIMITIVES: Final[Mapping[str, re.Pattern[str]]] = {
    "uuid": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "url": re.compile(r"\S+"),
    "code": re.compile(r"\S+( \S+)*"),
    "string": re.compile(r"[\s\S]*\S[\s\S]*"),
    "markdown": re.compile(r"[\s\S]*\S[\s\S]*"),
}
_PATH: Final = "http://hl7.org/fhir/tools/StructureDefinition/"
_REQUESTED: Final = "davinci-crd.requestedVersion"
_NEWEST: Final = "2.2"
_OPTIONS: Final = "davinci-crd.configuration-options"
# crdver-1 wants a number after the dot that is not 0; the guide itself names 2.0 as a version (CRD 2.2.1, "found").
_VERSION: Final = re.compile(r"[1-9]\d*\.[1-9]\d*|2\.0")
# The elements of a service and of the list (CDS Hooks 2.0, "Discovery"): name -> JSON type.
_SERVICE: Final[Mapping[str, type]] = {
    "hook": str,
    "title": str,
    "description": str,
    "id": str,
    "prefetch": dict,
    "usageRequirements": str,
    "extension": dict,
}
_REQUIRED: Final = ("hook", "description", "id")


@dataclass(frozen=True, slots=True)
class HookVerdict:
    """How many bodies of each kind were held against their model, and what was wrong."""

    counts: Counter[str]
    faults: Sequence[str]


def judge_hooks(calls: Iterable[Call], package: Path) -> HookVerdict:
    """Discovery, and every answer but a refusal. Requests are a client's: the service takes them, it sends none.

    Those of the demo EHR are not judged: it opens no FHIR server to the payer, which the model of a request demands.
    """
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for call in calls:
        if call.answer is None or "resourceType" in call.answer or not call.path.startswith("/cds-services"):
            continue
        if call.path == "/cds-services":
            judged = [("discovery", discovery_faults(call.answer, package))]
        else:
            hook = str(call.sent["hook"]) if call.sent else ""
            judged = [(f"{hook} answer", response_faults(call.answer, package))]
            # The newest guide alone has models of cards; what an older client asked for has no suggestion.
            newest = call.sent and str(call.sent.get("extension", {}).get(_REQUESTED)) == _NEWEST
            cards = call.answer["cards"] if newest else ()
            judged += [(f"{kind_of(card)} card", card_faults(card, package)) for card in cards]
        counts.update(kind for kind, _ in judged)
        faults += [f"{kind}: {fault}" for kind, found in judged for fault in found]
    return HookVerdict(counts, faults)


def response_faults(body: Json, package: Path) -> list[str]:
    """What is wrong with a hook's answer, by the base model; by that of coverage information when it has any."""
    model = f"{BASE[:-4]}-coverageInformation" if body.get("systemActions") else BASE
    faults = [*_faults(model, "CDSHooksResponse", body, package), *_constraints(body)]
    # json-empty-behavior "present": both lists are there, and empty where there is nothing.
    return [*faults, *(f"{name} is absent" for name in ("cards", "systemActions") if name not in body)]


def kind_of(card: Json) -> str:
    """The response type of a card of ours, as its model is called: its links tell."""
    kinds = {link["type"] for link in card.get("links", ())}
    if not kinds:
        return "instructions"
    return "launchSMART" if kinds == {"smart"} else "externalReference"


def card_faults(card: Json, package: Path) -> list[str]:
    """What is wrong with a card by the model of its own response type."""
    return list(_faults(f"{BASE[:-4]}-{kind_of(card)}", "CDSHooksResponse", {"cards": [card]}, package))


def discovery_faults(body: Json, package: Path) -> list[str]:
    """What is wrong with the list of services: CDS Hooks' own elements, and what CRD adds in its extension."""
    if list(body) != ["services"]:
        return ["the list has other elements than services"]
    faults = []
    for service in body["services"]:
        told = service.get("id", "?")
        faults += [f"{told}: {name} is unknown" for name in service if name not in _SERVICE]
        faults += [f"{told}: {name} is absent" for name in _REQUIRED if name not in service]
        faults += [f"{told}: {name} is no {_SERVICE[name].__name__}" for name in _ill_typed(service)]
        for option in service.get("extension", {}).get(_OPTIONS, ()):
            faults += _faults(CONFIGURATION, CONFIGURATION, option, package)
        for version in service.get("extension", {}).get("davinci-crd.version", ()):
            faults += [] if _VERSION.fullmatch(version) else [f"{told}: {version} is no version"]
    return faults


def _ill_typed(service: Json) -> list[str]:
    return [name for name, held in service.items() if name in _SERVICE and not isinstance(held, _SERVICE[name])]


def _faults(model: str, path: str, held: Json, package: Path) -> Iterator[str]:
    """Of one object at a path of the model, and of what is in it."""
    elements = _elements(package, model)
    children = {
        _told(one, "json-name") or name.rpartition(".")[2]: one
        for name, one in elements.items()
        if name.rpartition(".")[0] == path
    }
    yield from (f"{path}.{name} is unknown" for name in held if name not in children)
    for name, element in children.items():
        there = held.get(name)
        if _told(element, "json-property-key"):  # an object, in which each key is one of the many
            continue
        values = there if isinstance(there, list) else [] if there is None else [there]
        most = element["max"]
        if there is not None and isinstance(there, list) != (most == "*"):
            yield f"{path}.{name} is a list, or should be one"
        if len(values) < element["min"] or (most != "*" and len(values) > int(most)):
            yield f"{path}.{name} is there {len(values)} times, not {element['min']}..{most}"
        for value in values:
            yield from _of_value(model, element, value, package)


def _told(element: Json, extension: str) -> str | None:
    """The value of one of the tools' extensions of an element: how it is written in JSON."""
    told = (one for one in element.get("extension", ()) if one["url"] == _PATH + extension)
    return next((value for one in told for name, value in one.items() if name.startswith("value")), None)


def _of_value(model: str, element: Json, value: Any, package: Path) -> Iterator[str]:
    path: str = element["id"]
    kinds = [kind["code"].rpartition("/")[2] for kind in element["type"]]
    if kinds == ["CDSHooksElement"]:
        yield from _faults(model, path, value, package)
    if not any(_is_a(kind, value) for kind in kinds):
        yield f"{path} is no {' or '.join(kinds)}"
    wanted = element.get("patternCode") or element.get("fixedCode")
    if wanted and value != wanted:
        yield f"{path} is not {wanted}"
    binding = element.get("binding", {})
    codes = _CODES.get(binding.get("valueSet", "").rpartition("/")[2])
    if binding.get("strength") == "required" and codes and value not in codes:
        yield f"{path} has a code outside {sorted(codes)}"


def _is_a(kind: str, value: Any) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "Resource":
        return isinstance(value, dict) and "resourceType" in value
    if kind == "Coding":
        return isinstance(value, dict) and set(value) <= {"system", "version", "code", "display", "userSelected"}
    if kind in _PRIMITIVES:
        return isinstance(value, str) and _PRIMITIVES[kind].fullmatch(value) is not None
    return isinstance(value, dict)  # a backbone element, or an object of extensions


def _constraints(body: Json) -> Iterator[str]:
    for card in body.get("cards", ()):
        suggestions = card.get("suggestions", ())
        recommended = [one for one in suggestions if one.get("isRecommended")]
        if card.get("selectionBehavior") == "at-most-one" and len(recommended) > 1:
            yield "cds-resp-1"
        if suggestions and "selectionBehavior" not in card:
            yield "cds-resp-6"
        actions = [action for one in suggestions for action in one.get("actions", ())]
        if any("description" not in action for action in actions):
            yield "cds-resp-5"
        if any(action.get("type") == "delete" and "resourceId" not in action for action in actions):
            yield "cds-resp-2"
        if any(link.get("type") != "smart" and "appContext" in link for link in card.get("links", ())):
            yield "cds-resp-3"
        if any("display" not in reason for reason in card.get("overrideReasons", ())):
            yield "cds-resp-4"


@cache
def _elements(package: Path, model: str) -> Mapping[str, Json]:
    """By path, the elements of a model's snapshot."""
    with tarfile.open(package) as archive:
        held = archive.extractfile(f"package/StructureDefinition-{model}.json")
        assert held is not None
        definition = json.loads(held.read().decode("utf-8-sig"))
    return {element["id"]: element for element in definition["snapshot"]["element"]}

"""Definitions that the guides name and that cannot be had offline: minimal ones of our own, from one table.

A stand-in says where an extension may stand and what types its value has: no more. Sources: [E] HL7 FHIR Extensions
(github.com/HL7/fhir-extensions, input/definitions, b8500f5); [X] FHIR R5's element of that name, as its cross-version
extension carries it: the types that R4 lacks, at the nearest element (HL7's hl7.fhir.uv.xver-r5.r4 0.1.0);
[S] Subscriptions R5 Backport 1.1.0 (github.com/HL7/fhir-subscription-backport-ig, input/fsh/BackportSubscription.fsh,
039ff23, and Capabilities.fsh, 0db0e6f); [U] US Core 6.1.0's page of the value set "Birth Sex", whose expansion has
these five codes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]
_CORE: Final = "http://hl7.org/fhir/StructureDefinition/"
_R5: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-"
_BACKPORT: Final = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
_VSAC: Final = "http://cts.nlm.nih.gov/fhir/ValueSet/"
_V3: Final = "http://terminology.hl7.org/CodeSystem/v3-"


@dataclass(frozen=True, slots=True)
class Extension:
    """`values` are types of value[x]; one with `parts` has none. Parts are name -> (type, min, max)."""

    url: str
    contexts: tuple[str, ...]
    values: tuple[str, ...] = ()
    parts: Mapping[str, tuple[str, int, str]] | None = None
    repeats: bool = False


_QUESTIONNAIRE: Final = ("Questionnaire",)
_FORM_AND_ITEM: Final = ("Questionnaire", "Questionnaire.item")
_ARTIFACTS: Final = (
    "CapabilityStatement",
    "CodeSystem",
    "Library",
    "Questionnaire",
    "StructureDefinition",
    "ValueSet",
)
_WORKFLOW: Final = ("CommunicationRequest", "DeviceRequest", "QuestionnaireResponse", "ServiceRequest", "Task")

EXTENSIONS: Final = (
    # [E]
    Extension(f"{_CORE}artifact-versionAlgorithm", _ARTIFACTS, ("string", "Coding")),
    Extension(f"{_CORE}artifact-copyrightLabel", _ARTIFACTS, ("string",)),
    Extension(f"{_CORE}preferredTerminologyServer", (*_FORM_AND_ITEM, "ElementDefinition"), ("url",), repeats=True),
    Extension(
        f"{_CORE}targetConstraint",
        _FORM_AND_ITEM,
        parts={
            "key": ("id", 1, "1"),
            "requirements": ("markdown", 0, "1"),
            "severity": ("code", 1, "1"),
            "expression": ("Expression", 1, "1"),
            "human": ("string", 1, "1"),
            "location": ("string", 0, "*"),
        },
        repeats=True,
    ),
    Extension(
        f"{_CORE}questionnaire-supportHyperlink",
        _FORM_AND_ITEM,
        parts={"label": ("string", 1, "1"), "link": ("uri", 1, "1")},
        repeats=True,
    ),
    Extension(
        f"{_CORE}workflow-adheresTo",
        ("QuestionnaireResponse", "Task"),
        ("canonical", "Reference", "uri"),
        repeats=True,
    ),
    Extension(f"{_CORE}workflow-triggeredBy", _WORKFLOW, ("canonical", "Reference", "uri")),
    Extension(f"{_CORE}itemWeight", ("Coding", "Questionnaire.item.answerOption"), ("decimal",)),
    Extension(f"{_CORE}alternate-reference", ("Reference",), ("Reference",)),
    # [X]
    Extension(f"{_R5}Questionnaire.subjectType", _QUESTIONNAIRE, ("code",), repeats=True),
    Extension(f"{_R5}Questionnaire.item.disabledDisplay", ("Questionnaire.item",), ("code",)),
    Extension(f"{_R5}Questionnaire.item.answerConstraint", ("Questionnaire.item",), ("code",)),
    Extension(f"{_R5}Claim.encounter", ("Claim",), ("Reference",), repeats=True),
    Extension(
        f"{_R5}CommunicationRequest.payload.content",
        ("CommunicationRequest.payload",),
        ("CodeableConcept",),
    ),
    # [S]
    Extension(f"{_BACKPORT}backport-filter-criteria", ("Subscription.criteria",), ("string",), repeats=True),
    Extension(f"{_BACKPORT}backport-payload-content", ("Subscription.channel.payload",), ("code",)),
    Extension(f"{_BACKPORT}backport-heartbeat-period", ("Subscription.channel",), ("unsignedInt",)),
    Extension(f"{_BACKPORT}backport-timeout", ("Subscription.channel",), ("unsignedInt",)),
    Extension(f"{_BACKPORT}backport-max-count", ("Subscription.channel",), ("positiveInt",)),
    Extension(f"{_BACKPORT}backport-channel-type", ("Subscription.channel.type",), ("Coding",)),
    Extension(
        f"{_BACKPORT}capabilitystatement-subscriptiontopic-canonical",
        ("CapabilityStatement.rest.resource",),
        ("canonical",),
        repeats=True,
    ),
)
# [S] Profiles of which no rule is declared: naming them is no fault, and nothing of theirs is checked.
PROFILES: Final[Mapping[str, str]] = {
    f"{_BACKPORT}backport-subscription": "Subscription",
    f"{_BACKPORT}backport-subscription-status-r4": "Parameters",
}
# [U]
VALUE_SETS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    f"{_VSAC}2.16.840.1.113762.1.4.1": (f"{_V3}AdministrativeGender", ("F", "M")),
    f"{_VSAC}2.16.840.1.113762.1.4.1021.103": (f"{_V3}NullFlavor", ("ASKU", "OTH", "UNK")),
}
# [X] The codes of FHIR R5's version-algorithm.
CODE_SYSTEMS: Final[Mapping[str, tuple[str, ...]]] = {
    "http://hl7.org/fhir/version-algorithm": ("alpha", "date", "integer", "natural", "semver"),
}


def write(folder: Path) -> list[str]:
    """Writes every stand-in as a file of its own; returns their urls."""
    made = [*map(_extension, EXTENSIONS), *(_profile(url, kind) for url, kind in PROFILES.items())]
    made += [_value_set(url, *held) for url, held in VALUE_SETS.items()]
    made += [_code_system(url, codes) for url, codes in CODE_SYSTEMS.items()]
    for number, resource in enumerate(made):
        (folder / f"{resource['resourceType']}-{number}.json").write_text(json.dumps(resource))
    return [resource["url"] for resource in made]


def _extension(told: Extension) -> Json:
    most = "*" if told.repeats else "1"
    elements: list[Json] = [{"id": "Extension", "path": "Extension", "min": 0, "max": most}]
    for name, (kind, least, greatest) in (told.parts or {}).items():
        elements += _part(name, kind, least, greatest)
    if not told.parts:
        elements.append({"id": "Extension.extension", "path": "Extension.extension", "max": "0"})
    elements.append({"id": "Extension.url", "path": "Extension.url", "fixedUri": told.url})
    value: Json = {"id": "Extension.value[x]", "path": "Extension.value[x]"}
    value |= {"max": "0"} if told.parts else {"min": 1, "type": [{"code": kind} for kind in told.values]}
    contexts = [{"type": "element", "expression": expression} for expression in told.contexts]
    return _definition(told.url, "Extension", [*elements, value]) | {"kind": "complex-type", "context": contexts}


def _part(name: str, kind: str, least: int, most: str) -> list[Json]:
    base = {"id": f"Extension.extension:{name}", "path": "Extension.extension"}
    return [
        {**base, "sliceName": name, "min": least, "max": most},
        {"id": f"{base['id']}.extension", "path": "Extension.extension.extension", "max": "0"},
        {"id": f"{base['id']}.url", "path": "Extension.extension.url", "fixedUri": name},
        {"id": f"{base['id']}.value[x]", "path": "Extension.extension.value[x]", "min": 1, "type": [{"code": kind}]},
    ]


def _profile(url: str, kind: str) -> Json:
    return _definition(url, kind, [{"id": kind, "path": kind}]) | {"kind": "resource"}


def _definition(url: str, kind: str, elements: list[Json]) -> Json:
    return {
        "resourceType": "StructureDefinition",
        "id": url.rpartition("/")[2][-64:],
        "url": url,
        "name": "StandIn",
        "status": "active",
        "description": "A stand-in for a definition that is not available offline.",
        "fhirVersion": "4.0.1",
        "abstract": False,
        "type": kind,
        "baseDefinition": _CORE + kind,
        "derivation": "constraint",
        "differential": {"element": elements},
    }


def _value_set(url: str, system: str, codes: tuple[str, ...]) -> Json:
    include = {"system": system, "concept": [{"code": code} for code in codes]}
    return {"resourceType": "ValueSet", "url": url, "status": "active", "compose": {"include": [include]}}


def _code_system(url: str, codes: tuple[str, ...]) -> Json:
    concepts = [{"code": code} for code in codes]
    return {"resourceType": "CodeSystem", "url": url, "status": "active", "content": "complete", "concept": concepts}

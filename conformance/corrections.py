"""Faults of the published guides that no conformant server can avoid: corrected for the validator, and said.

Each is a contradiction inside one guide, so judging by the text as published would fail every answer the guide asks
for. What is corrected is listed in the validator's output.
"""

from __future__ import annotations

import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Correction:
    """A definition of a package. `contexts` are added; `constraint` is (key, the expression as it was meant).

    Constraints of `dropped` keys are left out; elements (by id) of `unfixed` may have any value, those of `optional`
    may be left out.
    """

    package: str
    definition: str
    why: str
    contexts: tuple[tuple[str, str], ...] = ()
    constraint: tuple[str, str] | None = None
    dropped: tuple[str, ...] = ()
    unfixed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


_ITEM: Final = (("element", "ClaimResponse.item"),)
_SLICED: Final = "profile-claimresponse slices it on ClaimResponse.item, and its own context leaves that place out"
_ADD_ITEM: Final = (("element", "ClaimResponse.addItem"),)
_ADDED: Final = "profile-claimresponse slices it on ClaimResponse.addItem, and its own context leaves that place out"
_SIGNED: Final = (
    "the hooks of 2.0.1 are also called with signed orders (order-dispatch always, order-sign on a new signature),"
    " which are given back as they came, and the profile has draft alone"
)
_DETAIL: Final = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-itemAuthorizedDetail"

CORRECTIONS: Final = (
    Correction(
        "crd-2.2.1",
        "ext-coverage-information",
        "crd-ci-q4 takes an empty collection for false: as published, doc-purpose can never be withpa",
        constraint=(
            "crd-ci-q4",
            "extension.where(url = 'pa-needed' and value in ('satisfied' | 'no-auth' | 'not-covered')).exists()"
            " implies extension.where(url = 'doc-purpose' and value = 'withpa').empty()",
        ),
    ),
    Correction("pas-2.2.1", "extension-communicatedDiagnosis", _SLICED, _ITEM),
    Correction("pas-2.0.1", "extension-communicatedDiagnosis", _SLICED, _ITEM),
    Correction("pas-2.0.1", "extension-administrationReferenceNumber", _SLICED, _ITEM),
    Correction(
        "pas-2.2.1",
        "extension-itemAuthorizedProvider",
        "profile-claimresponse slices it at the root of ClaimResponse, and its own context leaves that place out",
        (("element", "ClaimResponse"),),
    ),
    Correction(
        "pas-2.2.1",
        "extension-revenueCode",
        "itemAuthorizedDetail has it as a part, and its own context is ClaimResponse.addItem alone",
        (("extension", _DETAIL),),
    ),
    Correction(
        "dtr-2.0.1",
        "dtr-qpackage-output-parameters",
        "its snapshot repeats two constraints of Bundle where %resource is the Parameters around it, so that no"
        " package meets them (they hold by the package's own profile); and it asks for a package even where the"
        " operation's own text has an answer without one, because no form is needed",
        dropped=("bdl-3", "bdl-4"),
        optional=("Parameters.parameter:PackageBundle",),
    ),
    Correction("pas-2.2.1", "extension-serviceItemRequestType", _ADDED, _ADD_ITEM),
    Correction("pas-2.2.1", "extension-certificationType", _ADDED, _ADD_ITEM),
    Correction("crd-2.0.1", "profile-medicationrequest", _SIGNED, unfixed=("MedicationRequest.status",)),
    Correction("crd-2.0.1", "profile-servicerequest", _SIGNED, unfixed=("ServiceRequest.status",)),
)


def write(folder: Path, packages: dict[str, Path]) -> list[str]:
    """Writes the corrected definitions of these packages (name -> archive); says what was corrected and why."""
    said = []
    for number, correction in enumerate(CORRECTIONS):
        if archive := packages.get(correction.package):
            corrected = _corrected(_read(archive, correction.definition), correction)
            (folder / f"corrected-{number}.json").write_text(json.dumps(corrected))
            if correction.constraint:
                for each in packages.values():
                    _restate(folder, each, correction.constraint)
            said.append(f"{correction.package} {correction.definition}: {correction.why}")
    return said


def _restate(folder: Path, archive: Path, constraint: tuple[str, str]) -> None:
    """The profiles' snapshots repeat an extension's constraints: those too are written as they were meant."""
    with tarfile.open(archive) as package:
        for member in package.getmembers():
            if not member.name.startswith("package/StructureDefinition-"):
                continue
            held = package.extractfile(member)
            text = held.read().decode("utf-8-sig") if held else ""
            if f'"{constraint[0]}"' in text:
                profile = json.loads(text)
                if profile["type"] == "Extension":  # it has its own file
                    continue
                _replace(profile, constraint)
                (folder / f"restated-{archive.stem}-{Path(member.name).name}").write_text(json.dumps(profile))


def _read(archive: Path, definition: str) -> Json:
    with tarfile.open(archive) as package:
        member = package.extractfile(f"package/StructureDefinition-{definition}.json")
        if member is None:
            raise LookupError(f"{archive.name} has no {definition}")
        found: Json = json.loads(member.read().decode("utf-8-sig"))
        return found


def _corrected(definition: Json, correction: Correction) -> Json:
    if correction.contexts:
        definition["context"] += [{"type": kind, "expression": place} for kind, place in correction.contexts]
    if len(_drop(definition, correction.dropped)) < len(correction.dropped):
        raise LookupError(f"{correction.definition} has not all of {correction.dropped}")
    elements = {element["id"]: element for element in definition["snapshot"]["element"]}
    for name in correction.unfixed:
        del elements[name]["fixedCode"]
    for name in correction.optional:
        elements[name]["min"] = 0
    if correction.constraint and not _replace(definition, correction.constraint):
        raise LookupError(f"{correction.definition} has no {correction.constraint[0]}")
    return definition


def _drop(definition: Json, keys: tuple[str, ...]) -> set[str]:
    """Which of the keys there were."""
    found = set()
    for element in definition["snapshot"]["element"]:
        stated = element.get("constraint", ())
        found |= {one["key"] for one in stated if one["key"] in keys}
        if stated:
            element["constraint"] = [one for one in stated if one["key"] not in keys]
    return found


def _replace(definition: Json, constraint: tuple[str, str]) -> bool:
    """Whether the constraint was there."""
    elements = [*definition["snapshot"]["element"], *definition["differential"]["element"]]
    stated = [one for element in elements for one in element.get("constraint", ()) if one["key"] == constraint[0]]
    for one in stated:
        one["expression"] = constraint[1]
    return bool(stated)

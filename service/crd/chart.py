"""The records of one patient that a policy's prepopulation logic reads, asked of the client's FHIR server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service.crd.gather import owned_by
from service.crd.hooks import HookCall
from service.crd.reading import object_at, objects_at, text_at
from service.errors import EhrRefused, EhrUnavailable
from service.fhir.build import Json
from service.fhir.canonical import split_canonical
from service.ports import EhrClient, Found, LoadedPolicy, Resource

_MOST_CODES: Final = 200
_MOST_MEDICATIONS: Final = 20
_INTENTS: Final = "proposal,plan,order,original-order,reflex-order,filler-order,instance-order,option"


@dataclass(frozen=True, slots=True)
class DataRequirement:
    """Records of one type; with `codes` (system, code) only those whose code is one of them, () for all."""

    kind: str
    codes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ChartRecords:
    """The patient's records. `unread` names the types of which something could not be read."""

    records: tuple[Resource, ...]
    unread: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a type is searched: whose it is, and what US Core wants beside the patient."""

    owner: str = "subject"
    by_code: bool = True
    further: tuple[tuple[str, str], ...] = ()
    medication: bool = False


# The types that US Core makes searchable by patient (3.1.1, 6.1, 7.0); a server must offer MedicationRequest by
# patient and intent. MedicationAdministration is R4's own search by patient.
_KINDS: Final[Mapping[str, _Kind]] = {
    "Condition": _Kind(),
    "Observation": _Kind(),
    "Procedure": _Kind(),
    "DiagnosticReport": _Kind(),
    "AllergyIntolerance": _Kind(owner="patient", by_code=False),
    "Immunization": _Kind(owner="patient", by_code=False),
    "MedicationRequest": _Kind(by_code=False, further=(("intent", _INTENTS),), medication=True),
    "MedicationAdministration": _Kind(by_code=False, medication=True),
    "MedicationStatement": _Kind(by_code=False, medication=True),
}


def data_requirements(loaded: LoadedPolicy) -> tuple[DataRequirement, ...]:
    """What the prepopulation library says that it reads of a chart, one for each type."""
    library = loaded.prepopulation
    listed = [
        requirement
        for resource in loaded.libraries
        if library is not None and resource.get("name") == library.name
        for requirement in objects_at(resource, "dataRequirement")
    ]
    wanted: dict[str, list[tuple[tuple[str, str], ...]]] = {}
    for requirement in listed:
        wanted.setdefault(str(requirement.get("type")), []).append(_codes(requirement, loaded.value_sets))
    return tuple(
        # One requirement without codes wants every record of the type.
        DataRequirement(kind, tuple(dict.fromkeys(code for codes in sets for code in codes)) if all(sets) else ())
        for kind, sets in wanted.items()
        if kind in _KINDS
    )


async def chart(call: HookCall, needs: Sequence[DataRequirement], ehr: EhrClient) -> ChartRecords:
    """The records. Bounded; done by the call's deadline. Only what says that it is this patient's is given out."""
    parts = await asyncio.gather(*(_read(need, call.patient_id, ehr) for need in needs if need.kind in _KINDS))
    records: dict[str, Resource] = {}
    for part in parts:
        for record in part.records:
            records.setdefault(f"{record.get('resourceType')}/{record.get('id')}", record)
    unread = tuple(dict.fromkeys(kind for part in parts for kind in part.unread))
    return ChartRecords(tuple(records.values()), unread)


async def _read(need: DataRequirement, patient_id: str, ehr: EhrClient) -> ChartRecords:
    kind = _KINDS[need.kind]
    try:
        found = await _search(need, kind, patient_id, ehr)
    except EhrUnavailable:
        return ChartRecords((), (need.kind,))
    own = [r for r in found.resources if r.get("resourceType") == need.kind]
    kept = tuple(r for r in own if owned_by(r, kind.owner, patient_id, ehr))
    included = [r for r in found.resources if kind.medication and r.get("resourceType") == "Medication"]
    medications, all_read = await _medications(kept, included, ehr) if kind.medication else ((), True)
    whole = found.complete and len(kept) == len(own)
    unread = (*(() if whole else (need.kind,)), *(() if all_read else ("Medication",)))
    return ChartRecords((*kept, *medications), unread)


async def _search(need: DataRequirement, kind: _Kind, patient_id: str, ehr: EhrClient) -> Found:
    """The narrowest search that the server does: with codes and included Medications, or without."""
    scope = (("patient", patient_id), *kind.further)
    codes = kind.by_code and 0 < len(need.codes) <= _MOST_CODES
    narrow = [("code", ",".join(_token(*code) for code in need.codes))] if codes else []
    included = [("_include", f"{need.kind}:medication")] if kind.medication else []
    if narrow or included:
        try:
            return await ehr.search(need.kind, *scope, *narrow, *included)
        except EhrRefused:
            # US Core demands neither; the logic looks at the codes itself.
            pass
    return await ehr.search(need.kind, *scope)


async def _medications(
    records: Sequence[Resource], included: Sequence[Resource], ehr: EhrClient
) -> tuple[tuple[Resource, ...], bool]:
    """The Medications that the records refer to and no others; False when one is missing."""
    here = {str(medication.get("id")): medication for medication in included}
    wanted = dict.fromkeys(reference for record in records if (reference := _medication_of(record)))
    named = [ehr.named(reference) for reference in wanted]
    ids = [found[1] for found in named if found and found[0] == "Medication"]
    missing = [logical_id for logical_id in ids if logical_id not in here]
    read = await asyncio.gather(*(_medication(logical_id, ehr) for logical_id in missing[:_MOST_MEDICATIONS]))
    given = [here[logical_id] for logical_id in ids if logical_id in here] + [found for found in read if found]
    return tuple(given), len(given) == len(wanted)


async def _medication(logical_id: str, ehr: EhrClient) -> Resource | None:
    try:
        return await ehr.read("Medication", logical_id)
    except EhrUnavailable:
        return None


def _medication_of(record: Resource) -> str | None:
    """The reference of a medication that is not contained in its record."""
    reference = text_at(object_at(record, "medicationReference"), "reference")
    return None if reference is None or reference.startswith("#") else reference


def _codes(requirement: Json, value_sets: Sequence[Resource]) -> tuple[tuple[str, str], ...]:
    """The codes of a requirement's filter on `code`; () when it has none that narrows the search."""
    found: list[tuple[str, str]] = []
    for code_filter in objects_at(requirement, "codeFilter"):
        if text_at(code_filter, "path") != "code":
            continue
        found += _pairs(objects_at(code_filter, "code"))
        canonical = text_at(code_filter, "valueSet")
        if canonical:
            url = split_canonical(canonical)[0]
            for value_set in value_sets:
                if value_set.get("url") == url:
                    found += _pairs(objects_at(object_at(value_set, "expansion"), "contains"))
    return tuple(found)


def _pairs(codings: Sequence[Json]) -> Iterator[tuple[str, str]]:
    for coding in codings:
        system, code = text_at(coding, "system"), text_at(coding, "code")
        if system and code:
            yield system, code


def _token(system: str, code: str) -> str:
    """A token of a search (FHIR R4 search.html#token), its separators escaped (search.html#escaping)."""
    return "|".join(_escaped(part) for part in (system, code))


def _escaped(text: str) -> str:
    for character in "\\$,|":
        text = text.replace(character, f"\\{character}")
    return text

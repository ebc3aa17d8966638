"""A draft's documents: named in the response, kept in the EHR where the token allows it, else contained in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from service.dtr.app.documents import Attached, from_draft, from_record, with_document
from service.ehr.writing import WritingEhr
from service.errors import Conflict, EhrUnavailable, ServiceError
from service.fhir.build import Json, extension, nested_extension
from service.ports import Ids, Resource

# Ours: no extension of the guides names the documents that go with a request while it is being written.
REQUEST_DOCUMENT: Final = "https://payer.example.org/fhir/StructureDefinition/request-document"
_DOCUMENT: Final = "document"
_UPLOADED: Final = "uploaded"
_MADE_HERE: Final = "DocumentReference"
_CREATING: Final = "c"
_LETTERS: Final = "cruds"


@dataclass(frozen=True, slots=True)
class Resumed:
    """The documents of a draft that could be read again, and how many could not."""

    documents: tuple[Attached, ...]
    lost: int


def with_documents(response: Json, documents: Sequence[Attached]) -> Json:
    """The response that names these documents; those that the EHR does not hold are inside it."""
    if not documents:
        return response
    inside = [each.resource for each in documents if not each.in_ehr]
    contained = [*response.get("contained", ()), *inside]
    return {
        **response,
        **({"contained": contained} if contained else {}),
        "extension": [*response.get("extension", ()), *(_named(each) for each in documents)],
    }


def without_contained(response: Resource) -> Json:
    """The response without the documents inside it."""
    named = {reference.removeprefix("#") for reference, _ in _listed(response)}
    kept = [each for each in response.get("contained") or () if each.get("id") not in named]
    others = {name: value for name, value in response.items() if name != "contained"}
    return {**others, **({"contained": kept} if kept else {})}


async def kept_in_ehr(ehr: WritingEhr, scopes: frozenset[str], documents: Sequence[Attached]) -> tuple[Attached, ...]:
    """The documents, of which the EHR now holds every one that it takes."""
    if not _may_create(scopes):
        return tuple(documents)
    return tuple(await asyncio.gather(*(_kept(ehr, each) for each in documents)))


async def read_documents(ehr: WritingEhr, patient: str, draft: Resource, ids: Ids) -> Resumed:
    """What a draft names; of what cannot be read again only the number is told."""
    inside = {str(each.get("id")): each for each in draft.get("contained") or ()}
    listed = list(_listed(draft))

    async def read(reference: str, uploaded: bool) -> Attached | None:
        try:
            if reference.startswith("#"):
                return from_draft(inside.get(reference[1:]) or {}, patient, ids.new())
            return replace(await from_record(ehr, patient, reference), uploaded=uploaded)
        except ServiceError:
            return None

    found: tuple[Attached, ...] = ()
    lost = 0
    for each in await asyncio.gather(*(read(*one) for one in listed)):
        try:
            found = with_document(found, each) if each is not None else found
        except ServiceError:
            each = None
        lost += each is None
    return Resumed(found, lost)


async def take_back(ehr: WritingEhr, before: Resource | None, documents: Sequence[Attached]) -> None:
    """Marks files that were uploaded for the draft, and taken off it since, as entered in error.

    The EHR may not let us, and then they stay in the chart.
    """
    left = {each.reference for each in documents}
    for reference, uploaded in _listed(before or {}):
        named = ehr.named(reference) if uploaded and reference not in left else None
        if named is None or named[0] != _MADE_HERE:
            continue
        try:
            record = await ehr.read(*named)
            version = (record.get("meta") or {}).get("versionId")
            await ehr.update({**record, "status": "entered-in-error"}, version)
        except (EhrUnavailable, Conflict):
            continue


def _named(document: Attached) -> Json:
    reference = document.reference if document.in_ehr else f"#{document.resource['id']}"
    shown = {"reference": reference, "display": document.title}
    uploaded = [extension(_UPLOADED, valueBoolean=True)] if document.uploaded else []
    return nested_extension(REQUEST_DOCUMENT, extension(_DOCUMENT, valueReference=shown), *uploaded)


def _listed(response: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """(reference, whether it was uploaded) of each document that a response names."""
    for held in response.get("extension") or ():
        if held.get("url") != REQUEST_DOCUMENT:
            continue
        parts = {part.get("url"): part for part in held.get("extension") or ()}
        reference = (parts.get(_DOCUMENT, {}).get("valueReference") or {}).get("reference")
        if isinstance(reference, str):
            yield reference, parts.get(_UPLOADED, {}).get("valueBoolean") is True


async def _kept(ehr: WritingEhr, document: Attached) -> Attached:
    if document.in_ehr:
        return document
    try:
        logical_id = await ehr.create({name: value for name, value in document.resource.items() if name != "id"})
    except EhrUnavailable:
        return document
    return replace(document, resource={**document.resource, "id": logical_id}, in_ehr=True)


def _may_create(scopes: frozenset[str]) -> bool:
    """Whether a granted scope lets the app create documents (SMART App Launch 2: letters; 1: write)."""
    for scope in scopes:
        kind, _, may = scope.partition("?")[0].partition(".")
        letters = set(may) <= set(_LETTERS)
        if kind in _KINDS and (may in {"write", "*"} or (letters and _CREATING in may)):
            return True
    return False


_KINDS: Final = frozenset(f"{level}/{kind}" for level in ("patient", "user") for kind in (_MADE_HERE, "*"))

"""Documents that go with a request where evidence is missing: records of the chart, and files of the user."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from service.dtr.app.records import is_about, read_at
from service.errors import EhrUnavailable, InvalidResource, MissingElement, NotFound, TooLarge
from service.fhir.build import Json, code_concept, coding, concept
from service.fhir.canonical import NULL_FLAVOR
from service.ports import EhrClient, Resource

MOST_BYTES: Final = 3_000_000
# Base64 makes a third more of it, and a request may have 10 MB (settings.max_body_bytes).
MOST_TOGETHER: Final = 5_000_000
MOST_DOCUMENTS: Final = 10
TEXT: Final = "text/plain"
# How files of the types that are taken begin: what a browser says of a file is not asked.
_BEGINNINGS: Final = {
    "application/pdf": b"%PDF-",
    "image/jpeg": b"\xff\xd8\xff",
    "image/png": b"\x89PNG\r\n\x1a\n",
}
_OFFERED: Final = {
    "DocumentReference": {"current"},
    "DiagnosticReport": {"final", "amended", "corrected", "appended"},
}
_MOST_RESULTS: Final = 40
_LONGEST_NAME: Final = 120
# PAS 2.2.1's example of a DocumentReference has this category.
_CLINICAL_NOTE: Final = code_concept(
    "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "clinical-note", "Clinical Note"
)


@dataclass(frozen=True, slots=True)
class Offer:
    """A record of the chart that may be added: its Type/id, what it is, and its day as written."""

    reference: str
    title: str
    when: str


@dataclass(frozen=True, slots=True)
class Attached:
    """What goes with the request: a DocumentReference or DiagnosticReport, and the results that it rests on.

    `size` is bytes of content. `in_ehr` says whether the EHR holds it under its id, `uploaded` whether a user of the
    app brought it.
    """

    resource: Json
    title: str
    size: int
    related: tuple[Resource, ...] = ()
    in_ehr: bool = False
    uploaded: bool = False

    @property
    def reference(self) -> str:
        return f"{self.resource['resourceType']}/{self.resource['id']}"


async def offers(ehr: EhrClient, patient: str) -> tuple[Offer, ...]:
    """The patient's documents and reports, the newest first; none where the EHR gives none."""
    searched = await asyncio.gather(*(_search(ehr, kind, patient) for kind in _OFFERED))
    found = [
        Offer(f"{record['resourceType']}/{record['id']}", _title(record), _when(record))
        for records in searched
        for record in records
        if record.get("id") and record.get("status") in _OFFERED[record["resourceType"]]
    ]
    return tuple(sorted(found, key=lambda offer: offer.when, reverse=True))


async def from_record(ehr: EhrClient, patient: str, reference: str) -> Attached:
    """A record with its content inside, as PAS wants it (profile-documentreference: attachment.data, no url).

    NotFound when the EHR does not give it, MissingElement when not its content.
    """
    record = await read_at(ehr, reference)
    offered = record is not None and record.get("status") in _OFFERED.get(record["resourceType"], ())
    if record is None or not offered or not is_about(ehr, record, patient):
        raise NotFound("The EHR did not give this document. Reload the page and try again.")
    filled, size = await _filled(ehr, record)
    results = [each.get("reference") for each in record.get("result") or ()][:_MOST_RESULTS]
    read = await asyncio.gather(*(read_at(ehr, result) for result in results))
    related = tuple(result for result in read if result is not None and is_about(ehr, result, patient))
    return Attached(filled, _title(record), size, related, in_ehr=True)


def from_draft(record: Resource, patient: str, logical_id: str) -> Attached:
    """A file that a draft contains, under an id of its own: a draft is the EHR's word, and is checked like a file.

    NotFound when it is none, or another patient's; InvalidResource, TooLarge.
    """
    contents = record.get("content") or [{}]
    subject = (record.get("subject") or {}).get("reference")
    if record.get("resourceType") != "DocumentReference" or subject != f"Patient/{patient}":
        raise NotFound("The draft does not hold this document.")
    attachment = contents[0].get("attachment") or {}
    about: tuple[Resource, Json] = ({"id": patient}, next(iter(record.get("author") or ()), {}))
    written = _document(_file_title(attachment.get("title")), attachment.get("data"), about)
    return replace(written, resource={**written.resource, "id": logical_id, "date": record.get("date")})


def from_file(name: Any, data: Any, about: tuple[Resource, Json], number: tuple[str, datetime]) -> Attached:
    """A file of the user as a DocumentReference. `about` is the patient and the author, `number` its id and time.

    InvalidResource when it is none of the types that are taken, TooLarge.
    """
    written = _document(_file_title(name), data, about)
    logical_id, when = number
    return replace(
        written, resource={**written.resource, "id": logical_id, "date": when.isoformat(timespec="seconds")}
    )


def _document(title: str, data: Any, about: tuple[Resource, Json]) -> Attached:
    content = _decoded(data)
    if len(content) > MOST_BYTES:
        raise TooLarge(f"The file is larger than {MOST_BYTES // 1_000_000} MB. Send the pages that matter.")
    kind = _kind(content)
    patient, author = about
    resource: Json = {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": concept(coding(NULL_FLAVOR, "UNK", "unknown"), text=title),
        "category": [_CLINICAL_NOTE],
        "subject": {"reference": f"Patient/{patient['id']}"},
        "author": [{"display": str(author.get("display") or "A user of the EHR")}],
        "description": title,
        "content": [{"attachment": {"contentType": kind, "data": _encoded(content), "title": title}}],
    }
    return Attached(resource, title, len(content), uploaded=True)


def with_document(held: Sequence[Attached], added: Attached) -> tuple[Attached, ...]:
    """The documents with one more, each once; TooLarge when they are too many, or too much for one request."""
    rest = [each for each in held if each.reference != added.reference]
    if len(rest) >= MOST_DOCUMENTS or sum(each.size for each in (*rest, added)) > MOST_TOGETHER:
        most = f"{MOST_DOCUMENTS} documents of {MOST_TOGETHER // 1_000_000} MB together"
        raise TooLarge(f"A request takes {most}. Remove one first.")
    return (*rest, added)


def without_document(held: Sequence[Attached], reference: str) -> tuple[Attached, ...]:
    """The documents but one."""
    return tuple(each for each in held if each.reference != reference)


async def _search(ehr: EhrClient, kind: str, patient: str) -> Sequence[Resource]:
    try:
        found = await ehr.search(kind, ("patient", patient))
    except EhrUnavailable:
        return ()
    return [record for record in found.resources if is_about(ehr, record, patient)]


async def _filled(ehr: EhrClient, record: Resource) -> tuple[Json, int]:
    """The record with every attachment's content inside, and how much that is."""
    size = 0

    async def inside(attachment: Resource) -> Json:
        nonlocal size
        data = attachment.get("data") or await _binary(ehr, attachment.get("url"))
        content = _decoded(data)
        size += len(content)
        if size > MOST_BYTES:
            raise TooLarge(f"The document is larger than {MOST_BYTES // 1_000_000} MB. Upload the pages that matter.")
        kept = {name: value for name, value in attachment.items() if name != "url"}
        return {**kept, "data": _encoded(content)}

    filled = dict(record)
    if record["resourceType"] == "DocumentReference":
        contents = record.get("content") or ()
        filled["content"] = [{**each, "attachment": await inside(each.get("attachment") or {})} for each in contents]
    elif record.get("presentedForm"):
        filled["presentedForm"] = [await inside(each) for each in record["presentedForm"]]
    return filled, size


async def _binary(ehr: EhrClient, url: Any) -> str:
    binary = await read_at(ehr, url)
    data = binary.get("data") if binary is not None and binary["resourceType"] == "Binary" else None
    if not isinstance(data, str):
        raise MissingElement("The EHR did not give the content of this document. Upload the file instead.")
    return data


def _kind(content: bytes) -> str:
    for kind, beginning in _BEGINNINGS.items():
        if content.startswith(beginning):
            return kind
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if any(letter < " " and letter not in "\t\n\r\f" for letter in text):
        raise InvalidResource("The file is no PDF, JPEG, PNG or plain text. Save it as one of these first.")
    return TEXT


def _decoded(data: Any) -> bytes:
    try:
        content = base64.b64decode("".join(data.split()), validate=True) if isinstance(data, str) else b""
    except (binascii.Error, ValueError):
        content = b""
    if not content:
        raise InvalidResource("The file is empty, or could not be read.")
    return content


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _file_title(name: Any) -> str:
    text = str(name if isinstance(name, str) else "").replace("\\", "/").rpartition("/")[2]
    return "".join(letter for letter in text if letter.isprintable())[:_LONGEST_NAME].strip() or "A file"


def _title(record: Resource) -> str:
    return next((title for title in _titles(record) if title), str(record["resourceType"]))


def _titles(record: Resource) -> Iterator[str]:
    yield str(record.get("description") or "")
    for element in ("code", "type"):
        held = record.get(element) or {}
        yield str(held.get("text") or "")
        yield from (str(each.get("display") or "") for each in held.get("coding") or ())


def _when(record: Resource) -> str:
    names = ("date", "effectiveDateTime", "issued")
    return next((str(record[name])[:10] for name in names if record.get(name)), "")

"""The documents of a case: what supportingInfo leads to, and what arrived later. As text or download only."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from service.errors import ServiceError
from service.fhir.canonical import DTR_INFORMATION_ORIGIN
from service.fhir.json import encode
from service.form.answers import show
from service.pas.certification import removed
from service.pas.elements import Json, extension, listed, object_of, text_of
from service.pas.filed import Filed
from service.ports import Attachment
from service.settings import Settings
from service.wire import read_json

_MOST_SHOWN: Final = 20_000
_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Document:
    """One document. `text` is shown as text, None where it can only be downloaded; `content` is the download."""

    title: str
    kind: str
    when: str
    text: str | None
    content: bytes
    file_name: str


@dataclass(frozen=True, slots=True)
class Origins:
    """Who answered each question of the request's responses: linkId -> origins (DTR information-origin), in order."""

    by_link_id: Mapping[str, tuple[str, ...]]


def documents_of(filed: Filed, arrived: Sequence[Attachment], settings: Settings) -> list[Document]:
    """In the request's order, then in order of arrival; a DocumentReference gives one for each of its attachments."""
    found = [document for resource in supporting(filed) for document in _of_resource(resource)]
    return found + [document for attachment in arrived for document in _arrived(attachment, settings)]


def supporting(filed: Filed) -> Iterator[Json]:
    """What Claim.supportingInfo refers to, each resource once; those of a bundle one by one.

    What the provider has taken back (infoCancelled) is not shown as if it still stood.
    """
    seen: set[int] = set()
    claim = filed.received.claim
    for information in listed(claim, "supportingInfo"):
        if removed(information):
            continue
        reference = object_of(information, "valueReference")
        target = filed.received.entries.resolve(reference, within=claim, by_identifier=True) if reference else None
        inner = [entry.get("resource") for entry in listed(target or {}, "entry")]
        for resource in inner or [target]:
            if isinstance(resource, dict) and id(resource) not in seen:
                seen.add(id(resource))
                yield resource


def origins_of(filed: Filed) -> Origins:
    """Read from the stored responses, as received."""
    found: dict[str, list[str]] = {}
    for resource in supporting(filed):
        if resource.get("resourceType") == "QuestionnaireResponse":
            for item in _items(resource):
                for answer in listed(item, "answer"):
                    origin = _origin(answer)
                    if origin:
                        found.setdefault(str(item.get("linkId")), []).append(origin)
    return Origins({link_id: tuple(dict.fromkeys(origins)) for link_id, origins in found.items()})


def _origin(answer: Json) -> str | None:
    stated = extension(answer, DTR_INFORMATION_ORIGIN)
    parts = listed(stated, "extension") if stated else []
    return next((text_of(part, "valueCode") for part in parts if part.get("url") == "source"), None)


def _items(holder: Mapping[str, Any]) -> Iterator[Json]:
    for item in listed(holder, "item"):
        yield item
        yield from _items(item)
        for answer in listed(item, "answer"):
            yield from _items(answer)


def _of_resource(resource: Json) -> Iterator[Document]:
    kind = str(resource.get("resourceType"))
    contents = listed(resource, "content") if kind == "DocumentReference" else []
    attached = [attachment for content in contents if (attachment := object_of(content, "attachment"))]
    for attachment in attached:
        content = _decoded(text_of(attachment, "data"))
        if content is not None:
            title, form = text_of(attachment, "title") or _title(resource), text_of(attachment, "contentType")
            yield Document(title, form or kind, _when(resource), None, content, "document")
    if kind == "QuestionnaireResponse":
        text = "\n".join(_answers(resource))
    else:
        text = json.dumps(json.loads(encode(_without_data(resource))), indent=2, ensure_ascii=False)
    shown = text if len(text) <= _MOST_SHOWN else None
    yield Document(_title(resource), kind, _when(resource), shown, encode(resource), f"{kind}.json")


def _arrived(attachment: Attachment, settings: Settings) -> Iterator[Document]:
    """What one $submit-attachment carried (CDex: Attachment.Content); all of it, where that cannot be read."""
    when = attachment.received_at.date().isoformat()
    title = f"Sent for {attachment.control_number}"
    contents = list(_contents(attachment.content, settings))
    for resource in contents:
        for document in _of_resource(resource):
            yield replace(document, title=f"{title}: {document.title}", when=document.when or when)
    if not contents:
        yield Document(title, "Attachment", when, None, attachment.content, "attachment")


def _contents(body: bytes, settings: Settings) -> Iterator[Json]:
    try:
        parameters = read_json(body, settings)
    except ServiceError:
        return
    for parameter in listed(parameters, "parameter") if isinstance(parameters, dict) else ():
        for part in listed(parameter, "part"):
            resource = object_of(part, "resource") if part.get("name") == "Content" else None
            inner = [entry.get("resource") for entry in listed(resource or {}, "entry")]
            yield from (one for one in inner or [resource] if isinstance(one, dict))


def file_name(document: Document, number: int) -> str:
    """A name that no browser and no file system reads as anything else."""
    return f"{number}-{_NAME.sub('-', document.file_name)}"


def _answers(response: Json) -> Iterator[str]:
    for item in _items(response):
        answers = listed(item, "answer")
        values = [show(value) for answer in answers for name, value in answer.items() if name.startswith("value")]
        if values:
            yield f"{text_of(item, 'text') or item.get('linkId')}: {', '.join(values)}"


def _title(resource: Json) -> str:
    for name in ("code", "type", "medicationCodeableConcept"):
        concept = object_of(resource, name)
        if concept:
            coding = next(iter(listed(concept, "coding")), {})
            title = text_of(concept, "text") or text_of(coding, "display") or text_of(coding, "code")
            if title:
                return title
    return text_of(resource, "description") or str(resource.get("resourceType"))


def _when(resource: Json) -> str:
    names = ("authored", "date", "effectiveDateTime", "recordedDate", "onsetDateTime", "authoredOn", "issued")
    return next((text for name in names if (text := text_of(resource, name))), "")


def _decoded(data: str | None) -> bytes | None:
    try:
        return base64.b64decode("".join((data or "").split()), validate=True) or None
    except (binascii.Error, ValueError):
        return None


def _without_data(value: Any) -> Any:
    """The resource without its base64, which nobody reads."""
    if isinstance(value, dict):
        return {name: "(see the download)" if name == "data" else _without_data(held) for name, held in value.items()}
    return [_without_data(held) for held in value] if isinstance(value, list) else value

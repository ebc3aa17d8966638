"""A policy's CQL libraries, translated and described, and the value sets that they use."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.catalog.fault import PolicyFault
from service.catalog.folder import PolicyFolder
from service.engine import elm
from service.fhir.canonical import split_canonical
from service.fhir.json import encode
from service.ports import LibraryRef, LogicLibrary, LogicSet, Resource


@dataclass(frozen=True, slots=True)
class Library:
    """One library: its ELM, its CQL and its FHIR description without content (cql/NAME.library.json)."""

    name: str
    elm: Mapping[str, Any]
    cql: bytes
    description: Mapping[str, Any]

    @property
    def ref(self) -> LibraryRef:
        return LibraryRef(self.name, elm.version(self.elm))

    def resource(self) -> dict[str, Any]:
        """The FHIR Library with CQL and ELM content (DTR 2.2.0 spec-95, spec-99)."""
        attachments = (("text/cql", self.cql), ("application/elm+json", elm_bytes(self.elm)))
        content = [
            {"contentType": kind, "data": base64.b64encode(data).decode("ascii")} for kind, data in attachments
        ]
        return {**self.description, "content": content}


def elm_bytes(document: Mapping[str, Any]) -> bytes:
    """ELM as compact JSON."""
    return encode(document)


def library_files(name: str) -> tuple[str, str, str]:
    """Where a library's CQL, ELM and description stand in a policy folder."""
    return f"cql/{name}.cql", f"cql/elm/{name}.json", f"cql/{name}.library.json"


def with_includes(folder: PolicyFolder, name: str) -> Iterator[str]:
    """A library's name and those of everything that it includes, each once."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop(0)
        if current in seen:
            continue
        seen.add(current)
        yield current
        document = folder.document(library_files(current)[1])
        if document is not None:
            waiting += [include.name for include in elm.includes(document)]


def read_library(folder: PolicyFolder, name: str) -> Library | tuple[PolicyFault, ...]:
    """A library whose three files are there, or what is missing."""
    source, translated, description = library_files(name)
    faults = [
        PolicyFault(file, "", problem)
        for file, problem in (
            (source, "the CQL source is missing"),
            (translated, "the translated library is missing: run `python -m service policy build`"),
            (description, "the FHIR Library that names its dataRequirements is missing"),
        )
        if file not in folder.sources
    ]
    if faults or folder.document(translated) is None or folder.document(description) is None:
        return tuple(faults)
    return Library(name, folder.documents[translated], folder.sources[source].content, folder.documents[description])


def value_set_files(folder: PolicyFolder) -> Mapping[str, str]:
    """File by canonical url of every value set in the folder."""
    return {
        document["url"]: name
        for name, document in folder.documents.items()
        if name.startswith("cql/valuesets/") and isinstance(document, Mapping) and "url" in document
    }


def used_value_sets(libraries: tuple[Library, ...]) -> tuple[str, ...]:
    """Canonical urls of the value sets that the libraries declare, each once."""
    return tuple(dict.fromkeys(ref.url for library in libraries for ref in elm.value_set_refs(library.elm)))


def offered_value_sets(folder: PolicyFolder, forms: Iterable[Resource]) -> Mapping[str, Resource]:
    """By file, the folder's value sets from which the forms' questions take their answers."""
    files = value_set_files(folder)
    urls = dict.fromkeys(url for form in forms for url in answer_value_sets(form.get("item") or ()))
    return {files[url]: folder.documents[files[url]] for url in urls if url in files}


def answer_value_sets(items: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Canonical urls, without version, of the value sets that items offer; contained ones are left out."""
    for item in items:
        canonical = item.get("answerValueSet")
        if isinstance(canonical, str) and not canonical.startswith("#"):
            yield split_canonical(canonical)[0]
        yield from answer_value_sets(item.get("item") or ())


def logic_set(folder: PolicyFolder, libraries: tuple[Library, ...]) -> tuple[LogicSet, tuple[Resource, ...]]:
    """What an evaluation needs, and the value sets by themselves."""
    files = value_set_files(folder)
    names = [files[url] for url in used_value_sets(libraries)]
    value_sets = tuple(folder.documents[name] for name in names)
    digest = folder.digest([library_files(library.name)[1] for library in libraries] + names)
    return LogicSet(digest, tuple(LogicLibrary(lib.ref, lib.elm) for lib in libraries), value_sets), value_sets

"""Checks of a policy's CQL libraries: their FHIR descriptions, what they retrieve, and their value sets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from service.catalog.fault import PolicyFault
from service.catalog.folder import PolicyFolder
from service.catalog.logic import Library
from service.engine import elm
from service.fhir.canonical import split_canonical

_HEADER: Final = re.compile(r"^\s*library\s+\"?(\w+)\"?\s+version\s+'([^']+)'", re.MULTILINE)
_IMPLICIT: Final = frozenset({"Patient"})


def check_description(library: Library) -> Iterator[PolicyFault]:
    """The FHIR Library against the CQL and the ELM: name, version, and a dataRequirement for every retrieve."""
    file = f"cql/{library.name}.library.json"
    description = library.description
    version = library.ref.version
    header = _HEADER.search(library.cql.decode("utf-8", "replace"))
    if header is None or header.groups() != (library.name, version):
        yield PolicyFault(
            f"cql/{library.name}.cql", "library", f"declares another name or version than its ELM ({version})"
        )
    if (description.get("name"), description.get("version")) != (library.name, version):
        yield PolicyFault(file, "name, version", f"must be {library.name}, {version}, as in the CQL")
    if str(description.get("url", "")).rpartition("/")[2] != library.name:
        yield PolicyFault(file, "url", f"must end in {library.name}")
    named = {
        (requirement.get("type"), value_set)
        for requirement in description.get("dataRequirement") or ()
        for value_set in _filters(requirement)
    }
    for retrieve in elm.retrieves(library.elm):
        if retrieve.type in _IMPLICIT and retrieve.value_set is None:
            continue
        if (retrieve.type, retrieve.value_set) not in named:
            what = f"{retrieve.type} by {retrieve.value_set}" if retrieve.value_set else f"all {retrieve.type}"
            yield PolicyFault(file, "dataRequirement", f"the CQL retrieves {what}, which no dataRequirement names")
    yield from _check_dependencies(file, library)


def check_value_sets(library: Library, known: Mapping[str, str], folder: PolicyFolder) -> Iterator[PolicyFault]:
    """Every value set that the library declares is in the folder, expanded, in the version that it pins."""
    for ref in elm.value_set_refs(library.elm):
        file = f"cql/{library.name}.cql"
        if ref.url not in known:
            yield PolicyFault(file, ref.url, "the value set is not in cql/valuesets")
            continue
        document = folder.documents[known[ref.url]]
        if ref.version is not None and document.get("version") != ref.version:
            yield PolicyFault(file, ref.url, f"pins version {ref.version}; the file has another")
        if not (document.get("expansion") or {}).get("contains"):
            yield PolicyFault(known[ref.url], "expansion", "value sets are expanded: a policy runs without a server")


def _filters(requirement: Mapping[str, Any]) -> Iterator[str | None]:
    filters = [entry.get("valueSet") for entry in requirement.get("codeFilter") or () if entry.get("valueSet")]
    if not filters:
        yield None
    for canonical in filters:
        yield split_canonical(canonical)[0]


def _check_dependencies(file: str, library: Library) -> Iterator[PolicyFault]:
    named = {
        split_canonical(str(artifact.get("resource")))[0]
        for artifact in library.description.get("relatedArtifact") or ()
        if artifact.get("type") == "depends-on"
    }
    for ref in elm.value_set_refs(library.elm):
        if ref.url not in named:
            yield PolicyFault(file, "relatedArtifact", f"does not name the value set {ref.url}")
    endings = {url.rpartition("/")[2] for url in named}
    for include in elm.includes(library.elm):
        if include.name not in endings:
            yield PolicyFault(file, "relatedArtifact", f"does not name the included library {include.name}")

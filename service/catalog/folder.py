"""The files of one policy folder: policies/, questionnaires/, cql/ (with elm/ and valuesets/), tests/policies/."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.catalog.fault import PolicyFault
from service.errors import ServiceError
from service.fhir.json import decode

_LARGEST_FILE = 50_000_000
_DEEPEST = 500  # ELM nests deeply


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file's name relative to its folder, and its bytes."""

    name: str
    content: bytes

    @property
    def stem(self) -> str:
        return self.name.rpartition("/")[2].partition(".")[0]


@dataclass(frozen=True, slots=True)
class PolicyFolder:
    """All data files of a folder by kind, parsed where they are JSON; `faults` are the files that did not parse."""

    root: Path
    manifests: tuple[SourceFile, ...]
    sources: Mapping[str, SourceFile]
    documents: Mapping[str, Any]
    faults: tuple[PolicyFault, ...]

    def document(self, name: str) -> Any | None:
        return self.documents.get(name)

    def digest(self, names: list[str]) -> str:
        """Digest of the named files' names and bytes."""
        total = hashlib.sha256()
        for name in sorted(names):
            content = self.sources[name].content
            total.update(f"{name}\0{len(content)}\0".encode())
            total.update(content)
        return f"sha256:{total.hexdigest()}"


def read_folder(root: Path) -> PolicyFolder:
    """Reads every data file under a policy folder once."""
    files = [
        SourceFile(path.relative_to(root).as_posix(), path.read_bytes())
        for pattern in ("policies/*.toml", "questionnaires/*.json", "cql/*.cql", "cql/*.json", "cql/*/*.json")
        for path in sorted(root.glob(pattern))
    ]
    return folder_of(root, files)


def folder_of(root: Path, files: Sequence[SourceFile]) -> PolicyFolder:
    """The folder that consists of these files, wherever they were read."""
    documents: dict[str, Any] = {}
    faults: list[PolicyFault] = []
    for file in files:
        if not file.name.endswith(".json"):
            continue
        try:
            documents[file.name] = decode(file.content, max_bytes=_LARGEST_FILE, max_depth=_DEEPEST)
        except ServiceError as error:
            faults.append(PolicyFault(file.name, "", error.text))
    manifests = tuple(file for file in files if file.name.endswith(".toml"))
    if not manifests:
        faults.append(PolicyFault("policies", "", "the folder has no manifest (policies/*.toml)"))
    return PolicyFolder(root, manifests, {file.name: file for file in files}, documents, tuple(faults))

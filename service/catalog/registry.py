"""All policies of all folders, loaded once at start; broken data stops the start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from service.catalog.archive import pack, unpack
from service.catalog.check import check_folder, check_overlaps
from service.catalog.fault import PolicyFault
from service.catalog.folder import PolicyFolder, SourceFile, folder_of, read_folder
from service.catalog.logic import (
    Library,
    library_files,
    logic_set,
    offered_value_sets,
    read_library,
    used_value_sets,
    value_set_files,
    with_includes,
)
from service.catalog.manifest import Manifest, read_manifest
from service.errors import InvalidPolicy
from service.fhir.canonical import split_canonical
from service.fhir.parse import StructureCheck
from service.policy.match import Match, Named, match_policy
from service.policy.model import Policy
from service.ports import LoadedPolicy, Resource

HOME = Path(__file__).resolve().parents[2]
"""The repository's own policy folder."""


@dataclass(frozen=True, slots=True)
class Registry:
    """PolicyRegistry over loaded folders. `archives` are all files of each revision, packed, by its digest."""

    policies: tuple[LoadedPolicy, ...]
    archives: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def match(self, named: Named, on: date) -> Match | None:
        return match_policy((loaded.policy for loaded in self.policies), named, on)

    def loaded(self, policy: Policy) -> LoadedPolicy:
        return next(loaded for loaded in self.policies if loaded.policy.ref == policy.ref)

    def all(self) -> Sequence[LoadedPolicy]:
        return self.policies

    def questionnaire(self, canonical: str) -> tuple[LoadedPolicy, Resource] | None:
        url, version = split_canonical(canonical)
        newest_first = sorted(self.policies, key=lambda loaded: loaded.policy.effective, reverse=True)
        for loaded in newest_first:
            form = loaded.questionnaires.get(url)
            if form is not None and version in {None, form.get("version")}:
                return loaded, form
        return None


def check_folders(roots: Iterable[Path], structure: StructureCheck) -> tuple[tuple[Path, PolicyFault], ...]:
    """Every fault of every folder, and codes that two folders both cover."""
    folders = [read_folder(root) for root in roots]
    found = [(folder.root, fault) for folder in folders for fault in check_folder(folder, structure)]
    if not found:
        manifests = {
            f"{folder.root.name}/{file.name}": manifest for folder in folders for file, manifest in _manifests(folder)
        }
        found += [(folders[0].root, fault) for fault in check_overlaps(manifests)]
    return tuple(dict.fromkeys(found))


def load_registry(roots: Sequence[Path], structure: StructureCheck) -> Registry:
    """Checks and loads every folder. Raises InvalidPolicy that lists every fault."""
    faults = check_folders(roots, structure)
    if faults:
        lines = "\n".join(f"  {root.name}/{fault}" for root, fault in faults)
        raise InvalidPolicy(f"The policies cannot be loaded:\n{lines}")
    found = [one for root in roots for one in _load_folder(read_folder(root))]
    return Registry(
        tuple(loaded for loaded, _ in found), {loaded.policy.ref.digest: files for loaded, files in found}
    )


def recall(digest: str, packed: bytes) -> LoadedPolicy:
    """A revision from its packed files, which were checked when they were loaded. InvalidPolicy for others."""
    folder = folder_of(HOME, unpack(packed))
    found = next((loaded for loaded, _ in _load_folder(folder) if loaded.policy.ref.digest == digest), None)
    if found is None:
        raise InvalidPolicy("What is kept of a policy revision is not what decided.")
    return found


def _manifests(folder: PolicyFolder) -> Iterable[tuple[SourceFile, Manifest]]:
    for file in folder.manifests:
        manifest = read_manifest(file.name, file.content.decode())
        if isinstance(manifest, Manifest):
            yield file, manifest


def _load_folder(folder: PolicyFolder) -> Iterable[tuple[LoadedPolicy, bytes]]:
    """Each policy, and its files packed."""
    for file, manifest in _manifests(folder):
        yield _load(folder, file.name, manifest)


def _load(folder: PolicyFolder, manifest_file: str, manifest: Manifest) -> tuple[LoadedPolicy, bytes]:
    libraries = _libraries(folder, manifest)
    logic, of_logic = logic_set(folder, libraries)
    forms = {name: folder.documents[f"questionnaires/{p.questionnaire}.json"] for name, p in manifest.pathway.items()}
    files = [
        manifest_file,
        *(f"questionnaires/{part.questionnaire}.json" for part in manifest.pathway.values()),
        *(name for library in libraries for name in library_files(library.name)),
        *(value_set_files(folder)[url] for url in used_value_sets(libraries)),
    ]
    offered = offered_value_sets(folder, forms.values())
    files += [name for name in offered if name not in files]
    refs = {library.name: library.ref for library in libraries}
    loaded = LoadedPolicy(
        policy=manifest.policy(folder.digest(files), {name: (q["url"], q["version"]) for name, q in forms.items()}),
        questionnaires={form["url"]: form for form in forms.values()},
        logic=logic,
        criteria=refs[manifest.logic.criteria],
        prepopulation=refs.get(manifest.logic.prepopulation or ""),
        libraries=tuple(library.resource() for library in libraries),
        value_sets=tuple({vs["url"]: vs for vs in (*of_logic, *offered.values())}.values()),
    )
    return loaded, pack(folder.sources[name] for name in dict.fromkeys(files))


def _libraries(folder: PolicyFolder, manifest: Manifest) -> tuple[Library, ...]:
    roots = [name for name in (manifest.logic.criteria, manifest.logic.prepopulation) if name]
    names = dict.fromkeys(name for root in roots for name in with_includes(folder, root))
    read = [read_library(folder, name) for name in names]
    return tuple(library for library in read if isinstance(library, Library))

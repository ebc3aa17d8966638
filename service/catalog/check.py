"""Cross-checks of one policy folder: every broken join between manifest, forms, logic and value sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from service.catalog.check_forms import check_form
from service.catalog.check_logic import check_description, check_value_sets
from service.catalog.fault import PolicyFault
from service.catalog.folder import PolicyFolder
from service.catalog.logic import Library, answer_value_sets, read_library, value_set_files, with_includes
from service.catalog.manifest import Manifest, read_manifest
from service.engine import elm
from service.fhir.parse import StructureCheck
from service.policy.model import LinkId


def check_folder(folder: PolicyFolder, structure: StructureCheck) -> tuple[PolicyFault, ...]:
    """Every fault in a policy folder, in order of file and place; empty when it may be loaded."""
    faults = set(folder.faults)
    faults.update(_structure(folder, structure))
    manifests: dict[str, Manifest] = {}
    for file in folder.manifests:
        manifest = read_manifest(file.name, file.content.decode("utf-8", "replace"))
        if isinstance(manifest, Manifest):
            manifests[file.name] = manifest
        else:
            faults.update(manifest)
    if not faults:
        for name, manifest in manifests.items():
            faults.update(_check_manifest(folder, name, manifest))
        faults.update(check_overlaps(manifests))
        faults.update(_unused(folder, manifests.values()))
    return tuple(sorted(faults))


def check_overlaps(manifests: Mapping[str, Manifest]) -> Iterator[PolicyFault]:
    """Two policies for one code, or two revisions in force on one day."""
    items = sorted(manifests.items())
    for index, (name, manifest) in enumerate(items):
        for _, other in items[index + 1 :]:
            shared = set(manifest.drug.drug().codes) & set(other.drug.drug().codes)
            if shared and manifest.id != other.id:
                yield PolicyFault(name, "drug", f"policy {other.id} covers the same code")
            if manifest.id == other.id and _same_days(manifest, other):
                yield PolicyFault(name, "effective", f"revision {other.version} is in force on the same days")


def _same_days(one: Manifest, other: Manifest) -> bool:
    early, late = sorted((one, other), key=lambda manifest: manifest.effective)
    return early.ends is None or early.ends >= late.effective


def _structure(folder: PolicyFolder, structure: StructureCheck) -> Iterator[PolicyFault]:
    for name, document in folder.documents.items():
        if name.startswith("cql/elm/"):
            continue
        for fault in structure.check(document):
            yield PolicyFault(name, fault.expression, fault.problem)


def _check_manifest(folder: PolicyFolder, file: str, manifest: Manifest) -> Iterator[PolicyFault]:
    libraries: dict[str, Library] = {}
    for root in filter(None, (manifest.logic.criteria, manifest.logic.prepopulation)):
        for name in with_includes(folder, root):
            library = read_library(folder, name)
            if isinstance(library, Library):
                libraries[name] = library
            else:
                yield from library
    known = value_set_files(folder)
    for library in libraries.values():
        yield from check_description(library)
        yield from check_value_sets(library, known, folder)
    yield from _check_defines(file, manifest, libraries)
    for pathway, part in manifest.pathway.items():
        form = f"questionnaires/{part.questionnaire}.json"
        document = folder.document(form)
        if document is None:
            yield PolicyFault(file, f"pathway.{pathway}.questionnaire", f"{form} is missing")
            continue
        prepopulation = libraries.get(manifest.logic.prepopulation or "")
        yield from check_form(form, document, manifest, prepopulation)
        yield from _check_link_ids(file, manifest, pathway, document)
        for url in answer_value_sets(document.get("item") or ()):
            if url not in known:
                yield PolicyFault(form, "answerValueSet", f"{url} is not in cql/valuesets: answers cannot be checked")


def _check_defines(file: str, manifest: Manifest, libraries: Mapping[str, Library]) -> Iterator[PolicyFault]:
    library = libraries.get(manifest.logic.criteria)
    if library is None:
        return
    defines = elm.defines(library.elm)
    for part in manifest.criterion:
        for define in (part.define, f"{part.define} Evidence", f"{part.define} Conflicts"):
            if define not in defines:
                yield PolicyFault(file, f"criterion.{part.id}.define", f'{library.name} has no define "{define}"')
    if "Service Date" not in elm.parameters(library.elm):
        yield PolicyFault(f"cql/{library.name}.cql", "", 'the criteria library takes parameter "Service Date"')


def _check_link_ids(file: str, manifest: Manifest, pathway: str, form: Mapping[str, Any]) -> Iterator[PolicyFault]:
    asked = set(_link_ids(form.get("item") or ()))
    for criterion in manifest.criteria_of(pathway):
        for link_id in criterion.link_ids:
            if link_id not in asked:
                place = f"criterion.{criterion.id}.link_ids"
                yield PolicyFault(file, place, f'the {pathway} form has no question "{link_id}"')
    every = {link_id for criterion in manifest.criterion for link_id in criterion.link_ids}
    for attested in manifest.attested:
        if attested not in every:
            yield PolicyFault(file, "attested", f'no criterion asks for "{attested}"')


def _link_ids(items: Iterable[Mapping[str, Any]]) -> Iterator[LinkId]:
    for item in items:
        if item.get("type") not in {"group", "display"}:
            yield LinkId(item["linkId"])
        yield from _link_ids(item.get("item") or ())


def _unused(folder: PolicyFolder, manifests: Iterable[Manifest]) -> Iterator[PolicyFault]:
    used: set[str] = set()
    urls: set[str] = set()
    for manifest in manifests:
        used |= {f"questionnaires/{part.questionnaire}.json" for part in manifest.pathway.values()}
        for root in filter(None, (manifest.logic.criteria, manifest.logic.prepopulation)):
            for name in with_includes(folder, root):
                used |= {f"cql/{name}.cql", f"cql/elm/{name}.json", f"cql/{name}.library.json"}
                document = folder.document(f"cql/elm/{name}.json")
                urls |= {ref.url for ref in elm.value_set_refs(document)} if document is not None else set()
    forms = [folder.document(name) for name in sorted(used) if name.startswith("questionnaires/")]
    urls |= {url for form in forms if form is not None for url in answer_value_sets(form.get("item") or ())}
    used |= {name for url, name in value_set_files(folder).items() if url in urls}
    used |= {file.name for file in folder.manifests}
    for name in folder.sources:
        if name not in used:
            yield PolicyFault(name, "", "no policy uses this file: is its name spelled right?")

"""`policy check` finds every broken join: each test breaks one thing in a good policy folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.app.parts import structure_check
from service.catalog.check import check_folder
from service.catalog.folder import read_folder
from service.catalog.registry import HOME, load_registry
from service.errors import InvalidPolicy
from tests.conftest import SECOND_POLICY

MANIFEST = "policies/zelvorimab.toml"
FORM = "questionnaires/zelvora-initial.json"
CRITERIA = "cql/ZelvoraCriteria.library.json"
PREPOPULATION = "cql/ZelvoraPrepopulation.library.json"
CORE = "http://hl7.org/fhir/StructureDefinition/"
VALUE_SET = "cql/valuesets/body-weight.json"
Break = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SECOND_POLICY, tmp_path / "policy"))


def faults(folder: Path) -> list[str]:
    return [str(fault) for fault in check_folder(read_folder(folder), structure_check())]


@pytest.mark.parametrize("root", [HOME, SECOND_POLICY])
def test_our_policies_have_no_fault(root: Path) -> None:
    assert faults(root) == []


def text(file: str, old: str, new: str) -> Break:
    def change(folder: Path) -> None:
        path = folder / file
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new))

    return change


def document(file: str, change: Callable[[dict[str, Any]], object]) -> Break:
    def apply(folder: Path) -> None:
        path = folder / file
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return apply


def remove(file: str) -> Break:
    return lambda folder: (folder / file).unlink()


def add(file: str, content: str) -> Break:
    def write(folder: Path) -> None:
        (folder / file).write_text(content)

    return write


def extension(name: str) -> dict[str, Any]:
    return {"url": CORE + name, "valueString": "x"}


def options(form: dict[str, Any]) -> list[dict[str, Any]]:
    [asked] = [item for item in form["item"] if "answerOption" in item]
    return list(asked["answerOption"])


def group(item: dict[str, Any]) -> dict[str, Any]:
    return {"linkId": "group", "text": "Group", "type": "group", "item": [item]}


BROKEN: dict[str, tuple[Break, str]] = {
    # the manifest by itself
    "not TOML": (text(MANIFEST, 'id = "zelvorimab"', "id = "), f"{MANIFEST}: not TOML"),
    "a key twice": (text(MANIFEST, "approval_months = 6", "approval_months = 6\napproval_months = 7"), "not TOML"),
    "an unknown key": (text(MANIFEST, "approval_months", "approval_mouths"), "approval_mouths"),
    "no criterion": (text(MANIFEST, "[[criterion]]", "[[criterium]]"), "criterion: Field required"),
    "a pathway that nothing is asked on": (
        text(
            MANIFEST, "[pathway.initial]", '[pathway.renewal]\nquestionnaire = "zelvora-renewal"\n[pathway.initial]'
        ),
        "would approve anything",
    ),
    "two criteria of one id": (text(MANIFEST, 'id = "severity"', 'id = "weight"'), "two criteria have one id"),
    "ends before it begins": (text(MANIFEST, "[drug]", "ends = 2025-01-01\n\n[drug]"), "ends"),
    "no billing code": (text(MANIFEST, 'hcpcs = ["X0001"]', "hcpcs = []"), "hcpcs or ndc"),
    "an NDC without hyphens": (text(MANIFEST, 'hcpcs = ["X0001"]', 'ndc = ["5551305901"]'), "hyphens"),
    # manifest and form
    "a form that is not there": (
        text(MANIFEST, '"zelvora-initial"', '"zelvora-first"'),
        "zelvora-first.json is missing",
    ),
    "a question that the form does not ask": (
        text(MANIFEST, 'link_ids = ["weight"]', 'link_ids = ["wait"]'),
        'the initial form has no question "wait"',
    ),
    "an attested question that no criterion asks": (
        text(MANIFEST, "renewal_window_days = 30", 'renewal_window_days = 30\nattested = ["mood"]'),
        'no criterion asks for "mood"',
    ),
    "an attested question that is filled from the chart": (
        text(MANIFEST, "renewal_window_days = 30", 'renewal_window_days = 30\nattested = ["weight"]'),
        "prescriber's own word",
    ),
    # the form
    "a form whose url is another": (
        document(FORM, lambda q: q.update(url=q["url"] + "s")),
        "must end in the file's name",
    ),
    "a form without a version": (document(FORM, lambda q: q.pop("version")), f"{FORM}: version"),
    "a version without its algorithm": (document(FORM, lambda q: q["extension"].pop(0)), "artifact-versionAlgorithm"),
    "an item without text": (
        document(FORM, lambda q: q["item"][1].pop("text")),
        f"{FORM}: severity: every item has text",
    ),
    "two items of one linkId": (
        document(FORM, lambda q: q["item"].append(q["item"][3])),
        "two items have this linkId",
    ),
    "a condition on nothing": (
        document(FORM, lambda q: q["item"][2]["enableWhen"][0].update(question="gravity")),
        f"{FORM}: symptom-score: enableWhen",
    ),
    "broken FHIR": (document(FORM, lambda q: q["item"][0].update(type=7)), f"{FORM}: Questionnaire.item[0].type"),
    "a form that names another library": (
        document(FORM, lambda q: q["extension"][1].update(valueCanonical="https://x.example.org/Library/Other|1")),
        "cqf-library must be",
    ),
    "a define that is not there": (text(FORM, '\\"Weight\\"', '\\"Height\\"'), 'has no define "Height"'),
    "another language": (text(FORM, "text/cql", "text/fhirpath"), "language must be text/cql"),
    "a page inside the form": (
        document(FORM, lambda q: q.update(contained=[{"resourceType": "Binary", "contentType": "text/html"}])),
        f"{FORM}: contained: holds a page",
    ),
    "an element that a client may ignore": (
        document(FORM, lambda q: q["item"][0].update(maxLength=3)),
        f"{FORM}: weight: no DTR client need support maxLength",
    ),
    "an extension that a client may ignore": (
        document(FORM, lambda q: q["item"][1].update(extension=[extension("regex")])),
        f"{FORM}: severity: no DTR client need support the extension {CORE}regex",
    ),
    "an extension that only one version has": (
        document(FORM, lambda q: q["item"][1].update(extension=[extension("questionnaire-supportHyperlink")])),
        f"need support the extension {CORE}questionnaire-supportHyperlink",
    ),
    "an extension on a text that a client may ignore": (
        document(FORM, lambda q: q["item"][1].update(_text={"extension": [extension("rendering-style")]})),
        f"need support the extension {CORE}rendering-style",
    ),
    "an extension on an option that a client may ignore": (
        document(FORM, lambda q: options(q)[0].update(extension=[extension("ordinalValue")])),
        f"need support the extension {CORE}ordinalValue",
    ),
    "an extension on an option's value that a client may ignore": (
        document(FORM, lambda q: options(q)[0]["valueCoding"].update(extension=[extension("itemWeight")])),
        f"need support the extension {CORE}itemWeight",
    ),
    "an extension on the words of an option that a client may ignore": (
        document(FORM, lambda q: options(q)[0]["valueCoding"].update(_display={"extension": [extension("x-text")]})),
        f"need support the extension {CORE}x-text",
    ),
    "an extension inside a group that a client may ignore": (
        document(FORM, lambda q: q["item"].append(group(q["item"].pop(3) | {"extension": [extension("regex")]}))),
        f"need support the extension {CORE}regex",
    ),
    "filled and read-only": (document(FORM, lambda q: q["item"][0].update(readOnly=True)), "hidden or read-only"),
    # manifest and logic
    "a define that the criteria lack": (
        text(MANIFEST, 'define = "Severe Enough"', 'define = "Sever Enough"'),
        'ZelvoraCriteria has no define "Sever Enough"',
    ),
    "a library that is not there": (
        text(MANIFEST, '"ZelvoraCriteria"', '"Criteria"'),
        "cql/Criteria.cql: the CQL source",
    ),
    "no translated library": (remove("cql/elm/ZelvoraCriteria.json"), "policy build"),
    "no description": (remove(CRITERIA), "the FHIR Library that names its dataRequirements is missing"),
    # the logic by itself
    "a retrieve that nobody names": (
        document(PREPOPULATION, lambda lib: lib.pop("dataRequirement")),
        "the CQL retrieves Observation by https://second.example.org/fhir/ValueSet/body-weight",
    ),
    "a requirement for another value set": (
        document(
            PREPOPULATION, lambda lib: lib["dataRequirement"][0]["codeFilter"][0].update(valueSet="https://x.org/v")
        ),
        "the CQL retrieves Observation",
    ),
    "a dependency that nobody names": (
        document(PREPOPULATION, lambda lib: lib.pop("relatedArtifact")),
        "does not name the value set",
    ),
    "a description of another version": (
        document(CRITERIA, lambda lib: lib.update(version="9.9.9")),
        "must be ZelvoraCriteria, 2.1.0",
    ),
    "CQL of another version than its translation": (
        text("cql/ZelvoraCriteria.cql", "version '2.1.0'", "version '2.2.0'"),
        "declares another name or version",
    ),
    "no value set": (remove(VALUE_SET), "the value set is not in cql/valuesets"),
    "a value set of another version": (document(VALUE_SET, lambda v: v.update(version="1")), "pins version 2.1.0"),
    "a value set that is not expanded": (document(VALUE_SET, lambda v: v.pop("expansion")), "are expanded"),
    "options from a value set that is not there": (
        document(FORM, lambda form: form["item"][0].update(answerValueSet="https://x.org/v|1")),
        "https://x.org/v is not in cql/valuesets: answers cannot be checked",
    ),
    "a form with the name of an adaptive one": (
        document(FORM, lambda form: form.update(url=form["url"] + "-adaptive")),
        "-adaptive at the end is kept for the adaptive form",
    ),
    # files
    "a file that nothing uses": (
        add("questionnaires/zelvora-inital.json", '{"resourceType": "Questionnaire", "status": "draft"}'),
        "is its name spelled right?",
    ),
    "a file that is not JSON": (add("cql/valuesets/more.json", "{"), "cql/valuesets/more.json"),
    "no manifest": (remove(MANIFEST), "the folder has no manifest"),
}


@pytest.mark.requirement("DTR spec-21", "DTR spec-160", "DTR spec-165")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_join_is_found_and_placed(folder: Path, name: str) -> None:
    breaking, expected = BROKEN[name]
    breaking(folder)
    found = faults(folder)
    assert any(expected in fault for fault in found), found


def test_what_every_client_must_support_may_be_used(folder: Path) -> None:
    def change(form: dict[str, Any]) -> None:
        form["item"][1]["prefix"] = "1."
        form["item"][1]["_text"] = {"extension": [extension("rendering-xhtml")]}
        options(form)[0]["extension"] = [{"url": CORE + "questionnaire-optionExclusive", "valueBoolean": True}]
        options(form)[0]["valueCoding"]["extension"] = [extension("rendering-xhtml")]
        form["contained"] = [{"resourceType": "ValueSet", "id": "v", "status": "active"}]

    document(FORM, change)(folder)
    assert faults(folder) == []


def test_every_fault_is_listed_at_once_and_the_start_is_refused(folder: Path) -> None:
    BROKEN["a define that the criteria lack"][0](folder)
    BROKEN["a question that the form does not ask"][0](folder)
    with pytest.raises(InvalidPolicy) as refusal:
        load_registry([folder], structure_check())
    assert "Sever Enough" in refusal.value.text
    assert "wait" in refusal.value.text


def test_two_folders_may_not_cover_one_code(folder: Path) -> None:
    text(MANIFEST, 'id = "zelvorimab"', 'id = "zelvorimab-twin"')(folder)
    with pytest.raises(InvalidPolicy, match="covers the same code"):
        load_registry([SECOND_POLICY, folder], structure_check())


def test_two_revisions_may_not_share_a_day(folder: Path) -> None:
    second = (folder / MANIFEST).read_text().replace('version = "2026-01-01"', 'version = "2027-01-01"')
    (folder / "policies" / "zelvorimab-2027.toml").write_text(
        second.replace("effective = 2026-01-01", "effective = 2027-01-01")
    )
    assert any("in force on the same days" in fault for fault in faults(folder))
    text(MANIFEST, "[drug]", "ends = 2026-12-31\n\n[drug]")(folder)
    assert faults(folder) == []


def test_a_value_set_of_options_is_loaded_and_part_of_the_digest(folder: Path) -> None:
    before = load_registry([folder], structure_check()).policies[0]
    offered = json.loads((folder / VALUE_SET).read_text()) | {"url": "https://x.org/v", "id": "offered"}
    (folder / "cql/valuesets/offered.json").write_text(json.dumps(offered))
    assert any("is its name spelled right?" in fault for fault in faults(folder))
    document(FORM, lambda form: form["item"][0].update(answerValueSet="https://x.org/v"))(folder)
    assert faults(folder) == []
    after = load_registry([folder], structure_check()).policies[0]
    assert [vs["url"] for vs in after.value_sets] == [*(vs["url"] for vs in before.value_sets), "https://x.org/v"]
    assert [vs["url"] for vs in after.logic.value_sets] == [vs["url"] for vs in before.value_sets]
    digest = after.policy.ref.digest
    (folder / "cql/valuesets/offered.json").write_text(json.dumps(offered) + "\n")
    assert load_registry([folder], structure_check()).policies[0].policy.ref.digest != digest


def test_the_digest_follows_every_file_of_a_policy(folder: Path) -> None:
    before = load_registry([folder], structure_check()).policies[0].policy.ref.digest
    for file in (MANIFEST, FORM, CRITERIA, "cql/ZelvoraCriteria.cql", VALUE_SET):
        path = folder / file
        kept = path.read_bytes()
        path.write_bytes(kept + b"\n")
        assert load_registry([folder], structure_check()).policies[0].policy.ref.digest != before, file
        path.write_bytes(kept)
    assert load_registry([folder], structure_check()).policies[0].policy.ref.digest == before

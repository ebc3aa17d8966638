"""The forms, packages and drafts against the guides' own profiles, in both versions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.catalog.registry import Registry
from service.dtr.versions import SHAPES, Version
from service.fhir import canonical as c
from tests.unit.dtr.profiles import Profiles, load
from tests.unit.dtr.samples import (
    INITIAL,
    RENEWAL,
    ROOT,
    VERSIONS,
    EvaluatorDouble,
    Json,
    Service,
    by_canonical,
    by_order,
    draft,
    held,
    order,
    packages,
    patient,
    request_for,
    resource,
    validate,
)

each_version = pytest.mark.parametrize("version", VERSIONS)
each_form = pytest.mark.parametrize("name", ["imdelltra-initial", "imdelltra-renewal"])


@pytest.fixture(scope="module")
def profiles() -> dict[Version, Profiles]:
    return {version: load("sdc-4.0.0", f"dtr-{version}") for version in VERSIONS}


def authored(name: str) -> Json:
    found: Json = json.loads((ROOT / f"questionnaires/{name}.json").read_text())
    return found


def items(holder: Json) -> list[Json]:
    return [each for item in holder.get("item", ()) for each in (item, *items(item))]


@each_version
@each_form
def test_authored_form_fits_the_standard_profile(
    profiles: dict[Version, Profiles], version: Version, name: str
) -> None:
    form = authored(name)
    validate(form)
    assert profiles[version].faults(form, c.DTR_STANDARD_QUESTIONNAIRE) == []


@each_version
def test_the_checker_sees_what_is_wrong(profiles: dict[Version, Profiles], version: Version) -> None:
    form = authored("imdelltra-initial") | {"subjectType": ["Group"]}
    form["extension"].append({"url": c._SDC + "StructureDefinition/sdc-questionnaire-assemble-expectation"})
    del form["url"], form["item"][0]["linkId"]
    faults = profiles[version].faults(form, c.DTR_STANDARD_QUESTIONNAIRE)
    assert [fault.partition(":")[0] for fault in faults] == [
        "Questionnaire.extension",
        "Questionnaire.url",
        "Questionnaire.subjectType[0]",
        "Questionnaire.item[0].linkId",
    ]


@pytest.mark.requirement("sec-4")
@each_form
def test_invariants_of_the_form(name: str) -> None:
    """sdc-2, que-1, que-2, que-6, que-8 and the rules of DTR that no snapshot says (sec-4, spec-51)."""
    form = authored(name)
    assert any(e["url"] == c.ARTIFACT_VERSION_ALGORITHM for e in form["extension"])
    every = items(form)
    link_ids = [item["linkId"] for item in every]
    assert len(link_ids) == len(set(link_ids))
    for item in every:
        assert item["text"]
        assert "initial" not in item
        assert "readOnly" not in item
        urls = {e["url"] for e in item.get("extension", ())}
        assert urls <= {c.SDC_INITIAL_EXPRESSION, c.QUESTIONNAIRE_ITEM_CONTROL}
        assert (item["type"] == "group") == bool(item.get("item") and "required" not in item)
        if item["type"] == "display":
            assert not {"item", "required", "repeats", "code"} & item.keys()


CONTRACT = {
    "birth-date": ("date", True),
    "es-sclc": ("boolean", True),
    "progression-on-platinum": ("boolean", True),
    "step-up-dosing": ("boolean", False),
    "disease-progression": ("boolean", True),
    "unacceptable-toxicity": ("boolean", False),
    "neurotoxicity-monitoring": ("boolean", False),
    "female-of-reproductive-potential": ("boolean", True),
    "contraception-counseling": ("boolean", False),
}
RENEWAL_ONLY = {"disease-progression", "unacceptable-toxicity"}
INITIAL_ONLY = {"progression-on-platinum", "step-up-dosing"}


@pytest.mark.requirement("spec-54")
@pytest.mark.requirement("spec-17")
@pytest.mark.parametrize(
    ("name", "left_out"), [("imdelltra-initial", RENEWAL_ONLY), ("imdelltra-renewal", INITIAL_ONLY)]
)
def test_questions_are_those_of_the_contract(name: str, left_out: set[str]) -> None:
    """Type of each, whether the chart may fill it, and all required; further ones are optional and prefilled."""
    questions = {i["linkId"]: i for i in items(authored(name)) if i["type"] not in ("group", "display")}
    wanted = {k: v for k, v in CONTRACT.items() if k not in left_out}
    assert wanted.keys() <= questions.keys()
    for link_id, question in questions.items():
        kind, prefilled = wanted.get(link_id, (question["type"], True))
        assert question["type"] == kind
        assert ("extension" in question) is prefilled, link_id
        assert question["required"] is (link_id in wanted)
    assert questions["contraception-counseling"]["enableWhen"] == [
        {"question": "female-of-reproductive-potential", "operator": "=", "answerBoolean": True}
    ]


@each_form
def test_help_quotes_the_policy_word_for_word(name: str) -> None:
    policy = ROOT.parent / "shared/policy/fep-5.21.223-imdelltra.txt"
    if not policy.exists():
        pytest.skip("NO POLICY TEXT: ../shared/policy is absent, so the forms' quotations are not checked")
    text = policy.read_text().replace("*", "")
    quoted = [i["text"].split("\u201c")[1].split("\u201d")[0] for i in items(authored(name)) if "\u201c" in i["text"]]
    assert len(quoted) == 7
    assert [quotation for quotation in quoted if quotation not in text] == []


FOUND: dict[str, Any] = {
    "Birth Date": {"type": "Date", "value": "1958-02-03"},
    "Extensive Stage SCLC": True,
    "Progression on Platinum": True,
    "Disease Progression": True,
    "Female of Reproductive Potential": False,
    "Platinum Agent": "Carboplatin",
    "Platinum Start": {"type": "Date", "value": "2026-02"},
    "Progression Date": {"type": "Date", "value": "2026-05-01"},
}
REQUESTS = {
    "order": by_order(),
    "prefilled": request_for(resource("order", order()), resource("referenced", patient())),
    "canonicals": by_canonical(INITIAL, RENEWAL),
    "remarks": by_canonical(INITIAL, "https://payer.example.org/fhir/Questionnaire/unknown"),
    "nothing": by_order(code="J0897"),
}


@each_version
@pytest.mark.parametrize("case", REQUESTS)
async def test_answers_fit_the_profiles(
    profiles: dict[Version, Profiles], service: Service, version: Version, case: str
) -> None:
    service.evaluator = EvaluatorDouble(FOUND)
    answer = (await service.package(version, REQUESTS[case])).json()
    validate(answer)
    known = profiles[version]
    faults = []
    if answer["resourceType"] == "Parameters":
        faults += known.faults(answer, c.DTR_PACKAGE_OUTPUT)
    for package in packages(answer):
        validate(package)
        faults += known.faults(package, c.DTR_PACKAGE_BUNDLE)
        faults += known.faults(held(package, "Questionnaire")[0], c.DTR_STANDARD_QUESTIONNAIRE)
        faults += known.faults(held(package, "QuestionnaireResponse")[0], c.DTR_QUESTIONNAIRE_RESPONSE)
        for entry in package["entry"]:
            validate(entry["resource"])
    if version == "2.0.1" and case == "nothing":
        # The profile wants a package where the guide's text says that there may be none.
        faults.remove("Parameters.parameter:PackageBundle: 0 of 1..*")
    if version == "2.2.0":
        # Slices by resource type: looked at below.
        faults = [fault for fault in faults if not fault.startswith("Bundle.entry:")]
    assert faults == []


@pytest.mark.requirement("oper-12")
@each_version
async def test_a_package_holds_nothing_but_its_four_kinds(service: Service, version: Version) -> None:
    for package in packages((await service.package(version, by_canonical(INITIAL, RENEWAL))).json()):
        kinds = [entry["resource"]["resourceType"] for entry in package["entry"]]
        assert kinds[0] == "Questionnaire"
        assert kinds.count("Questionnaire") == kinds.count("QuestionnaireResponse") == 1
        assert set(kinds) == {"Questionnaire", "QuestionnaireResponse", "Library", "ValueSet"}


@pytest.mark.requirement("oper-18")
@pytest.mark.requirement("spec-122")
@pytest.mark.requirement("spec-159")
@each_version
async def test_the_draft_says_whose_and_for_what(service: Service, version: Version) -> None:
    response = draft((await service.package(version, by_order())).json())
    assert response["status"] == "in-progress"
    assert response["subject"] == {"reference": "Patient/p1"}
    assert response["authored"] == "2026-12-01T12:00:00+00:00"
    assert response["questionnaire"] == f"{INITIAL}|1.0.0"
    assert not {"basedOn", "partOf"} & response.keys()
    said = [(e["url"].rpartition("/")[2], next(v for k, v in e.items() if k != "url")) for e in response["extension"]]
    assert said[:2] == [
        ("qr-context" if version == "2.0.1" else "qr-coverage", {"reference": "Coverage/cov1"}),
        ("qr-context", {"reference": "MedicationRequest/mr1"}),
    ]
    [(name, use)] = said[2:]
    assert name == "intendedUse"
    assert use["coding"][0]["code"] == "withpa"
    assert use["coding"][0]["system"] == SHAPES[version].intended_use_system


@each_version
def test_library_descriptions_name_what_is_read(registry: Registry, version: Version) -> None:
    for library in registry.all()[0].libraries:
        copied = dict(library)
        validate(copied)
        assert copied["type"]["coding"][0]["code"] == "logic-library"
        types = {requirement["type"] for requirement in copied["dataRequirement"]}
        assert "Patient" in types

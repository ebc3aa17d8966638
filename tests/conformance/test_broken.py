"""Breaks are derived from the profiles: which are made of a resource, and that each is what it is called."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import pytest

from conformance.broken import Break, Kind, broken
from conformance.definitions import CORE, GUIDES, definitions
from conformance.jobs import PAS, Job
from service.catalog.registry import HOME

Json = dict[str, Any]
RESPONSE: Final = f"{PAS}profile-claimresponse"
ITEM: Final = f"{PAS}extension-reviewAction"
COVERAGE: Final = f"{PAS}profile-coverage"
MEMBER: Final = {"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]}}
HELD: Final[Json] = {
    "resourceType": "Coverage",
    "identifier": [MEMBER | {"system": "https://payer.example.org/member", "value": "M1"}, {"value": "another"}],
    "status": "active",
    "beneficiary": {"reference": "Patient/p1"},
}
GOLDEN: Final = HOME / "tests" / "golden" / "pas" / "approved" / "response-2.2.1.json"
RESPONDED: Final[Json] = json.loads(GOLDEN.read_text(encoding="utf-8"))["entry"][0]["resource"]


def needed(folder: Path) -> None:
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{folder.name} is not there, and CI must have it")
        pytest.skip(f"SKIPPED FOR WANT OF {folder.name}")


@pytest.fixture(scope="module")
def copies() -> dict[Break, Job]:
    needed(GUIDES)
    needed(CORE)
    jobs = [Job("a response", "newest", RESPONDED, (RESPONSE,)), Job("a coverage", "newest", HELD, (COVERAGE,))]
    return broken(jobs).copies


def copied(copies: dict[Break, Job], profile: str, kind: Kind, element: str) -> Json:
    return copies[Break("newest", profile, kind, element)].resource


def test_an_unknown_element_is_put_into_the_resource_and_into_its_extensions(copies: dict[Break, Job]) -> None:
    assert copied(copies, RESPONSE, "unknown element", "ClaimResponse")["notAnElement"] == "x"
    item = copied(copies, ITEM, "unknown element", "Extension")["item"][0]
    assert item["adjudication"][0]["extension"][0]["notAnElement"] == "x"


def test_a_required_element_goes_at_any_depth(copies: dict[Break, Job]) -> None:
    assert "patient" not in copied(copies, RESPONSE, "required element", "ClaimResponse.patient")
    copy = copied(copies, RESPONSE, "required element", "ClaimResponse.item.adjudication.category")
    assert "category" not in copy["item"][0]["adjudication"][0]
    assert "item" not in {what.element.partition(".")[2] for what in copies if what.kind == "required element"}


def test_a_code_that_a_listed_set_does_not_have(copies: dict[Break, Job]) -> None:
    assert copied(copies, RESPONSE, "required code", "ClaimResponse.outcome")["outcome"] == "no-such-code"
    coded = {what.element for what in copies if what.kind == "required code"}
    assert "ClaimResponse.addItem.productOrService" not in coded


def test_a_reference_to_another_type(copies: dict[Break, Job]) -> None:
    copy = copied(copies, RESPONSE, "reference target", "ClaimResponse.patient")
    assert copy["patient"] == {"reference": "#basic"}
    assert [(one["resourceType"], one["id"]) for one in copy["contained"]] == [("Basic", "basic")]


def test_a_slice_is_told_from_others_by_its_discriminator(copies: dict[Break, Job]) -> None:
    element = "Coverage.identifier:memberid"
    assert copied(copies, COVERAGE, "missing slice", element)["identifier"] == [{"value": "another"}]
    telling = [what for what in copies if what.element.startswith(f"{element}.type")]
    assert telling == []


def test_what_was_clean_is_left_as_it_was(copies: dict[Break, Job]) -> None:
    assert all(job.resource not in (HELD, RESPONDED) for job in copies.values())
    assert "notAnElement" not in json.dumps([HELD, RESPONDED])


def test_value_sets_of_systems_that_nobody_here_can_list_are_not_tried() -> None:
    needed(GUIDES)
    needed(CORE)
    found = definitions("newest")
    assert found.lists("http://hl7.org/fhir/ValueSet/fm-status|4.0.1")
    assert not found.lists("http://hl7.org/fhir/us/davinci-pas/ValueSet/X12278RequestedServiceType")
    assert not found.lists("http://nowhere.example.org/ValueSet/none")

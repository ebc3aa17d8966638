"""What DTR asks of packages and drafts, beyond their shape: for whom each is, what it may refer to, who may ask."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from service.catalog.registry import Registry
from service.dtr.versions import Version
from service.engine.evaluator import V8Engine
from service.policy.case import ClientId
from tests.unit.dtr.profiles import GUIDES, Profiles, load
from tests.unit.dtr.samples import (
    INITIAL,
    VERSIONS,
    Access,
    EvaluatorDouble,
    Json,
    Service,
    answer_to,
    answers,
    assertion,
    by_canonical,
    by_order,
    context,
    coverage,
    draft,
    form_urls,
    held,
    issues,
    order,
    packages,
    patient,
    request_for,
    resource,
)

each_version = pytest.mark.parametrize("version", VERSIONS)
ADAPTIVE = f"{INITIAL}-adaptive"


@pytest.fixture
def revised(service: Service, registry: Registry) -> Service:
    """The policy, and a revision of it with new versions of its forms that follows on 1 April 2027."""
    old = registry.all()[0]
    forms = {url: {**form, "version": "2.0.0"} for url, form in old.questionnaires.items()}
    pathways = {name: replace(p, questionnaire_version="2.0.0") for name, p in old.policy.pathways.items()}
    ref = replace(old.policy.ref, version="2027-04-01")
    policy = replace(old.policy, ref=ref, effective=date(2027, 4, 1), pathways=pathways)
    ending = replace(old, policy=replace(old.policy, ends=date(2027, 3, 31)))
    service.registry = Registry((ending, replace(old, policy=policy, questionnaires=forms)))
    return service


def sent(answer: Json) -> dict[str, list[str]]:
    """By version of the form, the orders that its draft is for."""
    found = {}
    for package in packages(answer):
        [form], [response] = held(package, "Questionnaire"), held(package, "QuestionnaireResponse")
        found[form["version"]] = orders_of(response)
    return found


def orders_of(response: Json) -> list[str]:
    named = [str(e.get("valueReference", {}).get("reference")) for e in response["extension"]]
    return [reference for reference in named if reference.startswith("MedicationRequest/")]


def starting(on: str) -> Json:
    return {"dispenseRequest": {"validityPeriod": {"start": on}}}


@pytest.mark.requirement("oper-7")
@each_version
async def test_each_version_of_a_form_is_for_orders_of_its_own(revised: Service, version: Version) -> None:
    now, later = order(**starting("2026-12-04")), order(id="mr2", **starting("2027-05-01"))
    answer = await answer_to(revised, version, request_for(resource("order", now), resource("order", later)))
    assert sent(answer) == {"1.0.0": ["MedicationRequest/mr1"], "2.0.0": ["MedicationRequest/mr2"]}


@pytest.mark.requirement("oper-7")
@each_version
async def test_of_two_versions_for_one_order_one_is_sent(revised: Service, version: Version) -> None:
    newer = {"name": "questionnaire", "valueCanonical": f"{INITIAL}|2.0.0"}
    answer = await answer_to(revised, version, request_for(resource("order", order()), newer))
    assert sent(answer) == {"1.0.0": ["MedicationRequest/mr1"]}
    [issue] = issues(answer)
    assert (issue["severity"], f"{INITIAL}|2.0.0" in issue["diagnostics"]) == ("warning", True)
    answer = await answer_to(revised, version, by_canonical(f"{INITIAL}|2.0.0", f"{INITIAL}|1.0.0"))
    assert list(sent(answer)) == ["2.0.0"]


@pytest.mark.requirement("oper-18")
@each_version
async def test_each_package_has_one_draft_for_its_form_coverage_and_orders(
    service: Service, version: Version
) -> None:
    body = request_for(
        *(resource("order", order(id=i)) for i in ("mr1", "mr2")),
        {"name": "questionnaire", "valueCanonical": ADAPTIVE},
    )
    for package in packages(await answer_to(service, version, body)):
        [form], [response] = held(package, "Questionnaire"), held(package, "QuestionnaireResponse")
        asked = response["questionnaire"]
        if asked.startswith("#"):
            [asked] = response["contained"][0]["derivedFrom"]
        assert asked == f"{form['url']}|{form['version']}"
        assert response["subject"] == {"reference": "Patient/p1"}
        assert orders_of(response) == ["MedicationRequest/mr1", "MedicationRequest/mr2"]
        link = "qr-context" if version == "2.0.1" else "qr-coverage"
        assert {"reference": "Coverage/cov1"} in [
            e["valueReference"] for e in response["extension"] if e["url"].endswith(link)
        ]


def references(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for each in value:
            yield from references(each, path)
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield path, value["reference"]
        for name, each in value.items():
            if name != "contained":
                yield from references(each, f"{path}.{name}")


@pytest.mark.requirement("spec-139")
@pytest.mark.requirement("spec-140")
@pytest.mark.requirement("spec-141")
@each_version
@pytest.mark.parametrize("form", [INITIAL, ADAPTIVE])
async def test_a_draft_refers_only_to_what_the_client_sent(
    service: Service, engine: V8Engine, version: Version, form: str
) -> None:
    """And contains nothing but the adaptive form, which is the payer's; to that only `questionnaire` points."""
    service.evaluator = engine
    named = {"name": "questionnaire", "valueCanonical": form}
    local = order(contained=[{"resourceType": "Practitioner", "id": "x"}], requester={"reference": "#x"})
    body = request_for(resource("order", local), named, resource("referenced", patient()))
    for package in packages(await answer_to(service, version, body)):
        [response] = held(package, "QuestionnaireResponse")
        assert {r for _, r in references(response)} == {"Patient/p1", "Coverage/cov1", "MedicationRequest/mr1"}
        assert [r["resourceType"] for r in response.get("contained", ())] == (
            ["Questionnaire"] if "adaptive" in response["questionnaire"] else []
        )


@pytest.mark.requirement("conf-13")
@each_version
@pytest.mark.parametrize("form", [INITIAL, ADAPTIVE])
async def test_packages_have_no_extension_that_the_guides_do_not_define(
    service: Service, version: Version, form: str
) -> None:
    known: Profiles = load("sdc-4.0.0", f"dtr-{version}")
    # Of core's extension pack, which is not among the packages here: what the profiles themselves name.
    core = {u for url in known.by_url if "davinci-dtr" in url for u in named_extensions(known, url)}
    for package in packages(await answer_to(service, version, by_canonical(form))):
        used = set(extension_urls(package))
        assert used - known.by_url.keys() - core - OF_CORE == set()
        assert used & core


# FHIR extension pack: for the version of a Questionnaire or Library (SDC 4.0, sdc-2), which 2.0.1 does not name.
OF_CORE = {"http://hl7.org/fhir/StructureDefinition/artifact-versionAlgorithm"}


def named_extensions(known: Profiles, url: str) -> Iterator[str]:
    for element in known.by_url[url]["snapshot"]["element"]:
        for kind in element.get("type", ()):
            yield from (profile for profile in kind.get("profile", ()) if "/StructureDefinition/" in profile)


def extension_urls(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from extension_urls(each)
    if isinstance(value, dict):
        for each in value.get("extension", ()):
            if "://" in each["url"]:
                yield each["url"]
        for each in value.values():
            yield from extension_urls(each)


@pytest.mark.requirement("conf-9")
@each_version
async def test_what_a_profile_neither_demands_nor_marks_is_not_needed(service: Service, version: Version) -> None:
    """The barest coverage, order and patient get the same form and draft as the fullest."""
    bare = {
        "coverage": {k: coverage()[k] for k in ("resourceType", "id", "status", "beneficiary", "payor")},
        "order": {k: v for k, v in order().items() if k != "authoredOn"},
    }
    body = request_for(resource("order", bare["order"]), cover=bare["coverage"])
    answer = await answer_to(service, version, body)
    full = await answer_to(service, version, by_order())
    assert form_urls(answer) == form_urls(full) == [INITIAL]
    assert draft(answer)["item"] == draft(full)["item"]
    assert issues(answer) == issues(full) == []


SNOMED = "http://snomed.info/sct"


def recorded(kind: str, number: str, **more: Any) -> Json:
    return {"resourceType": kind, "id": number, "subject": {"reference": "Patient/p1"}, **more}


@pytest.mark.requirement("conf-8")
@pytest.mark.requirement("spec-54")
@each_version
async def test_a_chart_of_us_core_alone_fills_the_form(service: Service, engine: V8Engine, version: Version) -> None:
    """No administration, no statement, no profile of oncology is needed; what fits no profile does no harm."""
    service.evaluator = engine
    chart = [
        patient(),
        recorded("Condition", "c", code={"coding": [{"system": SNOMED, "code": "67841000119103"}]}),
        recorded("MedicationRequest", "m", status="completed", intent="order", authoredOn="2026-02-03",
                 medicationCodeableConcept={"text": "Carboplatin 10 mg/mL"}),
        recorded("Observation", "o", status="final", effectiveDateTime="2026-05-01",
                 code={"coding": [{"system": "http://loinc.org", "code": "97509-4"}]},
                 valueCodeableConcept={"coding": [{"system": SNOMED, "code": "271299001"}]}),
        recorded("Procedure", "p", status="completed", performedDateTime="2010-01-01",
                 code={"coding": [{"system": SNOMED, "code": "116140006"}]}),
    ]  # fmt: skip
    odd = [
        recorded("Observation", "x", status="final", code={"text": "no profile has this"}),
        recorded("Condition", "y"),
        recorded("Procedure", "z", status="completed"),
    ]
    for records in (chart, [*odd, *chart]):
        body = request_for(resource("order", order()), *(resource("referenced", r) for r in records))
        assert answers(draft(await answer_to(service, version, body))) == {
            "birth-date": "1958-02-03",
            "es-sclc": True,
            "platinum-agent": "Carboplatin 10 mg/mL",
            "platinum-start": "2026-02-03",
            "progression-on-platinum": True,
            "progression-date": "2026-05-01",
            "female-of-reproductive-potential": False,
        }


def examples(package: str) -> list[Json]:
    if not GUIDES.is_dir():
        pytest.skip("NO GUIDE PACKAGES: ../shared/ig is absent, so the guides' examples are not sent")
    found = []
    with tarfile.open(GUIDES / f"{package}.tgz") as archive:
        for member in archive.getmembers():
            if member.name.startswith("package/example/") and not member.name.endswith("/.index.json"):
                found.append(json.load(archive.extractfile(member)))  # type: ignore[arg-type]  # a regular file
    return found


NO_RECORD = {"Bundle", "Parameters", "Patient"}


@pytest.mark.requirement("conf-2")
@each_version
@pytest.mark.parametrize("package", ["us-core-3.1.1", "us-core-6.1.0", "us-core-7.0.0", "hrex-1.2.0"])
async def test_resources_with_all_that_must_be_supported_are_read_without_error(
    service: Service, engine: V8Engine, version: Version, package: str
) -> None:
    """US Core and HRex: who receives must-support elements processes their resources without error."""
    service.evaluator = engine
    every = [r for r in examples(package) if r.get("resourceType", "Bundle") not in NO_RECORD]
    records = [r for r in every if not list(service.check.check(r))]
    # One example of 3.1.1 has a hash that is no base64.
    assert 0 <= len(every) - len(records) <= 1 < len(records)
    body = request_for(resource("order", order()), *(resource("referenced", r) for r in (patient(), *records)))
    answer = await answer_to(service, version, body)
    assert form_urls(answer) == [INITIAL]
    assert answers(draft(answer)) == {"birth-date": "1958-02-03"}


@pytest.mark.requirement("spec-1")
@each_version
async def test_every_client_gets_the_same_answer(service: Service, version: Version) -> None:
    """Also the client that the demo's own app is known by."""
    service.evaluator = EvaluatorDouble({"Birth Date": {"type": "Date", "value": "1958-02-03"}})
    body = request_for(resource("order", order()), resource("referenced", patient()))
    seen = set()
    for name in ("ehr", "another-vendor", "demo", "smart-app", "dtr-app"):
        service.access = Access(ClientId(name))
        seen.add((await service.package(version, body)).content)
    assert len(seen) == 1


@pytest.mark.requirement("spec-6")
@each_version
@pytest.mark.parametrize(
    "path",
    [
        "/Questionnaire/$questionnaire-package",
        "/Questionnaire/$next-question",
        "/Questionnaire/$log-questionnaire-errors",
        "/ValueSet/$expand",
    ],
)
async def test_one_base_answers_every_dtr_call(service: Service, version: Version, path: str) -> None:
    answer = await service.call(version, "POST", path, json={"resourceType": "Parameters", "parameter": []})
    assert answer.status_code == 400
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.requirement("spec-42")
@pytest.mark.requirement("spec-43")
@each_version
@pytest.mark.parametrize("form", [INITIAL, ADAPTIVE])
async def test_a_package_says_nothing_of_the_decision(service: Service, version: Version, form: str) -> None:
    service.assertions = (assertion(questionnaire=f"{form}|1.0.0"),)
    for asked in (context("assertion-1"), resource("order", order())):
        text = (await service.package(version, request_for(asked))).text
        assert form_urls(json.loads(text))
        assert "ext-coverage-information" not in text
        assert "satisfied-pa-id" not in text

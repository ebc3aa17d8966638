"""Each sentence under "Never approved by rule unless": one thing wrong with an otherwise approved request."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from service.app.parts import Rules
from service.cases.bundle import request_bundle
from service.cases.table import Given
from service.determine.determiner import Determiner
from service.determine.obstacles import House
from service.determine.request import Receipt
from service.errors import DeadlinePassed, EngineFailed
from service.fhir.canonical import PAS_INFO_CANCELLED
from service.pas.request import parse
from service.policy.decision import Outcome
from service.policy.determination import LineDetermination
from service.policy.finding import Status
from service.ports import Evaluation

APPROVED = {
    "birth-date": "1958-02-03",
    "es-sclc": True,
    "progression-on-platinum": True,
    "step-up-dosing": True,
    "neurotoxicity-monitoring": True,
    "female-of-reproductive-potential": False,
}
GIVEN = {
    "serviced": "2026-12-04",
    "serviced_end": "2027-02-04",
    "created": "2026-12-01",
    "birth_date": "1958-02-03",
    "diagnoses": ["C34.90"],
    "quantity": 61,
    "unit": "unit",
    "order": {},
    "answers": APPROVED,
}
RECEIVED = datetime(2026, 12, 1, 12, tzinfo=UTC)
Change = Callable[[dict[str, dict[str, Any]]], None]


async def nothing_on_file(_policy_id: str) -> tuple[()]:
    return ()


@pytest.fixture
def bundle(rules: Rules) -> dict[str, Any]:
    loaded = next(loaded for loaded in rules.registry.all() if loaded.policy.ref.id == "imdelltra")
    return request_bundle(Given.model_validate(GIVEN), loaded, rules.settings)


async def decide(
    rules: Rules, bundle: dict[str, Any], *, determiner: Determiner | None = None, received: datetime = RECEIVED
) -> LineDetermination:
    request = parse(bundle, rules.check, member_system=rules.settings.member_system)
    determination = await (determiner or rules.determiner).determine(request, Receipt(received), nothing_on_file)
    return determination.lines[0]


def by_type(bundle: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for entry in bundle["entry"]:
        resource = entry["resource"]
        name = f"Organization/{resource['id']}" if resource["resourceType"] == "Organization" else None
        found[name or resource["resourceType"]] = resource
    return found


async def test_nothing_is_wrong_with_the_request(rules: Rules, bundle: dict[str, Any]) -> None:
    line = await decide(rules, bundle)
    assert line.outcome is Outcome.APPROVED
    assert line.notes == ()


def put(kind: str, **elements: Any) -> Change:
    """Sets elements of one resource; None takes an element away."""

    def change(resources: dict[str, dict[str, Any]]) -> None:
        for name, value in elements.items():
            if value is None:
                resources[kind].pop(name)
            else:
                resources[kind][name] = value

    return change


def on_item(**elements: Any) -> Change:
    def change(resources: dict[str, dict[str, Any]]) -> None:
        resources["Claim"]["item"][0].update(elements)

    return change


MODIFIER = [{"url": "https://example.org/not", "valueBoolean": True}]
OTHER_ID = [{"system": "https://payer.example.org/payer-id", "value": "PAYER02"}]
OTHER_SYSTEM = [{"system": "https://elsewhere.example.org/payer-id", "value": "PAYER01"}]
NO_SYSTEM = [{"value": "PAYER01"}]
SOMEBODY = {"reference": "Patient/somebody-else"}
THE_PATIENT = {"reference": "https://ehr.example.org/fhir/Patient/p1"}


def of_month(resources: dict[str, dict[str, Any]]) -> None:
    resources["Claim"]["item"][0].pop("servicedPeriod")
    resources["Claim"]["created"] = "2026-12"


WRONG: dict[str, tuple[Change, str]] = {
    "coverage cancelled": (put("Coverage", status="cancelled"), "coverage-not-active"),
    "coverage draft": (put("Coverage", status="draft"), "coverage-not-active"),
    "coverage ended": (put("Coverage", period={"end": "2026-12-03"}), "coverage-period"),
    "coverage not begun": (put("Coverage", period={"start": "2026-12-05"}), "coverage-period"),
    "coverage's last day unsure": (put("Coverage", period={"end": "2026"}), "coverage-period"),
    "coverage's first day unsure": (put("Coverage", period={"start": "2026-12"}), "coverage-period"),
    "coverage of another": (put("Coverage", beneficiary=SOMEBODY), "coverage-beneficiary"),
    "another payer": (put("Organization/payer", identifier=OTHER_ID), "insurer"),
    "another payer's numbering": (put("Organization/payer", identifier=OTHER_SYSTEM), "payor"),
    "nobody's numbering": (put("Organization/payer", identifier=NO_SYSTEM), "insurer"),
    "no member id of the patient": (put("Patient", identifier=None), "member-id"),
    "no member id of the coverage": (put("Coverage", identifier=None), "member-id"),
    "two members": (
        put("Coverage", identifier=[{"system": "https://payer.example.org/member", "value": "OTHER"}]),
        "member-id",
    ),
    "an order for another drug": (
        put("MedicationRequest", medicationCodeableConcept={"text": "cisplatin"}),
        "order-other",
    ),
    "an order for another patient": (put("MedicationRequest", subject=SOMEBODY), "order-patient"),
    "an order that says no": (put("MedicationRequest", doNotPerform=True), "order-prohibits"),
    **{
        f"an order {status}": (put("MedicationRequest", status=status), "order-cancelled")
        for status in ("cancelled", "entered-in-error", "stopped")
    },
    "a partial start": (on_item(servicedPeriod={"start": "2026-12", "end": "2027-02-04"}), "service-date-partial"),
    "a partial end": (on_item(servicedPeriod={"start": "2026-12-04", "end": "2027"}), "service-date-partial"),
    "no start": (on_item(servicedPeriod={"end": "2027-02-04"}), "service-date-partial"),
    "inverted": (on_item(servicedPeriod={"start": "2026-12-04", "end": "2026-12-03"}), "service-dates-inverted"),
    "too far": (on_item(servicedPeriod={"start": "2027-12-02"}), "service-too-far"),
    "nothing": (on_item(quantity={"value": 0, "unit": "unit"}), "quantity"),
    "less than nothing": (on_item(quantity={"value": -1, "unit": "unit"}), "quantity"),
    "no number": (on_item(quantity={"unit": "unit"}), "quantity"),
    "no unit": (on_item(quantity={"value": 61}), "quantity-unit"),
    "an unknown unit": (on_item(quantity={"value": 61, "unit": "bucket"}), "quantity-unit"),
    "a unit and a code that differ": (on_item(quantity={"value": 61, "unit": "mg", "code": "kg"}), "quantity-unit"),
    "at least": (on_item(quantity={"value": 61, "unit": "unit", "comparator": ">="}), "quantity-comparator"),
    "two codes": (
        on_item(
            productOrService={
                "coding": [
                    {"system": "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "code": code}
                    for code in ("J9026", "J9999")
                ]
            }
        ),
        "code-ambiguous",
    ),
    "a cancelled line": (
        on_item(modifierExtension=[{"url": PAS_INFO_CANCELLED, "valueBoolean": True}]),
        "line-cancelled",
    ),
    "a modifier on the line": (on_item(modifierExtension=MODIFIER), "modifier"),
    **{
        f"a modifier on the {kind}": (put(kind, modifierExtension=MODIFIER), "modifier")
        for kind in ("Claim", "Coverage", "QuestionnaireResponse", "MedicationRequest")
    },
    "rules of its own": (put("Patient", implicitRules="https://example.org/rules"), "modifier"),
    "an old response": (put("QuestionnaireResponse", authored="2026-09-01"), "response-too-old"),
    "a response from the future": (put("QuestionnaireResponse", authored="2026-12-03"), "response-from-future"),
    "a response of no day": (put("QuestionnaireResponse", authored=None), "response-undated"),
    "answers of the patient": (put("QuestionnaireResponse", source=THE_PATIENT), "response-by-patient"),
    "answers that the patient wrote down": (put("QuestionnaireResponse", author=THE_PATIENT), "response-by-patient"),
    "more in its details": (
        on_item(detail=[{"sequence": 1, "productOrService": {"text": "a walking aid"}}]),
        "line-details",
    ),
    "a procedure beside the drug": (
        on_item(
            productOrService={
                "coding": [
                    {"system": "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "code": "J9026"},
                    {"system": "http://www.ama-assn.org/go/cpt", "code": "96413"},
                ]
            }
        ),
        "code-ambiguous",
    ),
    "no dates, and a month as the request's own": (of_month, "service-date-partial"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_one_thing_in_the_way_pends_though_every_criterion_is_met(
    rules: Rules, bundle: dict[str, Any], name: str
) -> None:
    change, obstacle = WRONG[name]
    change(by_type(bundle))
    line = await decide(rules, bundle)
    assert line.outcome is Outcome.PENDED
    assert {finding.status for finding in line.findings} == {Status.MET}
    assert obstacle in {found.code for found in line.obstacles}
    assert next(found.text for found in line.obstacles if found.code == obstacle) in line.notes


FINE: dict[str, Change] = {
    "an open coverage period": put("Coverage", period={"start": "2020-01-01"}),
    "the coverage's last day": put("Coverage", period={"end": "2026-12-04"}),
    "a modifier that says nothing is cancelled": on_item(
        modifierExtension=[{"url": PAS_INFO_CANCELLED, "valueBoolean": False}]
    ),
    "no dates: the request's own": lambda resources: resources["Claim"]["item"][0].pop("servicedPeriod"),
    "a completed order": put("MedicationRequest", status="completed"),
    "the furthest day": on_item(servicedPeriod={"start": "2027-12-01"}),
}


@pytest.mark.parametrize("name", FINE)
async def test_these_are_no_reason_to_pend(rules: Rules, bundle: dict[str, Any], name: str) -> None:
    FINE[name](by_type(bundle))
    assert (await decide(rules, bundle)).outcome is Outcome.APPROVED


async def test_without_a_directory_membership_is_not_known(rules: Rules, bundle: dict[str, Any]) -> None:
    house = House((rules.settings.payer_id_system, rules.settings.payer_id), trusts_presented_coverage=False)
    strict = Determiner(rules.registry, rules.engine, house, 90)
    line = await decide(rules, bundle, determiner=strict)
    assert line.outcome is Outcome.PENDED
    assert [found.code for found in line.obstacles] == ["member-unverified"]


@pytest.mark.parametrize("error", [EngineFailed("no"), DeadlinePassed("late")])
async def test_when_the_logic_fails_the_request_waits_for_a_person(
    rules: Rules, bundle: dict[str, Any], error: Exception
) -> None:
    class Failing:
        async def evaluate(self, evaluation: Evaluation) -> dict[str, Any]:
            raise error

    house = House((rules.settings.payer_id_system, rules.settings.payer_id), trusts_presented_coverage=True)
    line = await decide(rules, bundle, determiner=Determiner(rules.registry, Failing(), house, 90))
    assert line.outcome is Outcome.PENDED
    assert {finding.status for finding in line.findings} == {Status.UNKNOWN}
    assert "evaluation" in {found.code for found in line.obstacles}


async def test_a_month_as_birth_date_and_service_date_is_settled_by_nobody(
    rules: Rules, bundle: dict[str, Any]
) -> None:
    resources = by_type(bundle)
    resources["Patient"]["birthDate"] = "2008-12"
    resources["QuestionnaireResponse"]["item"] = [
        item for item in resources["QuestionnaireResponse"]["item"] if item["linkId"] != "birth-date"
    ]
    line = await decide(rules, bundle)
    assert line.findings[0].status is Status.UNKNOWN


async def test_lines_are_decided_each_by_itself(rules: Rules, bundle: dict[str, Any]) -> None:
    claim = by_type(bundle)["Claim"]
    second = copy.deepcopy(claim["item"][0]) | {"sequence": 2, "quantity": {"value": 1}}
    third = copy.deepcopy(claim["item"][0]) | {"sequence": 3, "productOrService": {"text": "a walking aid"}}
    third.pop("extension")
    claim["item"] += [second, third]
    request = parse(bundle, rules.check, member_system=rules.settings.member_system)
    determination = await rules.determiner.determine(request, Receipt(RECEIVED), nothing_on_file)
    assert [line.outcome for line in determination.lines] == [
        Outcome.APPROVED,
        Outcome.PENDED,
        Outcome.NOT_COVERED_BY_POLICY,
    ]
    assert determination.outcome is Outcome.PENDED


async def test_a_line_counts_only_the_responses_that_it_points_to(rules: Rules, bundle: dict[str, Any]) -> None:
    claim = by_type(bundle)["Claim"]
    claim["supportingInfo"].append({"sequence": 2, "category": {"text": "note"}, "valueString": "see chart"})
    claim["item"][0]["informationSequence"] = [2]
    line = await decide(rules, bundle)
    assert line.outcome is Outcome.PENDED
    assert {f.status for f in line.findings if f.criterion.id != "age"} == {Status.UNKNOWN}


async def test_a_contained_questionnaire_is_not_believed(rules: Rules, bundle: dict[str, Any]) -> None:
    response = by_type(bundle)["QuestionnaireResponse"]
    response["contained"] = [{"resourceType": "Questionnaire", "id": "mine", "status": "active"}]
    response["questionnaire"] = "#mine"
    line = await decide(rules, bundle)
    assert line.outcome is Outcome.PENDED
    assert any("answers no form" in note for note in line.notes)


def adaptive(response: dict[str, Any], **contained: Any) -> None:
    """Makes it a response to the adaptive form, with a contained Questionnaire that tells its own story."""
    url, _, version = response["questionnaire"].partition("|")
    forged = [{"linkId": "es-sclc", "type": "string", "text": "forged", "readOnly": True}]
    held = {
        "resourceType": "Questionnaire",
        "id": "q",
        "status": "active",
        "derivedFrom": [f"{url}-adaptive|{version}"],
        "item": forged,
    }
    response["contained"] = [held | contained]
    response["questionnaire"] = "#q"


async def test_a_response_to_the_adaptive_form_counts_and_its_contained_form_does_not(
    rules: Rules, bundle: dict[str, Any]
) -> None:
    response = by_type(bundle)["QuestionnaireResponse"]
    adaptive(response)
    line = await decide(rules, bundle)
    assert line.outcome is Outcome.APPROVED
    assert not any("forged" in note for note in line.notes)
    item = next(item for item in response["item"] if item["linkId"] == "es-sclc")
    item["answer"] = [{"valueString": "true"}]
    line = await decide(rules, bundle)
    assert line.outcome is Outcome.PENDED
    assert next(f.status for f in line.findings if f.criterion.id == "es-sclc") is Status.UNKNOWN


async def test_an_adaptive_form_of_another_version_is_not_counted(rules: Rules, bundle: dict[str, Any]) -> None:
    response = by_type(bundle)["QuestionnaireResponse"]
    url = response["questionnaire"].partition("|")[0]
    adaptive(response, derivedFrom=[f"{url}-adaptive|9.9.9"])
    assert any("answers no form" in note for note in (await decide(rules, bundle)).notes)


async def test_a_note_says_why_an_answer_does_not_count(rules: Rules, bundle: dict[str, Any]) -> None:
    response = by_type(bundle)["QuestionnaireResponse"]
    item = next(item for item in response["item"] if item["linkId"] == "es-sclc")
    item["answer"] = [{"valueString": "secret words"}]
    line = await decide(rules, bundle)
    assert any("is not answered with yes or no." in note for note in line.notes)


async def test_a_form_without_its_version_counts(rules: Rules, bundle: dict[str, Any]) -> None:
    response = by_type(bundle)["QuestionnaireResponse"]
    response["questionnaire"] = response["questionnaire"].partition("|")[0]
    assert (await decide(rules, bundle)).outcome is Outcome.APPROVED


def diagnosed(bundle: dict[str, Any], **elements: Any) -> None:
    """The diagnosis by reference to a Condition; None takes an element away."""
    url = "https://ehr.example.org/fhir/Condition/lung"
    code = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "C34.90"}]}
    condition = {"resourceType": "Condition", "id": "lung", "code": code, "subject": THE_PATIENT, **elements}
    bundle["entry"].append({"fullUrl": url, "resource": {k: v for k, v in condition.items() if v is not None}})
    by_type(bundle)["Claim"]["diagnosis"] = [{"sequence": 1, "diagnosisReference": {"reference": url}}]


def verified(code: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": code}]}


@pytest.mark.parametrize(
    ("elements", "obstacle"),
    [
        ({"verificationStatus": verified("refuted")}, "diagnosis-refuted"),
        ({"verificationStatus": verified("entered-in-error")}, "diagnosis-refuted"),
        ({"subject": SOMEBODY}, "diagnosis-patient"),
        ({"subject": {"display": "Mr. Doe"}}, "diagnosis-patient"),
    ],
)
async def test_a_condition_that_is_none_of_the_patients_diagnoses_pends(
    rules: Rules, bundle: dict[str, Any], elements: dict[str, Any], obstacle: str
) -> None:
    diagnosed(bundle, **elements)
    line = await decide(rules, bundle)
    assert line.outcome is Outcome.PENDED
    assert [found.code for found in line.obstacles] == [obstacle]


@pytest.mark.parametrize("status", ["confirmed", "unconfirmed", None])
async def test_a_condition_that_may_well_be_the_patients_is_a_diagnosis(
    rules: Rules, bundle: dict[str, Any], status: str | None
) -> None:
    diagnosed(bundle, verificationStatus=verified(status) if status else None)
    assert (await decide(rules, bundle)).outcome is Outcome.APPROVED


@pytest.mark.parametrize(
    "system",
    [
        "https://hl7.org/fhir/sid/icd-10-cm",
        "urn:oid:2.16.840.1.113883.6.90",
        "http://hl7.org/fhir/sid/icd-10",
        "urn:oid:2.16.840.1.113883.6.3",
    ],
)
async def test_another_cancer_contradicts_whatever_its_code_system_is_called(
    rules: Rules, bundle: dict[str, Any], system: str
) -> None:
    diagnosis = by_type(bundle)["Claim"]["diagnosis"][0]["diagnosisCodeableConcept"]["coding"][0]
    diagnosis |= {"system": system, "code": "C50.911"}
    line = await decide(rules, bundle)
    assert line.outcome is Outcome.PENDED
    found = {str(finding.criterion.id): finding for finding in line.findings}["es-sclc"]
    assert (found.status, [item.shown for item in found.conflicts]) == (Status.UNKNOWN, ["C50.911"])
    diagnosis["code"] = "C34.11"
    assert (await decide(rules, bundle)).outcome is Outcome.APPROVED


async def test_a_procedure_is_not_the_drug_that_its_words_name(rules: Rules, bundle: dict[str, Any]) -> None:
    infusion = {"system": "http://www.ama-assn.org/go/cpt", "code": "96413", "display": "Infusion of tarlatamab"}
    by_type(bundle)["Claim"]["item"][0]["productOrService"] = {"coding": [infusion]}
    assert (await decide(rules, bundle)).outcome is Outcome.NOT_COVERED_BY_POLICY

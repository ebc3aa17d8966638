"""Which forms an order or a context leads to, and for whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from service.dtr.versions import SHAPES, Version
from service.policy.case import ClientId
from tests.unit.dtr.samples import (
    CLIENT,
    HCPCS,
    INITIAL,
    RENEWAL,
    VERSIONS,
    Access,
    Json,
    Service,
    answer_to,
    assertion,
    by_order,
    context,
    coverage,
    draft,
    form_urls,
    issues,
    order,
    packages,
    request_for,
    resource,
)

each_version = pytest.mark.parametrize("version", VERSIONS)


@pytest.mark.requirement("spec-12")
@each_version
async def test_order_of_the_drug_gets_the_initial_form(service: Service, version: Version) -> None:
    answer = await answer_to(service, version, by_order())
    assert form_urls(answer) == [INITIAL]
    assert issues(answer) == []


@each_version
@pytest.mark.parametrize(
    ("end", "form"),
    [
        (date(2027, 6, 1), RENEWAL),
        (date(2026, 12, 4), RENEWAL),
        (date(2026, 9, 5), RENEWAL),
        (date(2026, 9, 4), INITIAL),
    ],
)
async def test_renewal_form_with_an_authorization_on_file(
    service: Service, version: Version, end: date, form: str
) -> None:
    starting = {"dosageInstruction": [{"timing": {"event": ["2026-12-18", "2026-12-04"]}}]}
    service.ends = {"DEMO-1": end}
    assert form_urls(await answer_to(service, version, by_order(**starting))) == [form]


async def test_renewal_looks_at_the_member_number_before_the_subscriber(service: Service) -> None:
    number = {"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]}}
    dependent = coverage(identifier=[{"value": "DEMO-2", **number}])
    service.ends = {"DEMO-1": date(2027, 6, 1)}
    answer = await answer_to(service, "2.2.0", request_for(resource("order", order()), cover=dependent))
    assert form_urls(answer) == [INITIAL]
    service.ends = {"DEMO-2": date(2027, 6, 1)}
    answer = await answer_to(service, "2.2.0", request_for(resource("order", order()), cover=dependent))
    assert form_urls(answer) == [RENEWAL]


@each_version
async def test_context_leads_to_the_form_that_crd_named(service: Service, version: Version) -> None:
    service.assertions = (assertion(questionnaire=f"{RENEWAL}|1.0.0"),)
    answer = await answer_to(service, version, request_for(context("assertion-1")))
    assert form_urls(answer) == [RENEWAL]
    assert "MedicationRequest/mr1" in str(draft(answer)["extension"])


async def test_context_of_an_order_without_an_id_refers_to_no_order(service: Service) -> None:
    service.assertions = (assertion(order_reference="Appointment"),)
    answer = await answer_to(service, "2.2.0", request_for(context("assertion-1")))
    assert form_urls(answer) == [INITIAL]
    assert "Appointment" not in str(draft(answer))


@pytest.mark.requirement("spec-128")
async def test_context_names_the_form_for_an_order_edited_since(service: Service) -> None:
    service.assertions = (assertion(questionnaire=f"{RENEWAL}|1.0.0"),)
    edited = order(status="active", note=[{"text": "call first"}])
    answer = await answer_to(service, "2.2.0", request_for(context("assertion-1"), resource("order", edited)))
    assert form_urls(answer) == [RENEWAL]


@pytest.mark.requirement("prof-1")
@pytest.mark.requirement("oper-8")
async def test_context_does_not_hide_that_the_order_is_another(service: Service) -> None:
    service.assertions = (assertion(),)
    other = order("J0897")
    answer = await answer_to(service, "2.2.0", request_for(context("assertion-1"), resource("order", other)))
    assert packages(answer) == []
    [issue] = issues(answer)
    assert issue["severity"] == "information"
    assert "1-800-555-0100" in issue["diagnostics"]


@pytest.mark.requirement("prof-1")
async def test_context_of_another_policy_does_not_choose_the_form(service: Service) -> None:
    service.assertions = (assertion(policy_id="other", questionnaire=f"{RENEWAL}|1.0.0"),)
    answer = await answer_to(service, "2.2.0", request_for(context("assertion-1"), resource("order", order())))
    assert form_urls(answer) == [INITIAL]


@pytest.mark.requirement("oper-8")
@pytest.mark.parametrize("named", [None, "https://payer.example.org/fhir/Questionnaire/gone|1.0.0"])
async def test_context_without_a_form_is_explained(service: Service, named: str | None) -> None:
    service.assertions = (assertion(questionnaire=named),)
    answer = await answer_to(service, "2.2.0", request_for(context("assertion-1")))
    assert packages(answer) == []
    assert issues(answer)[0]["severity"] == "information"


@pytest.mark.requirement("oper-11")
@pytest.mark.requirement("spec-130")
@each_version
@pytest.mark.parametrize("client", [CLIENT, ClientId("another")])
async def test_context_unknown_or_of_another_client_is_not_found(
    service: Service, version: Version, client: ClientId
) -> None:
    service.access = Access(client)
    service.assertions = (assertion(),)
    wanted = "assertion-1" if client != CLIENT else "assertion-2"
    response = await service.package(version, request_for(context(wanted), resource("order", order())))
    assert response.status_code == 404
    assert response.json()["resourceType"] == "OperationOutcome"
    assert wanted not in response.text


async def test_context_of_another_client_reads_like_an_unknown_one(service: Service) -> None:
    service.assertions = (assertion(client=ClientId("another")),)
    foreign = await service.package("2.2.0", request_for(context("assertion-1")))
    unknown = await service.package("2.2.0", request_for(context("nothing")))
    assert foreign.content == unknown.content


@pytest.mark.requirement("oper-8")
@each_version
async def test_order_that_needs_no_form_is_explained(service: Service, version: Version) -> None:
    answer = await answer_to(service, version, by_order(code="J0897"))
    assert [p["name"] for p in answer["parameter"]] == [SHAPES[version].outcome_parameter]
    [issue] = issues(answer)
    assert (issue["severity"], issue["expression"]) == ("information", ["Parameters.parameter[1].resource"])


async def test_an_order_drafted_long_ago_starts_today_at_the_soonest(service: Service) -> None:
    assert form_urls(await answer_to(service, "2.2.0", by_order(authoredOn="2025-01-01"))) == [INITIAL]
    service.ends = {"DEMO-1": date(2026, 12, 4)}
    later = await answer_to(service, "2.2.0", by_order(authoredOn="2027-12-01"))
    assert form_urls(later) == [INITIAL]


async def test_a_form_asked_for_by_canonical_is_for_the_order_beside_it(service: Service) -> None:
    other = order("J0897")
    body = request_for(resource("order", other), {"name": "questionnaire", "valueCanonical": INITIAL})
    assert "MedicationRequest/mr1" in str(draft(await answer_to(service, "2.2.0", body)))


async def test_order_from_before_the_policy_gets_no_form(service: Service) -> None:
    early = {"dispenseRequest": {"validityPeriod": {"start": "2026-03-31"}}}
    answer = await answer_to(service, "2.2.0", by_order(**early))
    assert packages(answer) == []
    assert "2026-04-01" in issues(answer)[0]["diagnostics"]


@pytest.mark.parametrize(
    ("medication", "form"),
    [
        ({"medicationReference": {"reference": "#m"}}, [INITIAL]),
        ({"medicationReference": {"reference": "Medication/m"}}, [INITIAL]),
        ({"medicationReference": {"reference": "Medication/x", "display": "Imdelltra 10 mg"}}, [INITIAL]),
        ({"medicationReference": {"reference": "Medication/x"}}, []),
        ({"medicationCodeableConcept": {"text": "tarlatamab"}}, [INITIAL]),
        ({"medicationCodeableConcept": {"coding": [{"extension": [{"url": "x:y", "valueCode": "z"}]}]}}, []),
    ],
)
async def test_how_an_order_names_its_drug(service: Service, medication: Json, form: list[str]) -> None:
    code = {"coding": [{"system": HCPCS, "code": "J9026"}]}
    asked = order(contained=[{"resourceType": "Medication", "id": "m", "code": code}])
    del asked["medicationCodeableConcept"]
    sent = {"resourceType": "Medication", "id": "m", "code": code}
    body = request_for(resource("order", asked | medication), resource("referenced", sent))
    answer = await answer_to(service, "2.2.0", body)
    assert form_urls(answer) == form
    assert [i["severity"] for i in issues(answer)] == ([] if form else ["warning"])


async def test_billing_code_beside_the_drug_counts(service: Service) -> None:
    billing = {
        "url": "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-billing-options",
        "valueCodeableConcept": {"coding": [{"system": HCPCS, "code": "J9026"}]},
    }
    answer = await answer_to(
        service, "2.2.0", by_order(medicationCodeableConcept={"text": "bispecific", "extension": [billing]})
    )
    assert form_urls(answer) == [INITIAL]


async def test_two_orders_of_one_drug_share_one_form(service: Service) -> None:
    body = request_for(resource("order", order()), resource("order", order(id="mr2")))
    answer = await answer_to(service, "2.2.0", body)
    contexts = [e["valueReference"]["reference"] for e in draft(answer)["extension"] if "qr-context" in e["url"]]
    assert contexts == ["MedicationRequest/mr1", "MedicationRequest/mr2"]


async def test_order_of_another_patient_is_left_out(service: Service) -> None:
    foreign = order(id="mr2", subject={"reference": "Patient/p2"})
    answer = await answer_to(service, "2.2.0", request_for(resource("order", order()), resource("order", foreign)))
    assert "mr2" not in str(draft(answer))
    [issue] = issues(answer)
    assert issue["expression"] == ["Parameters.parameter[2].resource.subject"]


async def test_coverage_of_another_patient_is_remarked(service: Service) -> None:
    body = request_for(resource("order", order()), cover=coverage(beneficiary={"reference": "Patient/p2"}))
    answer = await answer_to(service, "2.2.0", body)
    assert draft(answer)["subject"] == {"reference": "Patient/p1"}
    assert [i["severity"] for i in issues(answer)] == ["warning"]


@each_version
@pytest.mark.parametrize("payor", ["identifier", "contained", "referenced"])
async def test_coverage_of_another_payer_is_refused(service: Service, version: Version, payor: str) -> None:
    identifier = {"system": "https://payer.example.org/payer-id", "value": "PAYER02"}
    organization = {"resourceType": "Organization", "id": "org", "identifier": [identifier]}
    more: dict[str, Json] = {
        "identifier": {"payor": [{"identifier": identifier}]},
        "contained": {"payor": [{"reference": "#org"}], "contained": [organization]},
        "referenced": {"payor": [{"reference": "Organization/org"}]},
    }
    body = request_for(
        resource("order", order()), resource("referenced", organization), cover=coverage(**more[payor])
    )
    response = await service.package(version, body)
    assert response.status_code == 422
    assert issues(response.json())[0]["expression"] == ["Parameters.parameter[0].resource.payor"]
    assert "PAYER02" not in response.text


@pytest.mark.requirement("conf-12")
async def test_coverage_whose_payor_was_not_sent_is_served(service: Service) -> None:
    body = request_for(resource("order", order()), cover=coverage(payor=[{"reference": "Organization/unsent"}]))
    assert form_urls(await answer_to(service, "2.2.0", body)) == [INITIAL]


async def test_context_of_a_form_version_that_was_replaced_gives_the_current_one(service: Service) -> None:
    service.assertions = (replace(assertion(), questionnaire=f"{INITIAL}|0.9.0"),)
    assert form_urls(await answer_to(service, "2.2.0", request_for(context("assertion-1")))) == [INITIAL]

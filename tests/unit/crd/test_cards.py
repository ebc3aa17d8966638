"""Discovery, configuration, cards, feedback and what is kept of a call."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.crd.configuration import read_configuration
from service.crd.routes import METRIC_DATA
from service.policy.case import Authorization, MemberId
from service.policy.dates import DatePeriod
from service.settings import Settings
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.world import (
    NOW,
    AuthorizingStore,
    Json,
    OneDrug,
    medication_request,
    policy,
    request,
    said,
    service_request,
)

Opened = Callable[..., Endpoint]
VERSIONS = pytest.mark.parametrize("version", ["2.0", "2.2"])


def configured(**options: Any) -> Json:
    return {
        **request(),
        "extension": {"davinci-crd.configuration": {k.replace("_", "-"): v for k, v in options.items()}},
    }


# --- discovery ----------------------------------------------------------------------------------------------------
@pytest.mark.requirement("dev-1", "dev-2", "dev-4", "dev-8", "hook-4", "ops-1")
async def test_discovery_names_services_versions_and_options(endpoint: Endpoint) -> None:
    services = (await endpoint.http.get("/cds-services")).json()["services"]
    assert [(s["id"], s["hook"]) for s in services] == [
        (f"{hook}-crd", hook)
        for hook in (
            "order-sign",
            "order-select",
            "order-dispatch",
            "appointment-book",
            "encounter-start",
            "encounter-discharge",
        )
    ]
    for service in services:
        assert service["title"]
        assert service["description"]
        assert service["extension"]["davinci-crd.version"] == ["2.0", "2.2"]
        options = service["extension"]["davinci-crd.configuration-options"]
        assert {"coverage-info", "max-cards"} <= {option["code"] for option in options}
        for option in options:
            assert set(option) == {"code", "type", "name", "description", "default"}
            assert type(option["default"]) is {"boolean": bool, "integer": int}[option["type"]]
        for element in ("code", "name", "description"):
            assert len({option[element] for option in options}) == len(options)


async def test_templates_that_every_client_can_fill_come_first(endpoint: Endpoint) -> None:
    for service in (await endpoint.http.get("/cds-services")).json()["services"]:
        templates = list(service["prefetch"].items())
        assert templates[:2] == [
            ("patient", "Patient/{{context.patientId}}"),
            ("coverage", "Coverage?patient={{context.patientId}}&status=active"),
        ]
        assert "medications" in service["prefetch"]


@pytest.mark.requirement("dev-5", "dev-10", "dev-14")
async def test_every_kind_of_card_can_be_switched_off(endpoint: Endpoint) -> None:
    services = (await endpoint.http.get("/cds-services")).json()["services"]
    options = {o["code"] for o in services[0]["extension"]["davinci-crd.configuration-options"]}
    topics = {card["source"]["topic"]["code"] for card in (await endpoint.call(request()))["cards"]}
    assert topics <= options
    for topic in topics:
        body = configured(**{topic: False})
        left = {card["source"]["topic"]["code"] for card in (await endpoint.call(body))["cards"]}
        assert left == topics - {topic}


# --- configuration ------------------------------------------------------------------------------------------------
@pytest.mark.requirement("dev-14", "resp-28")
async def test_coverage_information_can_be_switched_off(endpoint: Endpoint) -> None:
    response = await endpoint.call(configured(coverage_info=False))
    assert response["systemActions"] == []
    assert response["cards"]
    assert await endpoint.store.assertion("00000000-0000-4000-8000-000000000001") is None
    newer = configured(coverage_info=False)
    newer["extension"]["davinci-crd.requestedVersion"] = "2.2"
    assert "systemActions" not in await endpoint.call(newer)


@pytest.mark.parametrize(
    ("most", "left"), [(0, 0), (1, 1), (5, 2), (-1, 2), (True, 2), ("1", 2), (None, 2), (1.5, 2)]
)
@pytest.mark.requirement("dev-6", "dev-14")
async def test_no_more_cards_than_wanted(endpoint: Endpoint, most: Any, left: int) -> None:
    response = await endpoint.call(configured(max_cards=most))
    assert len(response["cards"]) == left
    assert len(response["systemActions"]) == 1


@pytest.mark.requirement("dev-6", "dev-17")
async def test_what_we_do_not_know_is_ignored(endpoint: Endpoint) -> None:
    body = configured(coverage_info="false", guideline=0, invented=False, appropriate_use=False)
    response = await endpoint.call(body)
    assert (len(response["cards"]), len(response["systemActions"])) == (2, 1)
    nonsenses: list[Any] = [None, [], "x", 5]
    for nonsense in nonsenses:
        body = {**request(), "extension": {"davinci-crd.configuration": nonsense}}
        assert len((await endpoint.call(body))["cards"]) == 2


_any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner),
)


@given(_any_json | st.dictionaries(st.sampled_from(["coverage-info", "claim", "guideline", "max-cards"]), _any_json))
@pytest.mark.requirement("dev-6")
def test_any_configuration_is_read(received: Any) -> None:
    configuration = read_configuration(received)
    assert configuration.max_cards >= 0
    assert all(received[code] is False for code in configuration.off)


# --- cards --------------------------------------------------------------------------------------------------------
@VERSIONS
@pytest.mark.requirement("resp-5", "resp-18", "resp-19", "resp-2", "dev-24", "dev-25")
async def test_cards_have_what_the_guides_ask_for(endpoint: Endpoint, version: str) -> None:
    response = await endpoint.call(request(version=version))
    instructions, reference = response["cards"]
    for card in response["cards"]:
        assert card["uuid"]
        assert 0 < len(card["summary"]) < 140
        assert card["indicator"] == "info"
        assert "Zorvex (zorvexumab)" in card["detail"]
        assert card["source"]["label"] == "Example Health Plan"
        assert (
            card["source"]["topic"]["system"]
            == {
                "2.0": "http://hl7.org/fhir/us/davinci-crd/CodeSystem/temp",
                "2.2": "http://terminology.hl7.org/CodeSystem/cdshooks-card-type",
            }[version]
        )
        associated = card["extension"]["davinci-crd.associated-resource"]
        assert (
            associated == {"2.0": ["MedicationRequest/mr1"], "2.2": [{"reference": "MedicationRequest/mr1"}]}[version]
        )
    assert len({card["uuid"] for card in response["cards"]}) == 2
    assert not {"links", "suggestions"} & set(instructions)
    assert "Zorvex, initial" in instructions["detail"]
    assert "1-800-555-0100" in instructions["detail"]
    assert "suggestions" not in reference
    assert reference["links"] == [
        {"label": "Policy 9.99.999", "url": "https://payer.example.org/policies/9.99.999", "type": "absolute"}
    ]


async def test_a_policy_without_a_page_of_the_payers_leads_to_ours(opened: Opened) -> None:
    settings = Settings(trust_presented_coverage=True, public_url="https://pa.example.org/")
    endpoint = opened(registry=OneDrug((policy(source_url=None),)), settings=settings)
    response = await endpoint.call(request(version="2.2"))
    assert response["cards"][1]["links"][0]["url"] == "https://pa.example.org/policies/zorvex"
    assert said(response)["detail"][0][2]["valueUrl"] == "https://pa.example.org/policies/zorvex"


async def test_an_authorized_order_is_told_until_when(opened: Opened) -> None:
    held = Authorization("A-77", "zorvex", MemberId("M-1"), DatePeriod(date(2026, 10, 1), date(2027, 9, 30)))
    card = (await opened(store=AuthorizingStore(held)).call(request()))["cards"][0]
    assert card["summary"] == "Zorvex (zorvexumab): authorized until 2027-09-30"
    assert "A-77" in card["detail"]
    assert "nothing has to be sent now" in card["detail"]
    assert "needs prior authorization" not in card["detail"]


async def test_long_names_keep_the_summary_short(opened: Opened) -> None:
    settings = Settings(trust_presented_coverage=True, payer_name="P" * 300)
    response = await opened(settings=settings).call(request())
    assert len(response["cards"][1]["summary"]) == 139


@pytest.mark.requirement("dev-25")
async def test_one_card_speaks_of_all_orders_of_a_drug(endpoint: Endpoint) -> None:
    response = await endpoint.call(request(medication_request(), service_request()))
    assert [card["extension"]["davinci-crd.associated-resource"] for card in response["cards"]] == [
        ["MedicationRequest/mr1", "ServiceRequest/sr1"],
        ["MedicationRequest/mr1", "ServiceRequest/sr1"],
    ]


@pytest.mark.requirement("found-13")
async def test_order_select_gives_the_policy_and_no_instructions(endpoint: Endpoint) -> None:
    (card,) = (await endpoint.call(request(hook="order-select")))["cards"]
    assert card["links"]


@pytest.mark.requirement("found-13")
async def test_other_drugs_get_no_cards(endpoint: Endpoint) -> None:
    order = medication_request(medicationCodeableConcept={"text": "Aspirin"})
    assert (await endpoint.call(request(order)))["cards"] == []


# --- feedback and what is kept ------------------------------------------------------------------------------------
async def test_feedback_is_stored(endpoint: Endpoint) -> None:
    body = b'{"feedback": [{"card": "u1", "outcome": "accepted"}]}'
    response = await endpoint.http.post("/cds-services/order-sign-crd/feedback", content=body)
    assert (response.status_code, response.content) == (200, b"")
    assert endpoint.store.feedback == [("ehr-1", "order-sign-crd", body, NOW)]


@pytest.mark.parametrize("body", [[], {}, {"feedback": {}}, {"feedback": ["x"]}])
async def test_what_is_no_feedback_is_refused(endpoint: Endpoint, body: Any) -> None:
    await endpoint.refused(body, 400, "order-sign-crd/feedback")
    assert endpoint.store.feedback == []


@pytest.mark.requirement("found-37")
async def test_every_call_is_kept_with_its_answer(endpoint: Endpoint) -> None:
    await endpoint.http.get("/cds-services")
    body = json.dumps(request()).encode()
    answered = await endpoint.http.post("/cds-services/order-sign-crd", content=body)
    refused = await endpoint.http.post("/cds-services/order-sign-crd", json={})
    lost = await endpoint.http.post("/cds-services/none", json={})
    await endpoint.http.post("/cds-services/order-sign-crd/feedback", json={"feedback": []})
    assert len({exchange.id for exchange in endpoint.store.exchanges}) == 7
    kept = [exchange for exchange in endpoint.store.exchanges if exchange.kind != METRIC_DATA]
    assert [exchange.status for exchange in kept] == [200, 200, 400, 404, 200]
    assert kept[1].request == body
    assert [exchange.response for exchange in kept[1:4]] == [answered.content, refused.content, lost.content]
    assert {(exchange.client, exchange.requested_at) for exchange in kept} == {("ehr-1", NOW)}


@pytest.mark.requirement("sec-1")
async def test_access_tokens_are_not_kept(endpoint: Endpoint) -> None:
    token = {"access_token": "s3cr3t-token", "token_type": "Bearer"}
    await endpoint.call(request(fhirAuthorization=token, fhirServer="https://ehr.example.org/fhir"))
    await endpoint.http.post("/cds-services/order-sign-crd", content=b'{"access_token": "s3cr3t-token"')
    first, measured, second, failed = endpoint.store.exchanges
    for kept in (first, measured, second, failed):
        assert b"s3cr3t-token" not in kept.request + kept.response
    assert json.loads(first.request) == request(fhirServer="https://ehr.example.org/fhir")


@pytest.mark.requirement("sec-1")
async def test_patient_data_stays_out_of_the_log(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    body = request()
    body["prefetch"]["medications"] = {"resourceType": "Medication", "code": "Garbo"}
    await endpoint.call(body)
    assert len(caplog.records) == 1
    assert "Garbo" not in str([vars(record) for record in caplog.records])


@pytest.mark.requirement("resp-4")
async def test_names_come_from_settings(opened: Opened) -> None:
    settings = Settings(trust_presented_coverage=True, payer_name="Acme Plan", payer_phone="555-0199")
    card = (await opened(settings=settings).call(request()))["cards"][0]
    assert card["source"]["label"] == "Acme Plan"
    assert "555-0199" in card["detail"]

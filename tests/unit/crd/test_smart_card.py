"""The SMART launch, for clients that do not start DTR from coverage-information."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from starlette.requests import Request

from service.dtr.app.context import LaunchContext, read_context
from service.ports import Caller
from service.settings import Settings
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.world import CLIENT, INITIAL_FORM, medication_request, request, said, service_request

Opened = Callable[..., Endpoint]


async def launching(_request: Request, _body: bytes) -> Caller:
    return Caller(CLIENT, frozenset(), smart_launch_card=True)


@pytest.fixture
def launcher(opened: Opened) -> Endpoint:
    settings = Settings(trust_presented_coverage=True, public_url="https://pa.example.org")
    return opened(access=launching, settings=settings)


async def test_clients_that_launch_get_a_card_for_each_order(launcher: Endpoint) -> None:
    response = await launcher.call(request(medication_request(), service_request()))
    _, first, second, _ = response["cards"]
    for index, card in enumerate((first, second)):
        (link,) = card["links"]
        assert (link["type"], link["url"]) == ("smart", "https://pa.example.org/dtr/launch")
        told = said(response, index)
        resource = response["systemActions"][index]["resource"]
        assert json.loads(link["appContext"]) == {
            "orderRef": f"{resource['resourceType']}/{resource['id']}",
            "coverageRef": "Coverage/cov1",
            "coverageAssertionId": told["coverage-assertion-id"][0],
            "questionnaire": [f"{INITIAL_FORM}|1.0.0"],
        }
        assert "suggestions" not in card


async def test_what_a_card_says_is_read_by_the_app_that_it_opens(launcher: Endpoint) -> None:
    response = await launcher.call(request())
    (link,) = response["cards"][1]["links"]
    (assertion,) = said(response)["coverage-assertion-id"]
    read = LaunchContext("MedicationRequest/mr1", "Coverage/cov1", None, f"{INITIAL_FORM}|1.0.0", assertion)
    assert read_context(None, link["appContext"]) == read_context([], json.loads(link["appContext"])) == read


@pytest.mark.requirement("found-11")
async def test_an_assertion_that_leaves_with_a_card_alone_is_kept(launcher: Endpoint) -> None:
    body = {**request(), "extension": {"davinci-crd.configuration": {"coverage-info": False}}}
    response = await launcher.call(body)
    assert response["systemActions"] == []
    (link,) = response["cards"][1]["links"]
    kept = await launcher.store.assertion(json.loads(link["appContext"])["coverageAssertionId"])
    assert kept is not None
    assert kept.order_reference == "MedicationRequest/mr1"


async def test_an_order_without_an_id_is_launched_without_a_reference_to_it(launcher: Endpoint) -> None:
    body = request()
    del body["context"]["draftOrders"]["entry"][0]["resource"]["id"]
    (link,) = (await launcher.call(body))["cards"][1]["links"]
    assert set(json.loads(link["appContext"])) == {"coverageRef", "coverageAssertionId", "questionnaire"}


@pytest.mark.requirement("dev-24", "resp-3", "resp-72")
async def test_the_newer_guide_wants_a_suggestion_that_does_nothing(launcher: Endpoint) -> None:
    response = await launcher.call(request(medication_request(), service_request(), version="2.2"))
    _, first, second, _ = response["cards"]
    for card in (first, second):
        (suggestion,) = card["suggestions"]
        assert set(suggestion) == {"label", "uuid"}
        assert card["selectionBehavior"] == "any"
    assert "the medication order for 2026-12-04 (MedicationRequest/mr1)" in first["detail"]
    assert "the service order for 2026-12-04 (ServiceRequest/sr1)" in second["detail"]


async def test_nobody_else_gets_one(endpoint: Endpoint) -> None:
    cards = (await endpoint.call(request()))["cards"]
    assert {link["type"] for card in cards for link in card.get("links", [])} == {"absolute"}


async def test_there_is_nothing_to_launch_without_a_form(launcher: Endpoint) -> None:
    aspirin = medication_request(medicationCodeableConcept={"text": "Aspirin"})
    for body in (request(hook="order-select"), request(aspirin)):
        cards = (await launcher.call(body))["cards"]
        assert "smart" not in {link["type"] for card in cards for link in card.get("links", [])}


async def test_it_can_be_switched_off_with_the_next_steps(launcher: Endpoint) -> None:
    body = request()
    body["extension"] = {"davinci-crd.configuration": {"claim": False}}
    (card,) = (await launcher.call(body))["cards"]
    assert card["links"][0]["type"] == "absolute"

"""Cards and actions: to whom they speak, of which orders, and what they never do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from service.app.parts import Rules
from service.fhir.canonical import HCPCS
from service.policy.case import Authorization, MemberId
from service.policy.dates import DatePeriod
from service.policy.model import INITIAL
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.test_statements_shape import EVERY, VERSIONS, told
from tests.unit.crd.world import (
    AuthorizingStore,
    Json,
    OneDrug,
    blocks,
    coverage,
    facts,
    medication_request,
    payer,
    policy,
    request,
    searchset,
)

Opened = Callable[..., Endpoint]
HELD = Authorization("A-77", "zorvex", MemberId("M-1"), DatePeriod(date(2026, 10, 1), date(2027, 9, 30)))
LATER = {"dispenseRequest": {"validityPeriod": {"start": "2027-10-20"}}}
ADDRESS = re.compile(r"https?:|www\.|\[[^\]]*\]\(", re.IGNORECASE)


@pytest.mark.requirement("dev-24")
@VERSIONS
async def test_of_two_orders_of_a_drug_each_card_says_which_it_means(opened: Opened, version: str) -> None:
    """One is authorized, the other is for a day after the authorization."""
    endpoint = opened(store=AuthorizingStore(HELD))
    answer = await endpoint.call(
        request(medication_request(), medication_request(id="mr2", **LATER), version=version)
    )
    held, needed, both = answer["cards"]
    assert "authorized until" in held["summary"]
    assert "This is about the medication order for 2026-12-04 (MedicationRequest/mr1)." in held["detail"]
    assert "This is about the medication order for 2027-10-20 (MedicationRequest/mr2)." in needed["detail"]
    assert "This is about" not in both["detail"]


@pytest.mark.requirement("dev-24")
async def test_a_card_about_every_order_need_not_say_which(endpoint: Endpoint) -> None:
    other = medication_request(id="mr2", medicationCodeableConcept={"text": "Aspirin"})
    for orders in ((medication_request(),), (medication_request(), medication_request(id="mr3"), other)):
        for card in (await endpoint.call(request(*orders)))["cards"]:
            assert "Zorvex (zorvexumab)" in card["detail"]
            assert "This is about" not in card["detail"]


@pytest.mark.requirement("resp-17", "resp-23", "resp-10")
@VERSIONS
@EVERY
async def test_no_card_sends_anybody_to_a_portal(opened: Opened, story: str, version: str) -> None:
    """The one place that a link leads to is the policy's text; what is to be done is told in words."""
    for card in (await told(opened, story, version))["cards"]:
        assert not ADDRESS.search(card["detail"] + card["summary"])
        for link in card.get("links", []):
            if link["type"] == "absolute":
                assert link["url"] == policy().source_url
            else:
                assert link["url"].endswith("/dtr/launch")


@pytest.mark.requirement("resp-59", "resp-69", "resp-48")
@VERSIONS
@EVERY
async def test_the_only_action_is_to_annotate_an_order(opened: Opened, story: str, version: str) -> None:
    """A form is opened by DTR, so no Task asks for one; a Coverage is never changed."""
    answer = await told(opened, story, version)
    for action in answer["systemActions"]:
        assert action["type"] == "update"
        assert action["resource"]["resourceType"] in {"MedicationRequest", "ServiceRequest"}
    suggested = [s for card in answer["cards"] for s in card.get("suggestions", [])]
    assert not any("actions" in suggestion for suggestion in suggested)


@pytest.mark.requirement("found-13")
async def test_an_order_without_a_policy_is_no_cards_business(endpoint: Endpoint) -> None:
    other = medication_request(id="mr2", medicationCodeableConcept={"text": "Aspirin"})
    answer = await endpoint.call(request(medication_request(), other, version="2.2"))
    assert len(answer["systemActions"]) == 2
    for card in answer["cards"]:
        assert card["extension"]["davinci-crd.associated-resource"] == [{"reference": "MedicationRequest/mr1"}]


@pytest.mark.requirement("resp-18", "resp-19", "resp-21")
async def test_a_link_leads_to_the_policy_of_the_order(opened: Opened) -> None:
    page = "https://payer.example.org/policies/other"
    answer = await opened(registry=OneDrug((policy(source_url=page),))).call(request())
    (reference,) = (card for card in answer["cards"] if "links" in card)
    assert [(link["type"], link["url"]) for link in reference["links"]] == [("absolute", page)]


@pytest.mark.requirement("resp-20")
@pytest.mark.parametrize("hook", ["order-select", "order-sign"])
async def test_the_reference_card_says_what_the_page_asks_for(opened: Opened, rules: Rules, hook: str) -> None:
    (loaded,) = (each for each in rules.registry.all() if each.policy.ref.id == "zelvorimab")
    criteria = [criterion.text for criterion in loaded.policy.pathways[INITIAL].criteria]
    drug = {"coding": [{"system": HCPCS, "code": "X0001"}]}
    body = request(medication_request(medicationCodeableConcept=drug), hook=hook)
    (card,) = (card for card in (await opened(registry=rules.registry).call(body))["cards"] if "links" in card)
    listed = [line.removeprefix("- ") for line in card["detail"].splitlines() if line.startswith("- ")]
    assert criteria
    assert listed == criteria


def kept(answer: Json) -> Json:
    order: Json = answer["systemActions"][0]["resource"]
    return order


def by_coverage(order: Json) -> dict[str, dict[str, list[Any]]]:
    found = [facts(block) for block in blocks(order)]
    return {told["coverage"][0]["reference"]: told for told in found}


@pytest.mark.requirement("resp-32")
@VERSIONS
async def test_an_authorization_stands_beside_one_coverage_only(opened: Opened, version: str) -> None:
    """The insurance is the same; its Coverage has another id at the second call."""
    endpoint = opened(store=AuthorizingStore(HELD))
    first = kept(await endpoint.call(request(version=version)))
    assert by_coverage(first)["Coverage/cov1"]["satisfied-pa-id"] == ["A-77"]
    renamed = {"coverage": searchset(coverage(id="cov2"), payer())}
    second = kept(await endpoint.call(request(first, version=version, prefetch=renamed)))
    assert list(by_coverage(second)) == ["Coverage/cov2"]
    assert by_coverage(second)["Coverage/cov2"]["satisfied-pa-id"] == ["A-77"]


@pytest.mark.requirement("resp-32", "resp-37")
async def test_what_another_payer_authorized_stays(opened: Opened) -> None:
    endpoint = opened(store=AuthorizingStore(HELD))
    theirs = json.loads(json.dumps(blocks(kept(await endpoint.call(request())))[0]))
    for part in theirs["extension"]:
        if part["url"] == "coverage":
            part["valueReference"] = {"reference": "Coverage/theirs"}
        elif part["url"] == "coverage-assertion-id":
            part["valueString"] = "theirs"
    order = kept(await endpoint.call(request(medication_request(id="mr9", extension=[theirs]))))
    assert set(by_coverage(order)) == {"Coverage/theirs", "Coverage/cov1"}


@pytest.mark.requirement("resp-6", "resp-8", "resp-9", "resp-1")
async def test_a_card_says_first_what_is_to_be_done_and_last_whom_to_ask(endpoint: Endpoint) -> None:
    steps, page = (await endpoint.call(request()))["cards"]
    assert steps["summary"] == "Zorvex (zorvexumab): complete the prior authorization form before treatment"
    first, *_, last = steps["detail"].split("\n\n")
    assert first.startswith("Zorvex (zorvexumab) needs prior authorization.")
    assert last.startswith("Questions: ")
    # Whoever reads it knows what the link is good for before following it.
    assert "lists the criteria" in page["detail"]
    assert {card["indicator"] for card in (steps, page)} == {"info"}


@pytest.mark.requirement("found-27", "found-28")
async def test_only_what_every_call_needs_is_prefetched(endpoint: Endpoint) -> None:
    """Clinical records matter to some drugs only, and are read by query."""
    services = (await endpoint.http.get("/cds-services")).json()["services"]
    asked = {template.partition("?")[0].partition("/")[0] for s in services for template in s["prefetch"].values()}
    orders = {"MedicationRequest", "ServiceRequest", "DeviceRequest", "NutritionOrder", "CommunicationRequest"}
    people = {"Patient", "Practitioner", "PractitionerRole", "Encounter"}
    assert asked == {"Coverage", "Medication", "VisionPrescription"} | orders | people


@pytest.mark.requirement("dev-9")
async def test_options_are_the_same_at_every_hook(endpoint: Endpoint) -> None:
    services = (await endpoint.http.get("/cds-services")).json()["services"]
    options = [service["extension"]["davinci-crd.configuration-options"] for service in services]
    assert len(options) == 6
    assert all(each == options[0] for each in options)


@pytest.mark.requirement("found-40")
async def test_nothing_is_sent_for_looks(endpoint: Endpoint) -> None:
    response = await endpoint.post(request())
    assert response.content == json.dumps(response.json(), separators=(",", ":"), ensure_ascii=False).encode()

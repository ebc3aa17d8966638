"""Answers in the shapes that the guides' own definitions give: hook responses, cards and coverage-information."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import date
from typing import Any, Final

import pytest

from service.policy.case import Authorization, MemberId
from service.policy.dates import DatePeriod
from service.settings import Settings
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.guide_shapes import card_types, extension_faults, model_faults
from tests.unit.crd.test_other_hooks import appointment, booked, dispatched
from tests.unit.crd.test_smart_card import launching
from tests.unit.crd.world import (
    AuthorizingStore,
    Json,
    blocks,
    coverage,
    facts,
    medication_request,
    payer,
    request,
    searchset,
    service_request,
)

Opened = Callable[..., Endpoint]
Guide = Callable[[str], dict[str, Any]]
VERSIONS = pytest.mark.parametrize("version", ["2.0", "2.2"])
PACKAGES: Final = {"2.0": "crd-2.0.1", "2.2": "crd-2.2.1"}
MODEL: Final = "StructureDefinition-CRDHooksResponse"
HELD: Final = Authorization("A-77", "zorvex", MemberId("M-1"), DatePeriod(date(2026, 10, 1), date(2027, 9, 30)))
UNNAMED: Final = medication_request(
    medicationCodeableConcept=None, medicationReference={"reference": "Medication/m1"}
)
ENDED: Final = {"coverage": searchset(coverage(period={"end": "2026-11-30"}), payer())}
# What stands behind the endpoint -> the calls that it is given.
STORIES: Final[dict[str, tuple[Json, Json]]] = {
    "a form is needed": ({}, request()),
    "two orders of the drug": ({}, request(medication_request(), service_request())),
    "authorized": ({"store": AuthorizingStore(HELD)}, request()),
    "another drug": ({}, request(medication_request(medicationCodeableConcept={"text": "Aspirin"}))),
    "no drug": ({}, request(UNNAMED)),
    "coverage ended": ({}, request(prefetch=ENDED)),
    "no members": ({"settings": Settings()}, request()),
    "selected": ({}, request(hook="order-select")),
    "dispatched": ({}, dispatched()),
    "booked": ({}, booked(appointment(), serviceRequests=searchset(service_request()))),
    "an app to launch": ({"access": launching}, request()),
}
EVERY = pytest.mark.parametrize("story", STORIES)


async def told(opened: Opened, story: str, version: str) -> Json:
    behind, body = STORIES[story]
    call = {**copy.deepcopy(body), "extension": {"davinci-crd.requestedVersion": version}}
    answer: Json = await opened(**behind).call(call)
    return answer


@pytest.mark.requirement("resp-13", "resp-52", "resp-14")
@EVERY
async def test_every_answer_fits_the_hooks_response(opened: Opened, guide: Guide, story: str) -> None:
    package, answer = guide("crd-2.2.1"), await told(opened, story, "2.2")
    assert model_faults(package[f"{MODEL}Base.json"], answer) == []
    assert answer["systemActions"]
    assert model_faults(package[f"{MODEL}-coverageInformation.json"], answer) == []
    assert all(blocks(action["resource"]) for action in answer["systemActions"])


def kind_of(card: Json) -> str:
    kinds = {link["type"] for link in card.get("links", [])}
    return {"smart": "launchSMART", "absolute": "externalReference"}[kinds.pop()] if kinds else "instructions"


@pytest.mark.requirement("resp-22", "resp-24", "resp-72", "resp-3")
@EVERY
async def test_every_card_fits_the_model_of_its_kind(opened: Opened, guide: Guide, story: str) -> None:
    package, answer = guide("crd-2.2.1"), await told(opened, story, "2.2")
    for card in answer["cards"]:
        assert model_faults(package[f"{MODEL}-{kind_of(card)}.json"], {"cards": [card]}) == []
        assert all(suggestion["uuid"] for suggestion in card.get("suggestions", []))


@pytest.mark.requirement("resp-22", "resp-24", "resp-72", "resp-3", "resp-15")
async def test_the_stories_show_every_kind_of_card(opened: Opened) -> None:
    cards = (await told(opened, "an app to launch", "2.2"))["cards"]
    assert {kind_of(card) for card in cards} == {"instructions", "externalReference", "launchSMART"}
    (launch,) = (card for card in cards if kind_of(card) == "launchSMART")
    uuids = [launch["uuid"], *(suggestion["uuid"] for suggestion in launch["suggestions"])]
    assert len(set(uuids)) == 2
    older = (await told(opened, "an app to launch", "2.0"))["cards"]
    assert not any("suggestions" in card for card in older)


@pytest.mark.requirement("conf-13", "resp-47", "resp-52")
@VERSIONS
@EVERY
async def test_coverage_information_is_what_the_guide_defines(
    opened: Opened, guide: Guide, story: str, version: str
) -> None:
    package, answer = guide(PACKAGES[version]), await told(opened, story, version)
    for action in answer["systemActions"]:
        (block,) = blocks(action["resource"])
        assert extension_faults(package, block) == []


@pytest.mark.requirement("conf-5")
async def test_what_must_be_supported_is_said_where_there_is_something_to_say(opened: Opened, guide: Guide) -> None:
    definition = guide("crd-2.2.1")["StructureDefinition-ext-coverage-information.json"]
    supported = {
        element["sliceName"]
        for element in definition["snapshot"]["element"]
        if element.get("mustSupport") and element["id"].count(":") == 1
    }
    said: dict[str, set[str]] = {}
    for story in STORIES:
        for action in (await told(opened, story, "2.2"))["systemActions"]:
            said.setdefault(story, set()).update(facts(blocks(action["resource"])[0]))
    # No answer of ours depends on another order.
    assert supported - set().union(*said.values()) == {"dependency"}
    asked = {"coverage", "covered", "pa-needed", "doc-needed", "doc-purpose", "billingCode", "reason", "detail"}
    always = {"date", "coverage-assertion-id", "expiry-date"}
    assert asked | always | {"questionnaire"} <= said["a form is needed"]
    assert {"satisfied-pa-id", "billingCode", "detail", "questionnaire"} | always <= said["authorized"]
    assert {"info-needed", "reason", "contact", "detail"} | always <= said["another drug"]
    assert {"reason"} | always <= said["coverage ended"]
    assert {"reason", "contact"} | always <= said["no members"]


@pytest.mark.requirement("dev-7", "resp-5")
async def test_kinds_of_cards_have_the_guides_names(endpoint: Endpoint, guide: Guide) -> None:
    known = card_types(guide("crd-2.0.1"))
    for service in (await endpoint.http.get("/cds-services")).json()["services"]:
        options = service["extension"]["davinci-crd.configuration-options"]
        assert {option["code"] for option in options if option["type"] == "boolean"} <= known
        assert all(option["code"].replace("-", "").isalpha() for option in options)
    cards = (await endpoint.call(request()))["cards"]
    assert {card["source"]["topic"]["code"] for card in cards} <= known


@pytest.mark.requirement("resp-25", "resp-48")
@VERSIONS
async def test_coverage_information_is_never_a_card(endpoint: Endpoint, version: str) -> None:
    answer = await endpoint.call(request(version=version))
    assert [action["type"] for action in answer["systemActions"]] == ["update"]
    assert "coverage-info" not in {card["source"]["topic"]["code"] for card in answer["cards"]}
    # With system actions switched off there are still no cards that say the same.
    body = request(version=version)
    body["extension"] = {
        "davinci-crd.requestedVersion": version,
        "davinci-crd.configuration": {"coverage-info": False},
    }
    quiet = await endpoint.call(body)
    assert [card["summary"] for card in quiet["cards"]] == [card["summary"] for card in answer["cards"]]

"""What CRD 2.0.1 asks otherwise than the newest version (conformance/statements/crd-2.0.1.toml), through HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from service.crd.coverage_information import Contact, Covered, DocNeeded, PaNeeded
from service.crd.extension import to_extension_201
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.test_coverage_information import every_combination, made
from tests.unit.crd.test_other_hooks import dispatched, hook_request
from tests.unit.crd.world import (
    Json,
    coverage,
    facts,
    medication_request,
    payer,
    request,
    said,
    searchset,
)

Opened = Callable[..., Endpoint]
TEMP = "http://hl7.org/fhir/us/davinci-crd/CodeSystem/temp"
UNKNOWN_DRUG = medication_request(medicationCodeableConcept={"text": "something else"})


async def told(endpoint: Endpoint, order: Json | None = None, **changes: Any) -> dict[str, list[Any]]:
    return said(await endpoint.call(request(order or medication_request(), version="2.0", **changes)))


@pytest.mark.requirement("CRD 2.0.1 coverage-info-no-expiry")
async def test_an_answer_has_no_day_of_expiry(endpoint: Endpoint) -> None:
    assert "expiry-date" not in await told(endpoint)
    assert "expiry-date" in said(await endpoint.call(request(version="2.2")))


@pytest.mark.requirement("CRD 2.0.1 coverage-info-one-doc-needed", "CRD 2.0.1 coverage-info-contact-point")
def test_both_kinds_of_papers_are_one_word_and_a_contact_is_a_number() -> None:
    both = frozenset({DocNeeded.CLINICAL, DocNeeded.ADMIN})
    one = made(Covered.COVERED, PaNeeded.AUTH_NEEDED, doc_needed=both, contact=Contact("Plan", "555"))
    block = to_extension_201(one)
    assert facts(block)["doc-needed"] == ["both"]
    [contact] = [part for part in block["extension"] if part["url"] == "contact"]
    assert contact["valueContactPoint"] == {"system": "phone", "value": "555"}


@pytest.mark.requirement(
    "CRD 2.0.1 coverage-info-no-indeterminate",
    "CRD 2.0.1 coverage-info-pa-needed",
    "CRD 2.0.1 coverage-info-info-needed",
    "CRD 2.0.1 coverage-info-own-reasons",
)
def test_every_answer_that_can_be_made_keeps_its_levels_and_reasons() -> None:
    seen = 0
    for information in every_combination():
        block = facts(to_extension_201(information))
        levels = [level for name in ("covered", "pa-needed", "doc-needed") for level in block.get(name, ())]
        assert "indeterminate" not in levels
        assert ("pa-needed" in block) is (block["covered"] != ["not-covered"])
        assert "info-needed" not in block or "conditional" in levels
        for reason in block.get("reason", ()):
            assert reason["text"]
            codes = {coding["code"] for coding in reason.get("coding", ())}
            assert codes <= {"gold-card", "detail-code"}
        seen += 1
    assert seen > 1000


@pytest.mark.requirement("CRD 2.0.1 coverage-info-no-indeterminate")
async def test_what_cannot_be_told_is_conditional(endpoint: Endpoint) -> None:
    answer = await told(endpoint, UNKNOWN_DRUG)
    assert (answer["covered"], answer["info-needed"]) == (["conditional"], ["OTH"])


@pytest.mark.requirement("CRD 2.0.1 coverage-info-no-detail-category")
async def test_no_detail_of_the_newest_version_is_sent(endpoint: Endpoint) -> None:
    assert "detail" not in await told(endpoint)
    for information in every_combination():
        for detail in facts(to_extension_201(information)).get("detail", ()):
            assert {part["url"] for part in detail} == {"code", "value"}


@pytest.mark.requirement("CRD 2.0.1 coverage-info-one-assertion-id")
async def test_one_order_under_one_coverage_has_one_id_at_every_hook(endpoint: Endpoint) -> None:
    ids = {
        (await told(endpoint, hook=hook))["coverage-assertion-id"][0]
        for hook in ("order-select", "order-sign", "order-sign")
    }
    assert len(ids) == 1


@pytest.mark.requirement("CRD 2.0.1 coverage-info-no-vision")
async def test_an_order_of_glasses_is_given_no_answer(endpoint: Endpoint) -> None:
    glasses = {
        "resourceType": "VisionPrescription",
        "id": "vp1",
        "status": "draft",
        "created": "2026-12-01",
        "patient": {"reference": "Patient/p1"},
        "dateWritten": "2026-12-01",
        "prescriber": {"reference": "Practitioner/d1"},
        "lensSpecification": [{"product": {"text": "lens"}, "eye": "left"}],
    }
    older = await endpoint.call(request(glasses, version="2.0"))
    assert older["systemActions"] == []
    newest = await endpoint.call(request(glasses, version="2.2"))
    assert [action["resource"]["id"] for action in newest["systemActions"]] == ["vp1"]


@pytest.mark.requirement("CRD 2.0.1 primary-hooks-system-actions")
async def test_nothing_new_is_an_empty_list_and_no_absent_key(endpoint: Endpoint) -> None:
    order = (await endpoint.call(request(version="2.0")))["systemActions"][0]["resource"]
    assert (await endpoint.call(request(order, version="2.0")))["systemActions"] == []


@pytest.mark.requirement("CRD 2.0.1 order-select-no-documentation")
async def test_order_select_asks_for_no_papers(endpoint: Endpoint) -> None:
    answer = await told(endpoint, hook="order-select")
    assert answer["pa-needed"] == ["auth-needed"]
    assert not {"doc-needed", "doc-purpose", "questionnaire"} & set(answer)


@pytest.mark.requirement(
    "CRD 2.0.1 card-topic-temp",
    "CRD 2.0.1 card-associated-resource-strings",
    "CRD 2.0.1 card-external-reference",
    "CRD 2.0.1 card-instructions",
)
async def test_cards_are_written_as_the_older_guide_has_them(endpoint: Endpoint) -> None:
    cards = (await endpoint.call(request(version="2.0")))["cards"]
    assert {card["source"]["topic"]["system"] for card in cards} == {TEMP}
    for card in cards:
        assert card["extension"]["davinci-crd.associated-resource"] == ["MedicationRequest/mr1"]
    linked = [{link["type"] for link in card["links"]} for card in cards if "links" in card]
    assert linked == [{"absolute"}]
    [plain] = [card for card in cards if not {"links", "suggestions"} & set(card)]
    assert plain["detail"]


@pytest.mark.requirement("CRD 2.0.1 prefetch-only-what-is-always-needed")
async def test_no_service_has_a_drugs_records_sent_along(endpoint: Endpoint) -> None:
    services = (await endpoint.http.get("/cds-services")).json()["services"]
    queries = [query for service in services for query in service["prefetch"].values()]
    assert queries
    kinds = {query.partition("?")[0].partition("/")[0] for query in queries}
    assert not kinds & {"Condition", "Observation", "MedicationAdministration", "MedicationStatement", "Procedure"}


@pytest.mark.requirement("CRD 2.0.1 dispatch-order-and-task")
async def test_the_hook_of_2023_names_one_order_and_its_task(endpoint: Endpoint) -> None:
    order = medication_request(status="active")
    task = {"resourceType": "Task", "status": "requested", "intent": "order"}
    context = {"order": "MedicationRequest/mr1", "performer": "Organization/o1", "task": task}
    body = hook_request("order-dispatch", context, version="2.0", medicationRequests=searchset(order))
    assert said(await endpoint.call(body)) == said(
        await endpoint.call({**dispatched(), "extension": {"davinci-crd.requestedVersion": "2.0"}})
    )


@pytest.mark.requirement("CRD 2.0.1 errors-operation-outcome")
async def test_a_refusal_says_what_is_wrong_and_where(endpoint: Endpoint) -> None:
    body = request(version="2.0")
    body["prefetch"]["coverage"] = searchset(coverage(), payer("ANOTHER"))
    response = await endpoint.post(body)
    assert 400 <= response.status_code < 500
    [issue] = response.json()["issue"]
    assert issue["diagnostics"]

"""What PAS 2.0.1 asks otherwise than the newest version (conformance/statements/pas-2.0.1.toml)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from service.pas.codes import load_codes
from service.pas.response import claim_response
from service.pas.routes import SHAPES
from service.pas.shape import Rendering, Version
from service.policy.case import CaseId
from service.policy.decision import Outcome
from tests.unit.pas import bundles as b
from tests.unit.pas import changes
from tests.unit.pas.notified import Notified, subscription
from tests.unit.pas.payer import PAS, Payer, code_of, extension_of, response_of
from tests.unit.pas.stories import STORIES
from tests.unit.pas.subscriber import Subscriber
from tests.unit.pas.test_information import inputs, kinds
from tests.unit.pas.test_inquire import found, inquiry, line
from tests.unit.pas.test_notify import event_of
from tests.unit.pas.test_response import by_person

Json = dict[str, Any]
OLD: Final[Version] = "2.0.1"
UNANSWERED: Final = {b.RESPONSE: b.response({})}


@pytest.mark.requirement("PAS 2.0.1 inquire-one-bundle")
async def test_two_authorizations_come_in_one_bundle(payer: Payer) -> None:
    await payer.submit(b.bundle(), OLD)
    await payer.submit(b.bundle(UNANSWERED), OLD)
    answer = await payer.inquire(inquiry(line()), OLD)
    assert answer["resourceType"] == "Bundle"
    assert len(found(answer)) == 2


@pytest.mark.requirement("PAS 2.0.1 inquire-nothing-found")
async def test_nothing_found_is_said(payer: Payer) -> None:
    [entry] = (await payer.inquire(inquiry(line()), OLD))["entry"]
    assert entry["resource"]["resourceType"] == "OperationOutcome"
    assert entry["resource"]["issue"]


@pytest.mark.requirement("PAS 2.0.1 inquire-claim-identifier")
async def test_a_claims_identifier_finds_that_claim(payer: Payer) -> None:
    first = response_of(await payer.submit(b.bundle(), OLD))
    other = b.claim(identifier=[{"system": "urn:trnorg:1245319599", "value": "SECOND"}])
    await payer.submit(b.bundle({b.CLAIM: other}), OLD)
    asked = inquiry(line(), identifier=b.claim()["identifier"])
    assert [one["id"] for one in found(await payer.inquire(asked, OLD))] == [first["id"]]


@pytest.mark.requirement("PAS 2.0.1 pended-queued")
async def test_what_waits_is_queued(payer: Payer) -> None:
    response = response_of(await payer.submit(b.bundle(UNANSWERED), OLD))
    assert (response["outcome"], code_of(response["item"][0])) == ("queued", "A4")


@pytest.mark.requirement("PAS 2.0.1 error-element-string")
async def test_the_faulty_element_is_a_string(payer: Payer) -> None:
    response = response_of(await payer.submit(STORIES["error-wrong-payer"](), OLD))
    element = extension_of(response["error"][0], "errorElement")
    assert element is not None
    assert element["valueString"]
    assert "extension" not in element


@pytest.mark.requirement("PAS 2.0.1 provider-type-short-url")
async def test_the_kind_of_provider_has_a_short_url(payer: Payer) -> None:
    payer.dependencies = replace(payer.dependencies, codes=replace(load_codes(), authorized_provider="P3"))
    provider = extension_of(response_of(await payer.submit(b.bundle(), OLD))["item"][0], "itemAuthorizedProvider")
    assert provider is not None
    assert [part["url"] for part in provider["extension"]] == ["provider", "providerType"]


@pytest.mark.requirement("PAS 2.0.1 revenue-short-url")
async def test_a_revenue_code_has_a_short_url(payer: Payer) -> None:
    revenue = b.coded("https://www.nubc.org/revenue-code", "0636")
    asked = b.bundle({b.CLAIM: b.claim(b.item(revenue=revenue))})
    detail = extension_of(response_of(await payer.submit(asked, OLD))["item"][0], "itemAuthorizedDetail")
    assert detail is not None
    assert {"url": "revenue", "valueCodeableConcept": revenue} in detail["extension"]


@pytest.mark.requirement("PAS 2.0.1 no-add-item", "PAS 2.0.1 no-reviewer")
async def test_less_than_was_asked_for_is_told_on_the_item_and_by_nobody(payer: Payer) -> None:
    case, received = await by_person(payer, Outcome.MODIFIED)
    response = claim_response(case, received, Rendering(payer.settings, load_codes(), SHAPES[OLD]), "urn:profile")
    assert not {"addItem", "adjudication"} & set(response)
    assert code_of(response["item"][0]) == "A6"
    assert extension_of(response["item"][0], "itemAuthorizedDetail") is not None
    assert extension_of(response, "claimResponseReviewer") is None


@pytest.mark.requirement("PAS 2.0.1 no-transmission-identifiers")
async def test_identifiers_of_a_transmission_are_not_sent_back(payer: Payer) -> None:
    request = STORIES["approved-rich"]()
    assert extension_of(request["entry"][0]["resource"], "TransmissionIdentifiers") is not None
    assert extension_of(response_of(await payer.submit(request, OLD)), "TransmissionIdentifiers") is None


@pytest.mark.requirement(
    "PAS 2.0.1 line-on-payload", "PAS 2.0.1 task-line-number", "PAS 2.0.1 task-questionnaires-needed"
)
async def test_what_is_asked_for_names_its_line_in_the_older_places(payer: Payer) -> None:
    answer = await payer.submit(b.bundle(UNANSWERED), OLD)
    [request], [task] = kinds(answer, "CommunicationRequest"), kinds(answer, "Task")
    [payload] = request["payload"]
    assert {"url": PAS + "serviceLineNumber", "valuePositiveInt": 1} in payload["extension"]
    assert "extension" not in request
    needed = [one for one in inputs(task) if one[0] == "questionnaires-needed"]
    trace = {"system": "urn:trnorg:1245319599", "value": "LINE-1"}
    assert needed == [("questionnaires-needed", trace, [{"url": PAS + "paLineNumber", "valueInteger": 1}])]


@pytest.mark.requirement("PAS 2.0.1 update-without-prior")
async def test_an_update_may_come_alone(payer: Payer) -> None:
    first = response_of(await payer.submit(changes.first(), OLD))
    related = [{"claim": b.refer(b.CLAIM), "relationship": {"text": "replaces"}}]
    identifier = [{"system": "urn:trnorg:1245319599", "value": "TRN-2"}]
    update = b.bundle({b.CLAIM: b.claim(related=related, identifier=identifier)})
    update["entry"][0]["fullUrl"] = changes.claim_url(2)
    assert [one["resource"]["resourceType"] for one in update["entry"]].count("Claim") == 1
    second = response_of(await payer.submit(update, OLD))
    assert code_of(second["item"][0]) == "A1"
    newest, oldest = await payer.cases()
    assert (newest.id, newest.replaces, oldest.replaced_by) == (second["id"], first["id"], second["id"])


@pytest.mark.requirement("PAS 2.0.1 certification-type-optional", "PAS 2.0.1 location-optional")
@pytest.mark.parametrize("left_out", ["certificationType", "locationCodeableConcept"])
async def test_a_line_may_leave_out_what_only_the_newest_makes_mandatory(payer: Payer, left_out: str) -> None:
    bare = {name: value for name, value in b.item().items() if name != left_out}
    bare["extension"] = [one for one in bare["extension"] if one["url"] != PAS + left_out]
    assert bare != b.item()
    response = response_of(await payer.submit(b.bundle({b.CLAIM: b.claim(bare)}), OLD))
    assert code_of(response["item"][0]) == "A1"


@pytest.mark.requirement("PAS 2.0.1 subscription-id-only", "PAS 2.0.1 subscription-filter-identifier")
@pytest.mark.parametrize("name", ["identifier", "orgIdentifier"])
async def test_a_subscriber_is_told_an_address_alone(notified: Notified, subscriber: Subscriber, name: str) -> None:
    await notified.subscribe(subscription(subscriber.url, OLD, f"{name}=1245319599"), OLD)
    await notified.tell()
    case = CaseId(response_of(await notified.payer.submit(b.bundle(UNANSWERED), OLD))["id"])
    await notified.changed(case, "event-a")
    await notified.tell()
    assert subscriber.kinds == ["handshake", "event-notification"]
    bundle = subscriber.received[-1][1]
    [told] = bundle["entry"][1:]
    assert told["fullUrl"] == event_of(bundle)["focus"]["reference"]
    assert told["fullUrl"].endswith(f"/2.0.1/fhir/ClaimResponse/{case}")
    assert "resource" not in told

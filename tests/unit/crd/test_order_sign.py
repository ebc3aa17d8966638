"""Order-sign and order-select: what an order of the drug is told, in both versions."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.app.parts import Rules
from service.fhir.canonical import CRD_BILLING_OPTIONS, CRD_COVERAGE_INFORMATION, HCPCS, NDC, RXNORM
from service.policy.case import Authorization, ClientId, MemberId
from service.policy.dates import DatePeriod
from service.ports import Caller
from service.settings import Settings
from service.store.sql import open_store
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.test_coverage_information import holds_201, holds_221
from tests.unit.crd.world import (
    INITIAL_FORM,
    RENEWAL_FORM,
    TODAY,
    AuthorizingStore,
    Json,
    OneDrug,
    blocks,
    coverage,
    facts,
    medication_request,
    patient,
    payer,
    policy,
    request,
    said,
    searchset,
    service_request,
)

Opened = Callable[..., Endpoint]
VERSIONS = pytest.mark.parametrize("version", ["2.0", "2.2"])


def rxnorm(text: str) -> Json:
    return {"coding": [{"system": RXNORM, "code": "1", "display": text}]}


@VERSIONS
@pytest.mark.parametrize("order", [medication_request(), service_request()], ids=["medication", "service"])
@pytest.mark.requirement("hook-16", "resp-14", "resp-26", "resp-30", "resp-38", "dev-15", "impl-5")
async def test_the_drug_needs_authorization_and_a_form(endpoint: Endpoint, version: str, order: Json) -> None:
    response = await endpoint.call(request(order, version=version))
    told = said(response)
    assert told["coverage"] == [{"reference": "Coverage/cov1"}]
    assert told["covered"] == ["covered"]
    assert told["pa-needed"] == ["auth-needed"]
    assert told["doc-needed"] == ["clinical"]
    assert told["doc-purpose"] == ["withpa"]
    assert told["billingCode"] == [{"system": HCPCS, "code": "J0000"}]
    assert told["questionnaire"] == [f"{INITIAL_FORM}|1.0.0"]
    assert told["date"] == ["2026-12-01"]
    assert "9.99.999" in told["reason"][0]["text"]
    assert "satisfied-pa-id" not in told
    assert "info-needed" not in told
    assert "response" not in told
    assert ("expiry-date" in told) is (version == "2.2")


async def test_only_the_newer_shape_has_details_of_its_own(endpoint: Endpoint) -> None:
    assert "detail" not in said(await endpoint.call(request(version="2.0")))
    (detail,) = said(await endpoint.call(request(version="2.2")))["detail"]
    assert {part["url"] for part in detail} == {"category", "code", "value"}
    assert detail[2]["valueUrl"] == "https://payer.example.org/policies/9.99.999"


@VERSIONS
@pytest.mark.requirement("resp-37", "resp-48")
async def test_the_order_comes_back_untouched(endpoint: Endpoint, version: str) -> None:
    other = {"url": "https://ehr.example.org/note", "valueString": "keep"}
    order = medication_request(
        extension=[other],
        _authoredOn={"extension": [{"url": "https://ehr.example.org/x", "valueString": "y"}]},
        note=[{"text": "ünïcode"}],
    )
    (action,) = (await endpoint.call(request(order, version=version)))["systemActions"]
    assert action["type"] == "update"
    assert action["description"] == "Added coverage information to MedicationRequest/mr1"
    resource = action["resource"]
    resource["extension"] = [e for e in resource["extension"] if e["url"] != CRD_COVERAGE_INFORMATION]
    assert resource == order


@pytest.mark.requirement("resp-37")
async def test_digits_come_back_as_written(endpoint: Endpoint) -> None:
    order = medication_request(dispenseRequest={"quantity": {"value": "@@"}})
    body = endpoint.http.build_request("POST", "/cds-services/order-sign-crd", json=request(order)).content
    response = await endpoint.http.post("/cds-services/order-sign-crd", content=body.replace(b'"@@"', b"72.50"))
    assert b'"value":72.50}' in response.content


@VERSIONS
@pytest.mark.requirement("hook-19", "hook-39", "resp-27", "resp-28", "ops-1")
async def test_order_select_asks_for_no_documentation(endpoint: Endpoint, version: str) -> None:
    told = said(await endpoint.call(request(hook="order-select", version=version)))
    assert (told["covered"], told["pa-needed"]) == (["covered"], ["auth-needed"])
    assert not {"doc-needed", "doc-purpose", "questionnaire"} & set(told)


@pytest.mark.requirement("hook-34")
async def test_order_select_speaks_of_the_selected_only(endpoint: Endpoint) -> None:
    body = request(medication_request(), service_request(), hook="order-select")
    body["context"]["selections"] = ["ServiceRequest/sr1", "MedicationRequest/unknown"]
    (action,) = (await endpoint.call(body))["systemActions"]
    assert action["resource"]["id"] == "sr1"


@pytest.mark.requirement("resp-29", "hook-16")
async def test_every_order_gets_its_own_action(endpoint: Endpoint) -> None:
    other = medication_request(id="mr2", medicationCodeableConcept=rxnorm("Aspirin 81 MG"))
    device = {
        "resourceType": "DeviceRequest",
        "id": "dr1",
        "intent": "order",
        "codeCodeableConcept": {"text": "zorvex"},
        "subject": {"reference": "Patient/p1"},
    }
    response = await endpoint.call(request(medication_request(), other, device))
    assert [a["resource"]["id"] for a in response["systemActions"]] == ["mr1", "mr2", "dr1"]
    assert [said(response, n)["covered"] for n in range(3)] == [["covered"], ["conditional"], ["conditional"]]
    ids = [said(response, n)["coverage-assertion-id"][0] for n in range(3)]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    "concept",
    [
        {"coding": [{"system": "urn:oid:2.16.840.1.113883.6.285", "code": "J0000"}]},
        {"coding": [{"system": "https://bluebutton.cms.gov/resources/codesystem/hcpcs", "code": "j0000"}]},
        {"coding": [{"system": NDC, "code": "99999-0000-01"}]},
        {"coding": [{"system": NDC, "code": "99999000001"}]},
        {"text": "Zorvexumab 10 mg injection"},
        {**rxnorm("unknown"), "extension": [{"url": CRD_BILLING_OPTIONS, "valueCodeableConcept": {
            "coding": [{"system": HCPCS, "code": "J0000"}]}}]},
    ],
)  # fmt: skip
@pytest.mark.requirement("billopt-2", "billopt-3", "found-10", "resp-51")
async def test_the_drug_is_known_by_any_of_its_names(endpoint: Endpoint, concept: Json) -> None:
    for order in (medication_request(medicationCodeableConcept=concept), service_request(code=concept)):
        assert said(await endpoint.call(request(order)))["pa-needed"] == ["auth-needed"]


@pytest.mark.requirement("resp-51")
async def test_what_a_medication_that_was_not_sent_is_called_says_what_it_is(endpoint: Endpoint) -> None:
    named = {"reference": "Medication/m1", "display": "Zorvex 10 mg"}
    order = medication_request(medicationCodeableConcept=None, medicationReference=named)
    assert said(await endpoint.call(request(order)))["pa-needed"] == ["auth-needed"]


async def test_another_billing_code_is_another_drug(endpoint: Endpoint) -> None:
    concept = {"coding": [{"system": HCPCS, "code": "J0001", "display": "not Zorvex"}]}
    told = said(await endpoint.call(request(medication_request(medicationCodeableConcept=concept))))
    assert told["covered"] == ["conditional"]


MEDICATION: Json = {"resourceType": "Medication", "id": "m1", "code": {"text": "Zorvex"}}


@pytest.mark.parametrize("reference", ["Medication/m1", "https://ehr.example.org/fhir/Medication/m1"])
@pytest.mark.parametrize("key", ["medications", "medication", "drug"])
@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.requirement("found-24", "conf-4")
async def test_a_prefetched_medication_is_read(endpoint: Endpoint, reference: str, key: str, bare: bool) -> None:
    order = medication_request(medicationCodeableConcept=None, medicationReference={"reference": reference})
    body = request(order)
    body["prefetch"][key] = MEDICATION if bare else searchset(MEDICATION)
    assert said(await endpoint.call(body))["pa-needed"] == ["auth-needed"]


async def test_a_contained_medication_is_read(endpoint: Endpoint) -> None:
    order = medication_request(
        medicationCodeableConcept=None, medicationReference={"reference": "#m1"}, contained=[MEDICATION]
    )
    assert said(await endpoint.call(request(order)))["pa-needed"] == ["auth-needed"]


@pytest.mark.requirement("hook-16", "found-32", "found-34")
async def test_a_medication_that_did_not_come_leaves_the_answer_open(endpoint: Endpoint) -> None:
    order = medication_request(medicationCodeableConcept=None, medicationReference={"reference": "Medication/m1"})
    old = said(await endpoint.call(request(order, version="2.0")))
    assert (old["covered"], old["pa-needed"], old["info-needed"]) == (["conditional"], ["conditional"], ["OTH"])
    assert old["reason"][0]["coding"][0]["code"] == "detail-code"
    new = said(await endpoint.call(request(order, version="2.2")))
    assert new["info-needed"] == ["detail-code"]
    assert "coding" not in new["reason"][0]


@pytest.mark.requirement("found-34")
async def test_a_bad_medication_is_missing_evidence_and_no_failure(endpoint: Endpoint) -> None:
    order = medication_request(medicationCodeableConcept=None, medicationReference={"reference": "Medication/m1"})
    body = request(order)
    body["prefetch"]["medications"] = searchset({"resourceType": "Medication", "id": "m1", "code": "Zorvex"})
    body["prefetch"]["odd"] = "text"
    body["prefetch"]["empty"] = None
    told = said(await endpoint.call(body))
    assert told["covered"] == ["conditional"]
    assert "could not be read" in told["reason"][0]["text"]


async def test_an_unclear_medication_is_not_guessed(endpoint: Endpoint) -> None:
    order = medication_request(medicationCodeableConcept=None, medicationReference={"reference": "Medication/m1"})
    body = request(order)
    body["prefetch"]["medications"] = searchset(MEDICATION, {**MEDICATION, "code": {"text": "Aspirin"}})
    assert said(await endpoint.call(body))["covered"] == ["conditional"]


# --- authorizations on file -------------------------------------------------------------------------------------
def held(start: date, end: date) -> AuthorizingStore:
    return AuthorizingStore(Authorization("A-77", "zorvex", MemberId("M-1"), DatePeriod(start, end)))


START = date(2026, 12, 4)


@VERSIONS
@pytest.mark.parametrize(("days", "needed"), [(0, "clinical"), (90, "clinical"), (91, "conditional")])
@pytest.mark.requirement("resp-30")
async def test_an_authorization_for_the_start_satisfies_and_offers_its_renewal(
    opened: Opened, version: str, days: int, needed: str
) -> None:
    end = START + timedelta(days=days)
    told = said(await opened(store=held(date(2026, 10, 1), end)).call(request(version=version)))
    assert (told["covered"], told["pa-needed"], told["satisfied-pa-id"]) == (["covered"], ["satisfied"], ["A-77"])
    assert told["questionnaire"] == [f"{RENEWAL_FORM}|1.0.0"]
    assert told["doc-needed"] == [needed]
    assert told.get("info-needed", []) == (["timeframe"] if needed == "conditional" else [])
    assert "doc-purpose" not in told
    assert told["reason"][0]["text"] == (
        f"Authorized until {end.isoformat()} under number A-77; to continue after that, send the renewal form."
    )
    assert any("allowed-period" in str(detail) for detail in told["detail"])
    assert (holds_221 if version == "2.2" else holds_201)(told)


@VERSIONS
@pytest.mark.parametrize("days", [10, 60])
async def test_a_policy_without_renewals_is_continued_with_the_initial_form(
    opened: Opened, rules: Rules, version: str, days: int
) -> None:
    """The second policy renews nothing: what is offered and what is said are the same form."""
    end = START + timedelta(days=days)
    store = AuthorizingStore(Authorization("A-7", "zelvorimab", MemberId("M-1"), DatePeriod(date(2026, 10, 1), end)))
    drug = {"coding": [{"system": HCPCS, "code": "X0001"}]}
    body = request(medication_request(medicationCodeableConcept=drug), version=version)
    told = said(await opened(store=store, registry=rules.registry).call(body))
    assert (told["pa-needed"], told["satisfied-pa-id"]) == (["satisfied"], ["A-7"])
    assert told["questionnaire"] == ["https://second.example.org/fhir/Questionnaire/zelvora-initial|3.0.0"]
    assert told["reason"][0]["text"] == (
        f"Authorized until {end.isoformat()} under number A-7; to continue after that, send the initial form again."
    )


@VERSIONS
async def test_order_select_tells_of_an_authorization_and_asks_for_nothing(opened: Opened, version: str) -> None:
    store = held(date(2026, 10, 1), START + timedelta(days=200))
    told = said(await opened(store=store).call(request(hook="order-select", version=version)))
    assert (told["pa-needed"], told["satisfied-pa-id"]) == (["satisfied"], ["A-77"])
    assert not {"doc-needed", "doc-purpose", "questionnaire", "info-needed"} & set(told)


async def test_of_two_authorizations_the_longer_one_counts(opened: Opened) -> None:
    short = Authorization("A-1", "zorvex", MemberId("M-1"), DatePeriod(START, START))
    long = Authorization("A-2", "zorvex", MemberId("M-1"), DatePeriod(START, START + timedelta(days=9)))
    for both in ((short, long), (long, short)):
        assert said(await opened(store=AuthorizingStore(*both)).call(request()))["satisfied-pa-id"] == ["A-2"]


@VERSIONS
@pytest.mark.parametrize("days", [-1, -90])
async def test_an_authorization_that_has_just_ended_gets_the_renewal_form(
    opened: Opened, days: int, version: str
) -> None:
    endpoint = opened(store=held(date(2026, 1, 1), START + timedelta(days=days)))
    told = said(await endpoint.call(request(version=version)))
    assert (told["pa-needed"], told["doc-needed"], told["doc-purpose"]) == (["auth-needed"], ["clinical"], ["withpa"])
    assert told["questionnaire"] == [f"{RENEWAL_FORM}|1.0.0"]
    assert "satisfied-pa-id" not in told
    assert "A-77" in told["reason"][0]["text"]
    assert (holds_221 if version == "2.2" else holds_201)(told)


async def test_an_authorization_long_gone_is_an_initial_request(opened: Opened) -> None:
    endpoint = opened(store=held(date(2026, 1, 1), START - timedelta(days=91)))
    assert said(await endpoint.call(request()))["questionnaire"] == [f"{INITIAL_FORM}|1.0.0"]


async def test_an_authorization_that_starts_later_does_not_satisfy(opened: Opened) -> None:
    endpoint = opened(store=held(START + timedelta(days=1), START + timedelta(days=300)))
    told = said(await endpoint.call(request()))
    assert told["pa-needed"] == ["auth-needed"]
    assert told["questionnaire"] == [f"{RENEWAL_FORM}|1.0.0"]


@pytest.mark.requirement("conf-4")
async def test_authorizations_of_a_member_we_do_not_know_are_not_told(opened: Opened) -> None:
    def lasting() -> AuthorizingStore:
        return held(date(2026, 10, 1), START + timedelta(days=91))

    assert "satisfied-pa-id" not in said(await opened(store=lasting(), settings=Settings()).call(request()))
    assert "satisfied-pa-id" in said(await opened(store=lasting(), settings=Settings(demo=True)).call(request()))
    body = request(prefetch={"coverage": searchset(coverage(subscriberId="M-2"), payer())})
    assert "satisfied-pa-id" not in said(await opened(store=lasting()).call(body))


async def test_ids_that_differ_are_no_member(opened: Opened) -> None:
    lasting = held(date(2026, 10, 1), START + timedelta(days=91))
    person = {**patient(), "identifier": [{"system": "https://payer.example.org/member", "value": "M-9"}]}
    body = request(prefetch={"patient": person, "coverage": searchset(coverage(), payer())}, version="2.2")
    told = said(await opened(store=lasting).call(body))
    assert told["covered"] == ["indeterminate"]
    assert "satisfied-pa-id" not in told


# --- the day for which the order asks ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dispenseRequest": {"validityPeriod": {"start": "2026-03-31"}}}, "auth-needed"),
        ({"dosageInstruction": [{"timing": {"repeat": {"boundsPeriod": {"start": "2026-03-31"}}}}]}, "auth-needed"),
        ({"dosageInstruction": [{"timing": {"event": ["2026-03-31T10:00:00Z"]}}]}, "auth-needed"),
    ],
)
async def test_before_the_policy_a_reviewer_decides(endpoint: Endpoint, changes: Json, expected: str) -> None:
    told = said(await endpoint.call(request(medication_request(**changes))))
    assert (told["covered"], told["pa-needed"]) == (["conditional"], [expected])
    assert told["info-needed"] == ["OTH"]
    assert "No revision" in told["reason"][0]["text"]
    assert "questionnaire" not in told


@pytest.mark.parametrize("changes", [{}, {"authoredOn": "2025-01-01"}, {"authoredOn": None}])
async def test_a_draft_of_long_ago_starts_today_at_the_soonest(endpoint: Endpoint, changes: Json) -> None:
    order = medication_request(dispenseRequest=None, **changes)
    assert said(await endpoint.call(request(order)))["covered"] == ["covered"]


@pytest.mark.parametrize("quantity", [None, 0, 1, 1000])
async def test_the_drug_is_never_without_authorization(endpoint: Endpoint, quantity: int | None) -> None:
    dispense: Json = {"validityPeriod": {"start": "2026-12-04"}}
    if quantity is not None:
        dispense["quantity"] = {"value": quantity}
    told = said(await endpoint.call(request(medication_request(dispenseRequest=dispense))))
    assert told["pa-needed"] == ["auth-needed"]


async def test_canonicals_without_version_on_request_of_the_payer(opened: Opened) -> None:
    settings = Settings(trust_presented_coverage=True, versioned_canonicals=False)
    assert said(await opened(settings=settings).call(request()))["questionnaire"] == [INITIAL_FORM]


@pytest.mark.requirement("conf-5", "resp-30")
async def test_an_answer_does_not_outlive_what_it_rests_on(opened: Opened) -> None:
    def expiry(told: dict[str, list[Any]]) -> str:
        return str(told["expiry-date"][0])

    usual = request(version="2.2")
    assert expiry(said(await opened().call(usual))) == (TODAY + timedelta(days=90)).isoformat()
    ending = request(version="2.2", prefetch={"coverage": searchset(coverage(period={"end": "2026-12-31"}), payer())})
    assert expiry(said(await opened().call(ending))) == "2026-12-31"
    registry = OneDrug((policy(ends=date(2026, 12, 15)),))
    assert expiry(said(await opened(registry=registry).call(usual))) == "2026-12-15"


# --- continuity -------------------------------------------------------------------------------------------------
async def test_one_order_keeps_its_assertion_id(endpoint: Endpoint) -> None:
    selected = said(await endpoint.call(request(medication_request(authoredOn=None), hook="order-select")))
    signed = said(await endpoint.call(request(version="2.2")))
    endpoint.clock.advance(timedelta(days=2))
    resigned = said(await endpoint.call(request(medication_request(status="active"))))
    ids = {told["coverage-assertion-id"][0] for told in (selected, signed, resigned)}
    assert len(ids) == 1


@pytest.mark.parametrize("change", ["drug", "patient", "coverage", "client"])
async def test_what_is_not_the_same_order_gets_another_id(opened: Opened, change: str) -> None:
    endpoint = opened()
    first = said(await endpoint.call(request()))["coverage-assertion-id"]
    body = request()
    if change == "drug":
        body = request(medication_request(medicationCodeableConcept=rxnorm("Aspirin")))
    elif change == "patient":
        order = medication_request(subject={"reference": "Patient/p2"})
        body = request(
            order, prefetch={"coverage": [], "c": coverage(beneficiary={"reference": "Patient/p2"}), "o": payer()}
        )
        body["context"]["patientId"] = "p2"
    elif change == "coverage":
        body["prefetch"]["coverage"] = searchset(coverage(id="cov2"), payer())
    else:

        async def another(*_: object) -> Caller:
            return Caller(ClientId("ehr-2"), frozenset())

        endpoint = opened(store=endpoint.store, access=another, ids=endpoint.dependencies.ids)
    assert said(await endpoint.call(body))["coverage-assertion-id"] != first


@pytest.mark.requirement("found-11")
async def test_the_database_takes_an_answer_that_is_given_again(opened: Opened, tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    endpoint = opened(store=store)
    selected = said(await endpoint.call(request(hook="order-select")))["coverage-assertion-id"][0]
    signed = said(await endpoint.call(request()))["coverage-assertion-id"][0]
    kept = await store.assertion(signed)
    await store.close()
    assert signed == selected
    assert kept is not None
    assert kept.shown["doc-needed"] == ["clinical"]


@pytest.mark.requirement("found-11")
async def test_the_id_leads_to_the_form_from_order_select_on(endpoint: Endpoint) -> None:
    told = said(await endpoint.call(request(hook="order-select")))
    kept = await endpoint.store.assertion(told["coverage-assertion-id"][0])
    assert kept is not None
    assert kept.questionnaire == f"{INITIAL_FORM}|1.0.0"
    assert (kept.order_reference, kept.coverage_reference, kept.policy_id) == (
        "MedicationRequest/mr1",
        "Coverage/cov1",
        "zorvex",
    )


@pytest.mark.requirement("resp-35", "resp-29", "resp-36")
async def test_nothing_is_sent_again_when_nothing_is_new(endpoint: Endpoint) -> None:
    for version in ("2.0", "2.2"):
        first = await endpoint.call(request(version=version))
        order = first["systemActions"][0]["resource"]
        endpoint.clock.advance(timedelta(days=1))
        again = await endpoint.call(request(order, version=version))
        assert again.get("systemActions") == ([] if version == "2.0" else None)
        assert again["cards"]
        selecting = await endpoint.call(request(order, hook="order-select", version=version))
        assert "systemActions" not in selecting


async def test_what_has_expired_is_said_again(endpoint: Endpoint) -> None:
    for version in ("2.0", "2.2"):
        order = (await endpoint.call(request(version=version)))["systemActions"][0]["resource"]
        endpoint.clock.advance(timedelta(days=91))
        again = await endpoint.call(request(order, version=version))
        assert len(blocks(again["systemActions"][0]["resource"])) == 1


@pytest.mark.requirement("resp-37", "covinfo-1")
async def test_our_old_answer_is_replaced_and_others_survive(endpoint: Endpoint) -> None:
    foreign: Json = {
        "url": CRD_COVERAGE_INFORMATION,
        "extension": [
            {"url": "coverage", "valueReference": {"reference": "Coverage/other-payer"}},
            {"url": "covered", "valueCode": "not-covered"},
            {"url": "date", "valueDate": "2026-11-30"},
            {"url": "coverage-assertion-id", "valueString": "theirs"},
        ],
    }
    ours = copy.deepcopy(foreign)
    ours["extension"][0]["valueReference"]["reference"] = "https://ehr.example.org/fhir/Coverage/cov1"
    note = {"url": "https://ehr.example.org/note", "valueString": "keep"}
    response = await endpoint.call(request(medication_request(extension=[ours, foreign, note, ours])))
    extensions = response["systemActions"][0]["resource"]["extension"]
    assert [extensions[1], extensions[2]] == [foreign, note]
    assert len(extensions) == 3
    assert facts(extensions[0])["covered"] == ["covered"]


async def test_a_block_of_ours_is_known_by_its_assertion_id(endpoint: Endpoint) -> None:
    order = (await endpoint.call(request()))["systemActions"][0]["resource"]
    (block,) = blocks(order)
    block["extension"][0]["valueReference"] = {"display": "the same coverage"}
    again = await endpoint.call(request(order))
    assert len(blocks(again["systemActions"][0]["resource"])) == 1


@pytest.mark.requirement("resp-32")
async def test_what_we_said_about_another_coverage_survives(endpoint: Endpoint) -> None:
    order = (await endpoint.call(request()))["systemActions"][0]["resource"]
    body = request(order)
    body["prefetch"]["coverage"] = searchset(coverage(id="cov2"), payer())
    (resource,) = [action["resource"] for action in (await endpoint.call(body))["systemActions"]]
    before, after = (facts(block) for block in blocks(resource))
    assert before["coverage"] == [{"reference": "Coverage/cov1"}]
    assert after["coverage"] == [{"reference": "Coverage/cov2"}]
    assert before["coverage-assertion-id"] != after["coverage-assertion-id"]

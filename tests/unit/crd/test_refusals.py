"""Every row of the status table: what is refused, how, and what is answered although something is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from starlette.requests import Request

from service.errors import DeadlinePassed, Forbidden, NotAuthenticated, ServiceError, StoreFailed
from service.policy.case import Authorization, MemberId
from service.ports import Assertion, Caller, Exchange
from service.settings import Settings
from service.store.memory import MemoryStore
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.world import (
    Json,
    blocks,
    coverage,
    medication_request,
    payer,
    request,
    said,
    searchset,
    service_request,
)

Opened = Callable[..., Endpoint]
VERSIONS = pytest.mark.parametrize("version", ["2.0", "2.2"])
SECRET = "Garbo-1958-02-03"


def with_coverage(*resources: Any, **changes: Any) -> Json:
    return request(prefetch={"coverage": searchset(*resources), **changes})


# --- 400: not JSON, not CDS Hooks, not FHIR -----------------------------------------------------------------------
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"hook": NaN}', b"[" * 200 + b"]" * 200])
@pytest.mark.requirement("hook-9", "hook-10", "hook-13")
async def test_what_is_not_json_is_refused(endpoint: Endpoint, body: bytes) -> None:
    response = await endpoint.http.post("/cds-services/order-sign-crd", content=body)
    assert response.status_code in {400, 413}
    assert response.json()["resourceType"] == "OperationOutcome"


async def test_too_many_bytes_are_not_read(opened: Opened) -> None:
    endpoint = opened(settings=Settings(trust_presented_coverage=True, max_body_bytes=1000))
    await endpoint.refused({"x": "y" * 2000}, 413)


@pytest.mark.parametrize(
    ("change", "expression"),
    [
        ({"hook": None}, "hook"),
        ({"hook": "order-select"}, "hook"),
        ({"hook": 5}, "hook"),
        ({"hookInstance": None}, "hookInstance"),
        ({"context": None}, "context"),
        ({"context": []}, "context"),
        ({"prefetch": "x"}, "prefetch"),
        ({"extension": []}, "extension"),
        ({"fhirServer": 7}, "fhirServer"),
    ],
)
@pytest.mark.requirement("hook-9", "hook-10", "hook-13")
async def test_the_envelope_has_a_shape(endpoint: Endpoint, change: Json, expression: str) -> None:
    body = {name: value for name, value in {**request(), **change}.items() if value is not None}
    issues = await endpoint.refused(body, 400, "order-sign-crd")
    assert [issue["expression"] for issue in issues] == [[expression]]


@pytest.mark.parametrize("body", [None, [], "x", 5])
async def test_a_request_is_an_object(endpoint: Endpoint, body: Any) -> None:
    await endpoint.refused(body, 400, "order-sign-crd")


@pytest.mark.parametrize(
    ("member", "value", "expression"),
    [
        ("userId", None, "context.userId"),
        ("patientId", None, "context.patientId"),
        ("patientId", {"secret": SECRET}, "context.patientId"),
        ("patientId", "", "context.patientId"),
        ("draftOrders", None, "context.draftOrders"),
        ("draftOrders", [], "context.draftOrders"),
        ("draftOrders", {"resourceType": "Patient"}, "context.draftOrders"),
        ("selections", None, "context.selections"),
        ("selections", [3], "context.selections[0]"),
    ],
)
@pytest.mark.requirement("hook-10", "hook-13")
async def test_the_context_has_a_shape(endpoint: Endpoint, member: str, value: Any, expression: str) -> None:
    body = request(hook="order-select")
    body["context"][member] = value
    if value is None:
        del body["context"][member]
    issues = await endpoint.refused(body, 400)
    assert [issue["expression"] for issue in issues] == [[expression]]
    assert SECRET not in str(issues)


@pytest.mark.parametrize(
    ("order", "expression"),
    [
        (medication_request(status=SECRET + " "), "context.draftOrders.entry[0].resource.status"),
        (medication_request(subject=None), "context.draftOrders.entry[0].resource.subject"),
        (medication_request(authoredOn=SECRET), "context.draftOrders.entry[0].resource.authoredOn"),
        (medication_request(extension={}), "context.draftOrders.entry[0].resource.extension"),
        (medication_request(medicationCodeableConcept=SECRET), "context.draftOrders.entry[0].resource.medication"),
        (
            medication_request(medicationReference={"reference": "Medication/m1"}),
            "context.draftOrders.entry[0].resource.medication",
        ),
    ],
)
@pytest.mark.requirement("hook-10", "hook-13", "hook-14")
async def test_an_order_that_breaks_fhir_is_refused_with_its_place(
    endpoint: Endpoint, order: Json, expression: str
) -> None:
    issues = await endpoint.refused(request(order), 400)
    assert [expression] in [issue["expression"] for issue in issues]
    assert SECRET not in str(issues)


@pytest.mark.parametrize(
    ("entries", "expression"),
    [
        ("x", "context.draftOrders.entry"),
        ({}, "context.draftOrders.entry"),
        ([medication_request()], "context.draftOrders.entry[0].resource"),
        ([{"resource": medication_request()}, None], "context.draftOrders.entry[1].resource"),
        ([{"resource": {"id": "x"}}], "context.draftOrders.entry[0].resource"),
        ([{"resource": {"resourceType": []}}], "context.draftOrders.entry[0].resource"),
    ],
)
async def test_drafts_are_resources(endpoint: Endpoint, entries: Any, expression: str) -> None:
    body = request()
    body["context"]["draftOrders"]["entry"] = entries
    issues = await endpoint.refused(body, 400)
    assert [issue["expression"] for issue in issues] == [[expression]]


@pytest.mark.parametrize("version", ["2.2", "2.0"])
@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        (service_request(id=None), service_request(id=None, occurrenceDateTime="2026-12-11"), "required"),
        (medication_request(), medication_request(status="active"), "duplicate"),
    ],
)
@pytest.mark.requirement("hook-10", "hook-13")
async def test_an_order_that_no_answer_can_name_breaks_a_rule_of_crd_alone(
    endpoint: Endpoint, first: Json, second: Json, code: str, version: str
) -> None:
    """FHIR allows both, so it is no bad request, and what to write the answer on cannot be told: 422."""
    body = request(version=version)
    body["context"]["draftOrders"]["entry"] = [{"resource": first}, {"resource": second}]
    issues = await endpoint.refused(body, 422)
    assert [(issue["code"], issue["expression"]) for issue in issues] == [
        (code, ["context.draftOrders.entry[1].resource.id"])
    ]


@pytest.mark.requirement("hook-13")
async def test_what_breaks_fhir_besides_is_a_bad_request(endpoint: Endpoint) -> None:
    orders = medication_request(), medication_request(status="active"), service_request(subject=None)
    issues = await endpoint.refused(request(*orders), 400)
    assert {tuple(issue["expression"]) for issue in issues} == {
        ("context.draftOrders.entry[2].resource.subject",),
        ("context.draftOrders.entry[1].resource.id",),
    }


@VERSIONS
async def test_the_only_order_of_its_type_needs_no_id(endpoint: Endpoint, version: str) -> None:
    """The answer goes back on it as it came; nothing in the answer pretends to refer to it."""
    orders = medication_request(id=None), service_request()
    body = request(version=version)
    body["context"]["draftOrders"]["entry"] = [{"resource": order} for order in orders]
    response = await endpoint.call(body)
    first, second = (action["resource"] for action in response["systemActions"])
    assert {name: value for name, value in first.items() if name != "extension"} == orders[0]
    assert said(response, 0)["coverage-assertion-id"] != said(response, 1)["coverage-assertion-id"]
    assert second["id"] == "sr1"
    for card in response["cards"]:
        (about,) = card["extension"]["davinci-crd.associated-resource"]
        assert about in ("ServiceRequest/sr1", {"reference": "ServiceRequest/sr1"})


@pytest.mark.requirement("found-33", "hook-23")
async def test_unexpected_elements_are_ignored(endpoint: Endpoint) -> None:
    body = request(medication_request(invented="x"), notHooks=1)
    body["context"]["invented"] = {}
    body["prefetch"]["coverage"]["entry"][0]["resource"]["kind"] = "insurance"
    response = await endpoint.call(body)
    assert response["systemActions"][0]["resource"]["invented"] == "x"


@pytest.mark.parametrize("status", ["draft", "active", "on-hold", "completed"])
async def test_any_status_is_answered(endpoint: Endpoint, status: str) -> None:
    assert said(await endpoint.call(request(medication_request(status=status))))["pa-needed"] == ["auth-needed"]


@pytest.mark.parametrize("patient_id", ["Patient/p1", "https://ehr.example.org/fhir/Patient/p1"])
async def test_patient_ids_with_a_type_are_understood(endpoint: Endpoint, patient_id: str) -> None:
    body = request()
    body["context"]["patientId"] = patient_id
    assert said(await endpoint.call(body))["covered"] == ["covered"]


async def test_drafts_without_bundle_type_and_entries_are_understood(endpoint: Endpoint) -> None:
    body = request()
    del body["context"]["draftOrders"]["type"]
    assert (await endpoint.call(body))["systemActions"]
    body["context"]["draftOrders"] = {"resourceType": "Bundle"}
    assert await endpoint.call(body) == {"cards": [], "systemActions": []}


@pytest.mark.parametrize("asked", ["1.0", "2.1", "latest", "", 2, [], {}])
async def test_a_version_that_is_not_spoken_is_refused(endpoint: Endpoint, asked: Any) -> None:
    body = {**request(), "extension": {"davinci-crd.requestedVersion": asked}}
    issues = await endpoint.refused(body, 400)
    assert "2.0" in issues[0]["diagnostics"]


async def test_the_version_that_the_payer_prefers(opened: Opened) -> None:
    endpoint = opened(settings=Settings(trust_presented_coverage=True, crd_default_version="2.2"))
    assert "expiry-date" in said(await endpoint.call(request()))
    assert "expiry-date" not in said(await endpoint.call(request(version="2.0")))
    assert "expiry-date" in said(await endpoint.call(request(version="2.2.1")))


# --- 401, 403, 404 ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("error", "status"), [(NotAuthenticated("Not authenticated."), 401), (Forbidden("No."), 403)]
)
@pytest.mark.parametrize("path", ["", "/order-sign-crd", "/order-sign-crd/feedback", "/none"])
@pytest.mark.requirement("hook-9", "sec-1")
async def test_who_may_not_call_learns_nothing(opened: Opened, error: ServiceError, status: int, path: str) -> None:
    async def nobody(request: Request, body: bytes) -> Caller:
        raise error

    endpoint = opened(access=nobody)
    method = "POST" if path else "GET"
    response = await endpoint.http.request(method, f"/cds-services{path}", content=b"{" if path else None)
    assert response.status_code == status
    assert ("www-authenticate" in response.headers) is (status == 401)
    assert endpoint.store.exchanges == []


async def test_access_sees_the_body_as_received(opened: Opened) -> None:
    seen: list[bytes] = []

    async def watching(_request: Request, body: bytes) -> Caller:
        seen.append(body)
        raise NotAuthenticated("Not authenticated.")

    endpoint = opened(access=watching)
    await endpoint.http.get("/cds-services")
    await endpoint.http.post("/cds-services/order-sign-crd", content=b'{"a" : 1}')
    assert seen == [b"", b'{"a" : 1}']


@pytest.mark.parametrize("service", ["patient-view-crd", "x", "order-sign"])
async def test_an_unknown_service_is_not_found(endpoint: Endpoint, service: str) -> None:
    await endpoint.refused(request(), 404, service)
    await endpoint.refused({"feedback": []}, 404, f"{service}/feedback")


# --- 412 and the Coverage -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "prefetch",
    [None, {}, {"patient": None}, {"coverage": {"resourceType": "OperationOutcome", "issue": []}}],
)
@pytest.mark.requirement("hook-9", "hook-10")
async def test_coverage_that_was_not_sent_is_asked_for(endpoint: Endpoint, prefetch: Json | None) -> None:
    (issue,) = await endpoint.refused(request(prefetch=prefetch), 412)
    assert issue["expression"] == ["prefetch.coverage"]


@pytest.mark.parametrize(
    "sent",
    [
        None,
        searchset(),
        {"resourceType": "Bundle", "type": "searchset", "total": 0},
        searchset(coverage(), coverage(id="cov2"), payer()),
        searchset(coverage(status="no such status" * 2, payor="x"), payer()),
        searchset(coverage(payor=[{"display": "Example Health Plan"}])),
        searchset(coverage(payor=[{"reference": "Organization/gone", "display": "Example Health Plan"}])),
        searchset(coverage(payor=[{"reference": "Organization/payer"}, {"reference": "Organization/x"}]), payer()),
        searchset(coverage(payor=[{"reference": "Patient/p1"}]), payer()),
        searchset(coverage(), payer("OTHER")),
        searchset(coverage(), payer(system="https://other.example.org")),
        searchset(coverage(), {"resourceType": "Organization", "id": "payer", "name": "Example Health Plan"}),
        searchset(coverage(payor=[{"identifier": {"value": "PAYER01"}}])),
        searchset(coverage(id=None), payer()),
    ],
    ids=[
        "null", "empty", "no entries", "several", "unreadable", "only a name", "payer gone", "two payors",
        "self-pay", "other payer", "other system", "no identifier", "no system", "no id",
    ],
)  # fmt: skip
@VERSIONS
@pytest.mark.requirement("hook-9", "hook-10", "hook-13")
async def test_a_coverage_that_is_not_one_of_ours_is_refused(endpoint: Endpoint, sent: Any, version: str) -> None:
    body = request(version=version)
    body["prefetch"] = {"coverage": sent}
    (issue,) = await endpoint.refused(body, 400)
    assert issue["expression"] == ["prefetch.coverage"]


async def test_the_payer_is_known_by_any_of_its_spellings(endpoint: Endpoint) -> None:
    by_identifier = {"identifier": {"system": "https://payer.example.org/payer-id", "value": "PAYER01"}}
    contained = coverage(payor=[{"reference": "#payer"}], contained=[payer()])
    absolute = coverage(payor=[{"reference": "https://ehr.example.org/fhir/Organization/payer"}])
    sent = [
        {"coverage": coverage(payor=[by_identifier])},
        {"coverage": contained},
        {"coverage": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": contained}]}},
        {"coverage": {"resourceType": "Bundle", "entry": [{"resource": contained}]}},
        {"coverage": coverage(), "insurer": payer()},
        {"insurance": coverage(), "more": searchset(payer())},
        {"coverage": absolute, "insurer": payer()},
        {"coverage": searchset(coverage(), payer()), "again": coverage()},
    ]
    for prefetch in sent:
        assert said(await endpoint.call(request(prefetch=prefetch)))["covered"] == ["covered"]


async def test_the_coverage_keeps_the_name_that_the_client_gave_it(endpoint: Endpoint) -> None:
    full_url = "urn:uuid:aaaaaaaa-0000-4000-8000-000000000001"
    bundle = {"resourceType": "Bundle", "entry": [{"fullUrl": full_url, "resource": coverage(id=None)}]}
    told = said(await endpoint.call(request(prefetch={"coverage": bundle, "payer": payer()})))
    assert told["coverage"] == [{"reference": full_url}]


# --- 200, and the answer says what is wrong -----------------------------------------------------------------------
@pytest.mark.parametrize(
    "changes",
    [
        {"status": "cancelled"},
        {"period": {"end": "2026-11-30"}},
        {"period": {"start": "2026-12-05"}},
        {"period": {"end": "2026-11"}},
    ],
)
@pytest.mark.requirement("resp-45", "resp-42")
async def test_a_coverage_not_in_force_does_not_cover(endpoint: Endpoint, changes: Json) -> None:
    prefetch = {"coverage": searchset(coverage(**changes), payer())}
    old = said(await endpoint.call(request(prefetch=prefetch)))
    assert old["covered"] == ["not-covered"]
    assert "pa-needed" not in old
    assert "coding" not in old["reason"][0]
    assert old["reason"][0]["text"]
    new = said(await endpoint.call(request(prefetch=prefetch, version="2.2")))
    assert new["covered"] == ["not-covered"]
    assert new["reason"][0]["coding"][0]["code"] == "no-active-coverage"


@pytest.mark.parametrize(
    "period", [{"start": "2026-12-04"}, {"end": "2026-12-04"}, {"start": "2026", "end": "2026-12"}]
)
async def test_the_day_of_service_counts(endpoint: Endpoint, period: Json) -> None:
    prefetch = {"coverage": searchset(coverage(period=period), payer())}
    assert said(await endpoint.call(request(prefetch=prefetch)))["covered"] == ["covered"]


async def test_a_coverage_that_ends_before_the_start_leaves_it_open(endpoint: Endpoint) -> None:
    prefetch = {"coverage": searchset(coverage(period={"end": "2026-12-03"}), payer())}
    told = said(await endpoint.call(request(prefetch=prefetch)))
    assert (told["covered"], told["info-needed"]) == (["conditional"], ["contract-window"])


async def test_a_coverage_that_began_after_the_service_does_not_cover_it(endpoint: Endpoint) -> None:
    prefetch = {"coverage": searchset(coverage(period={"start": "2026-11-15"}), payer())}
    past = medication_request(dispenseRequest={"validityPeriod": {"start": "2026-11-01"}})
    told = said(await endpoint.call(request(past, prefetch=prefetch)))
    assert (told["covered"], "info-needed" in told) == (["not-covered"], False)


@pytest.mark.requirement("resp-43", "covinfo-2")
async def test_without_member_records_nobody_is_known(opened: Opened) -> None:
    endpoint = opened(settings=Settings())
    old = said(await endpoint.call(request()))
    assert (old["covered"], old["pa-needed"], old["info-needed"]) == (["conditional"], ["conditional"], ["OTH"])
    assert "membership could not be confirmed" in old["reason"][0]["text"]
    assert old["contact"][0]["value"] == "1-800-555-0100"
    new = said(await endpoint.call(request(version="2.2")))
    assert (new["covered"], new["pa-needed"]) == (["indeterminate"], ["indeterminate"])
    assert new["reason"][0]["coding"][0]["code"] == "technical"
    assert "Zorvex (zorvexumab) needs prior authorization" in new["reason"][1]["text"]
    assert "info-needed" not in new
    assert new["contact"] == [
        {"name": "Example Health Plan", "telecom": [{"system": "phone", "value": "1-800-555-0100"}]}
    ]


async def test_somebody_elses_coverage_or_order_is_not_decided(endpoint: Endpoint) -> None:
    other = {"reference": "https://ehr.example.org/fhir/Patient/p2"}
    foreign = request(prefetch={"coverage": searchset(coverage(beneficiary=other), payer())}, version="2.2")
    assert said(await endpoint.call(foreign))["covered"] == ["indeterminate"]
    order = request(medication_request(subject=other), service_request(), version="2.2")
    response = await endpoint.call(order)
    assert [said(response, n)["covered"] for n in (0, 1)] == [["indeterminate"], ["covered"]]


@pytest.mark.parametrize("version", ["2.0", "2.2"])
@pytest.mark.requirement("hook-16", "resp-29")
async def test_another_drug_is_told_that_we_have_no_rule(endpoint: Endpoint, version: str) -> None:
    order = medication_request(medicationCodeableConcept={"text": "Aspirin"})
    told = said(await endpoint.call(request(order, version=version)))
    assert (told["covered"], told["pa-needed"], told["info-needed"]) == (["conditional"], ["conditional"], ["OTH"])
    assert "no coverage rule" in told["reason"][0]["text"]
    assert ("detail" in told) is (version == "2.2")
    assert "billingCode" not in told


class SlowStore(MemoryStore):
    """Its authorizations never come."""

    async def authorizations(self, member: MemberId, policy_id: str) -> Sequence[Authorization]:
        await asyncio.Event().wait()
        return ()


class LateStore(MemoryStore):
    """Gives up by itself."""

    async def authorizations(self, member: MemberId, policy_id: str) -> Sequence[Authorization]:
        raise DeadlinePassed("Too late.")


@pytest.mark.parametrize("store", [SlowStore, LateStore])
@pytest.mark.requirement("found-2", "resp-43", "impl-2")
async def test_records_that_do_not_answer_end_in_an_answer(opened: Opened, store: type[MemoryStore]) -> None:
    endpoint = opened(store=store(), settings=Settings(trust_presented_coverage=True, hook_seconds=0.01))
    told = said(await endpoint.call(request(version="2.2")))
    assert (told["covered"], told["pa-needed"]) == (["indeterminate"], ["indeterminate"])
    assert told["reason"][0]["coding"][0]["code"] == "technical"
    old = said(await endpoint.call(request(version="2.0")))
    assert (old["covered"], old["info-needed"]) == (["conditional"], ["OTH"])


@pytest.mark.requirement("found-2")
def test_a_hook_has_less_time_than_the_guide_gives_it() -> None:
    """Five seconds, of which the way there and back takes some (CRD 2.2.1)."""
    assert Settings().hook_seconds < 5


class BrokenStore(MemoryStore):
    """A database that went away. `reads` says whether it can still be read."""

    def __init__(self, *, reads: bool) -> None:
        super().__init__()
        self.reads = reads

    async def authorizations(self, member: MemberId, policy_id: str) -> Sequence[Authorization]:
        if self.reads:
            return ()
        raise StoreFailed("The database failed.")

    async def save_assertions(self, assertions: Sequence[Assertion]) -> None:
        raise StoreFailed("The database failed.")

    async def log_exchange(self, *exchanges: Exchange) -> None:
        raise StoreFailed("The database failed.")


@pytest.mark.parametrize("reads", [True, False])
@pytest.mark.requirement("found-11", "resp-43", "impl-2")
async def test_without_a_database_the_answer_promises_nothing(
    opened: Opened, reads: bool, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = opened(store=BrokenStore(reads=reads))
    for version, level in (("2.2", "indeterminate"), ("2.0", "conditional")):
        response = await endpoint.call(request(version=version))
        told = said(response)
        assert (told["covered"], told["pa-needed"]) == ([level], [level])
        assert "questionnaire" not in told
        assert "could not be read in time" in told["reason"][0]["text"]
        assert not any("complete the prior authorization form" in card["summary"] for card in response["cards"])
    assert {record.message for record in caplog.records} == {
        "assertions could not be kept, so the orders were told that nothing can be said now",
        "a call could not be kept",
    }


async def test_no_answer_is_given_to_what_is_no_order(endpoint: Endpoint) -> None:
    body = request(medication_request(), {"resourceType": "Medication", "id": "m1"})
    response = await endpoint.call(body)
    assert [a["resource"]["resourceType"] for a in response["systemActions"]] == ["MedicationRequest"]
    glasses = {"resourceType": "VisionPrescription", "id": "v1", "status": "draft", "created": "2026-12-01",
               "patient": {"reference": "Patient/p1"}, "dateWritten": "2026-12-01",
               "prescriber": {"reference": "Practitioner/d1"},
               "lensSpecification": [{"product": {"text": "lens"}, "eye": "left"}]}  # fmt: skip
    assert (await endpoint.call(request(glasses)))["systemActions"] == []
    (action,) = (await endpoint.call(request(glasses, version="2.2")))["systemActions"]
    assert len(blocks(action["resource"])) == 1

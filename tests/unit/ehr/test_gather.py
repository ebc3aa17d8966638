"""What a hook needs and was not sent is asked of the client's FHIR server; whatever that does, an answer follows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from starlette.responses import Response

from service.crd.gather import Needs, gather, needs_of, open_ehr, with_orders
from service.crd.hooks import HookCall, read_hook
from service.crd.prefetch import Records, read_records
from service.ehr.answer import Bounds
from service.ehr.client import HttpEhrClients
from service.ehr.connection import CheckedTransport
from service.errors import PrefetchMissing
from service.fhir.parse import StructureCheck
from service.ports import Caller
from service.settings import Settings
from tests.unit.crd.world import CLIENT, coverage, medication_request, patient, payer, request, searchset
from tests.unit.ehr.conftest import DEVELOPMENT
from tests.unit.ehr.server import (
    TOKEN,
    Asked,
    Json,
    closed_port,
    fhir,
    never,
    outcome,
    served,
    together,
)

NOBODY = Caller(CLIENT, frozenset())
Gathered = Callable[..., Awaitable[Records]]
BY_REFERENCE = medication_request(medicationCodeableConcept=None, medicationReference={"reference": "Medication/m1"})
CODED = medication_request()


def medication(logical_id: str = "m1") -> Json:
    return {"resourceType": "Medication", "id": logical_id, "code": {"text": "Zorvex"}}


def practitioner() -> Json:
    return {"resourceType": "Practitioner", "id": "d1", "name": [{"family": "House"}]}


HELD: dict[str, Json] = {
    f"{r['resourceType']}/{r['id']}": r for r in (patient(), payer(), medication(), practitioner())
}


def good(asked: Asked) -> Response:
    """An EHR that holds everything, and includes the payer's Organization."""
    kind = asked.path.removeprefix("/fhir/")
    if kind == "Coverage":
        included = [payer()] if asked.values("_include") else []
        return fhir(searchset(coverage(), *included))
    return fhir(HELD[kind]) if kind in HELD else fhir(outcome(), 404)


def but(**different: Json | Response) -> Callable[[Asked], Response]:
    """The good EHR, but for some answers by the type that is asked for."""

    def answer(asked: Asked) -> Response:
        given = different.get(asked.path.split("/")[2])
        if given is None:
            return good(asked)
        return given if isinstance(given, Response) else fhir(given)

    return answer


def hook(
    server: str | None, *orders: Json, token: str | None = TOKEN, name: str = "order-sign", **changes: Any
) -> HookCall:
    body = request(*orders, hook=name, **{"prefetch": {}, "fhirServer": server, **changes})
    if token:
        body["fhirAuthorization"] = {"access_token": token, "token_type": "Bearer", "expires_in": 300}
    return read_hook(body, hook=name, default_version="2.2")


@pytest.fixture
async def gathered(check: StructureCheck) -> AsyncIterator[Gathered]:
    """Reads the call and asks for the rest, with `seconds` for it."""
    opened: list[HttpEhrClients] = []

    async def run(call: HookCall, *, needs: Needs | None = None, seconds: float = 20.0) -> Records:
        opened.append(HttpEhrClients(CheckedTransport(DEVELOPMENT), DEVELOPMENT, check, Bounds(seconds=20)))
        ehr = open_ehr(call, NOBODY, opened[-1], Settings(hook_seconds=seconds + 1))
        return await gather(call, read_records(call, check), needs or needs_of(call), ehr)

    yield run
    for clients in opened:
        await clients.close()


def names(records: Records) -> set[str]:
    return {f"{e.resource['resourceType']}/{e.resource['id']}" for e in records.entries.all_entries}


@pytest.mark.requirement("CRD found-5", "CRD found-28")
async def test_everything_that_is_missing_is_fetched(gathered: Gathered) -> None:
    with served(good) as server:
        records = await gathered(hook(server.base, BY_REFERENCE))
    assert names(records) == {"Patient/p1", "Coverage/cov1", "Organization/payer", "Medication/m1", "Practitioner/d1"}
    assert (records.coverage_supplied, records.unread, records.unread_text) == (True, (), None)
    (search,) = (asked for asked in server.asked if asked.path == "/fhir/Coverage")
    assert search.parameters == [("patient", "p1"), ("status", "active"), ("_include", "Coverage:payor")]
    assert all(asked.headers["authorization"] == f"Bearer {TOKEN}" for asked in server.asked)


async def test_five_missing_items_are_asked_for_at_once(gathered: Gathered) -> None:
    """The server answers nobody until five requests are there."""
    second = medication_request(
        id="mr2", medicationCodeableConcept=None, medicationReference={"reference": "Medication/m2"}
    )
    answer = but(Medication=Response(status_code=404))
    with served(together(5, answer)) as server:
        await gathered(hook(server.base, BY_REFERENCE, second))
    assert server.most_open == 5


@pytest.mark.requirement("CRD found-24")
async def test_what_was_sent_is_not_asked_for(gathered: Gathered) -> None:
    sent = {
        "patient": patient(),
        "coverage": searchset(coverage(), payer()),
        "meds": searchset(medication()),
        "x": practitioner(),
    }
    with served(good) as server:
        await gathered(hook(server.base, BY_REFERENCE, prefetch=sent))
    assert server.asked == []


async def test_null_is_an_answer_and_an_outcome_is_none(gathered: Gathered) -> None:
    sent = {"patient": None, "medications": None, "practitioners": None, "coverage": outcome()}
    with served(good) as server:
        await gathered(hook(server.base, BY_REFERENCE, prefetch=sent))
    assert server.paths() == ["Coverage"]


async def test_a_null_coverage_is_not_asked_for(gathered: Gathered) -> None:
    sent = {"patient": patient(), "coverage": None, "practitioners": None}
    with served(good) as server:
        records = await gathered(hook(server.base, prefetch=sent))
    assert server.asked == []
    assert records.coverage_supplied


async def test_an_empty_result_is_an_answer(gathered: Gathered) -> None:
    with served(but(Coverage=searchset())) as server:
        records = await gathered(hook(server.base))
    assert (records.coverage_supplied, records.all("Coverage"), records.unread) == (True, (), ())


async def test_later_pages_of_what_was_sent_are_read(gathered: Gathered) -> None:
    with served(but(Coverage=searchset(coverage(id="cov2")))) as server:
        page = {
            **searchset(coverage(), payer()),
            "link": [{"relation": "next", "url": f"{server.base}/Coverage?page=2"}],
        }
        records = await gathered(hook(server.base, prefetch={"patient": patient(), "coverage": page}))
    assert {c["id"] for c in records.all("Coverage")} == {"cov1", "cov2"}


@pytest.mark.parametrize("refusal", [fhir(outcome(), 400), fhir(outcome(), 403), fhir(outcome())])
async def test_a_refused_include_is_read_one_after_the_other(gathered: Gathered, refusal: Response) -> None:
    def no_include(asked: Asked) -> Response:
        return refusal if asked.values("_include") else good(asked)

    with served(no_include) as server:
        records = await gathered(hook(server.base))
    assert "Organization/payer" in names(records)
    assert records.unread == ()
    assert server.paths().count("Coverage") == 2


async def test_a_role_leads_to_its_practitioner(gathered: Gathered) -> None:
    role = {"resourceType": "PractitionerRole", "id": "r1", "practitioner": {"reference": "Practitioner/d1"}}
    order = medication_request(requester={"reference": "PractitionerRole/r1"})
    with served(but(PractitionerRole=role)) as server:
        records = await gathered(hook(server.base, order))
    assert {"PractitionerRole/r1", "Practitioner/d1"} <= names(records)


async def test_references_to_other_servers_are_not_followed(gathered: Gathered) -> None:
    order = medication_request(
        medicationCodeableConcept=None,
        medicationReference={"reference": "http://127.0.0.1:1/other/Medication/m1"},
        requester={"reference": "https://attacker.example/fhir/Practitioner/d1"},
    )
    with served(good) as server:
        await gathered(hook(server.base, order))
    assert set(server.paths()) == {"Patient/p1", "Coverage"}


_FOREIGN = coverage(id="cov9", beneficiary={"reference": "Patient/p2"})
_ELSEWHERE = coverage(id="cov9", beneficiary={"reference": "https://other.example/fhir/Patient/p1"})
_STRANGER = {**patient(), "id": "p2"}
_LIES: dict[str, tuple[dict[str, Any], str]] = {
    "patient: another one": ({"Patient": {**patient(), "id": "p2"}}, "patient"),
    "patient: HTML": ({"Patient": Response("<html>")}, "patient"),
    "medication: another type": ({"Medication": patient()}, "medications"),
    "medication: huge": ({"Medication": Response(b'"' + b" " * 6_000_000 + b'"')}, "medications"),
    "medication: elsewhere": (
        {"Medication": Response(status_code=302, headers={"Location": "http://169.254.169.254/"})},
        "medications",
    ),
    "practitioner: not there": ({"Practitioner": fhir(outcome(), 404)}, "practitioners"),
    "coverage: one too many": ({"Coverage": searchset(coverage(), payer(), _FOREIGN)}, "coverage"),
    "coverage: another server's patient": ({"Coverage": searchset(coverage(), payer(), _ELSEWHERE)}, "coverage"),
    "coverage: a patient of its own": (
        {"Coverage": searchset(coverage(), payer(), {**patient(), "id": "p2"})},
        "coverage",
    ),
    "coverage: endless": (
        {"Coverage": {**searchset(coverage(), payer()), "link": [{"relation": "next", "url": "Coverage?x"}]}},
        "coverage",
    ),
    "payer: gone": ({"Coverage": searchset(coverage()), "Organization": fhir(outcome(), 500)}, "payor"),
}


@pytest.mark.parametrize(("different", "unread"), _LIES.values(), ids=_LIES)
async def test_what_the_server_does_not_give_is_named_and_the_rest_used(
    gathered: Gathered, different: dict[str, Any], unread: str
) -> None:
    with served(but(**different)) as server:
        records = await gathered(hook(server.base, BY_REFERENCE))
    assert records.unread == (unread,)
    assert records.unread_text is not None
    assert records.unread_text.endswith("could not be read from the EHR.")
    assert {c["id"] for c in records.all("Coverage")} == {"cov1"}
    assert all(p["id"] == "p1" for p in records.all("Patient"))


async def test_all_that_is_missing_is_named_in_one_sentence(gathered: Gathered) -> None:
    gone = fhir(outcome(), 500)
    with served(but(Patient=gone, Medication=gone, Practitioner=gone)) as server:
        records = await gathered(hook(server.base, BY_REFERENCE))
    assert set(records.unread) == {"patient", "medications", "practitioners"}
    text = records.unread_text or ""
    assert "he patient's record" in text
    assert "he medication" in text
    assert " and " in text


async def test_inactive_coverages_of_a_server_that_ignores_status_do_not_count(gathered: Gathered) -> None:
    both = searchset(coverage(), coverage(id="cov0", status="cancelled"), payer())
    with served(but(Coverage=both)) as server:
        records = await gathered(hook(server.base))
    assert [c["id"] for c in records.all("Coverage")] == ["cov1"]
    with served(but(Coverage=searchset(coverage(status="cancelled"), payer()))) as server:
        records = await gathered(hook(server.base))
    assert [c["status"] for c in records.all("Coverage")] == ["cancelled"]


@pytest.mark.parametrize(
    "answer",
    [
        but(Coverage=fhir(outcome(), 500)),
        but(Coverage=fhir(outcome(), 401)),
        but(Coverage=searchset(_FOREIGN)),
        but(Coverage=Response("<html>")),
    ],
)
async def test_a_coverage_that_was_asked_for_in_vain_is_named(
    gathered: Gathered, answer: Callable[[Asked], Response]
) -> None:
    with served(answer) as server, pytest.raises(PrefetchMissing) as refused:
        await gathered(hook(server.base))
    assert refused.value.expression == ("prefetch.coverage",)
    assert "could not be read" in refused.value.text


@pytest.mark.parametrize(
    ("reach", "token"), [("yes", None), ("no", TOKEN), ("http://10.0.0.1/fhir", TOKEN), ("https://[::1]/fhir", TOKEN)]
)
async def test_without_a_server_that_may_be_called_nothing_is_asked(
    gathered: Gathered, reach: str, token: str | None
) -> None:
    """The Coverage is then simply not supplied, and the caller says 412."""
    with served(good) as server:
        address = {"yes": server.base, "no": None}.get(reach, reach)
        if address == "https://[::1]/fhir":
            address = "https://[::ffff:127.0.0.1]/fhir"
        records = await gathered(hook(address, token=token))
    assert server.asked == []
    assert not records.coverage_supplied


@pytest.mark.parametrize("patient_id", ["p1,p2", "../Coverage", "p1?x", "", " "])
async def test_a_patient_id_that_is_none_is_not_asked_with(gathered: Gathered, patient_id: str) -> None:
    call = hook("http://127.0.0.1:1/fhir")
    with served(good) as server:
        await gathered(replace(call, fhir_server=server.base, patient_id=patient_id))
    assert server.asked == []


async def test_a_patient_reference_serves_as_an_id(gathered: Gathered) -> None:
    with served(good) as server:
        body = request(prefetch={}, fhirServer=server.base, fhirAuthorization={"access_token": TOKEN})
        body["context"]["patientId"] = "Patient/p1"
        records = await gathered(read_hook(body, hook="order-sign", default_version="2.2"))
    assert "Patient/p1" in server.paths()
    assert records.unread == ()


SENT = {"coverage": searchset(coverage(), payer())}


@pytest.mark.requirement("CRD found-2")
async def test_a_slow_server_costs_no_more_than_the_deadline(gathered: Gathered) -> None:
    # Without the deadline one request could take 20 seconds.
    with served(never) as server:
        async with asyncio.timeout(10):
            records = await gathered(hook(server.base, BY_REFERENCE, prefetch=SENT), seconds=0.2)
    assert set(records.unread) == {"patient", "medications", "practitioners"}
    assert [c["id"] for c in records.all("Coverage")] == ["cov1"]


async def test_what_came_before_the_deadline_is_used(gathered: Gathered) -> None:
    async def slow_patient(asked: Asked) -> Response:
        return await never(asked) if "Patient/" in asked.path else good(asked)

    with served(slow_patient) as server:
        records = await gathered(hook(server.base, BY_REFERENCE), seconds=1.0)
    assert records.unread == ("patient",)
    assert "Medication/m1" in names(records)


async def test_a_dead_server_leaves_what_was_sent(gathered: Gathered) -> None:
    records = await gathered(hook(f"http://127.0.0.1:{closed_port()}/fhir", prefetch=SENT))
    assert set(records.unread) == {"patient", "practitioners"}


async def test_a_call_cannot_make_us_ask_without_end(gathered: Gathered) -> None:
    orders = [
        medication_request(
            id=f"mr{n}", medicationCodeableConcept=None, medicationReference={"reference": f"Medication/x{n}"}
        )
        for n in range(200)
    ]
    with served(good) as server:
        await gathered(hook(server.base, *orders))
    assert len(server.asked) <= 45


async def test_dispatched_orders_are_read_and_only_this_patients(gathered: Gathered) -> None:
    own = {**CODED, "id": "mr7", "status": "active"}
    foreign = {**own, "id": "mr8", "subject": {"reference": "Patient/p2"}}

    def answer(asked: Asked) -> Response:
        found = {"/fhir/MedicationRequest/mr7": own, "/fhir/MedicationRequest/mr8": foreign}.get(asked.path)
        return fhir(found) if found else good(asked)

    context = {
        "patientId": "p1",
        "performer": "Organization/x",
        "dispatchedOrders": ["MedicationRequest/mr7", "MedicationRequest/mr8"],
    }
    with served(answer) as server:
        call = hook(server.base, name="order-dispatch", context=context)
        records = await gathered(call)
    assert [order["id"] for order in records.all("MedicationRequest")] == ["mr7"]
    assert records.unread == ("medicationRequests",)
    sent = [value for value in with_orders(call, records).prefetch.values() if value]
    assert [entry["resource"]["id"] for bundle in sent for entry in bundle["entry"]] == ["mr7"]


async def test_active_orders_are_searched_at_an_encounter(gathered: Gathered) -> None:
    active = {**CODED, "id": "mr7", "status": "active"}
    with served(but(MedicationRequest=searchset(active), ServiceRequest=searchset())) as server:
        context = {"userId": "Practitioner/d1", "patientId": "p1", "encounterId": "e1"}
        records = await gathered(hook(server.base, name="encounter-start", context=context))
    assert [order["id"] for order in records.all("MedicationRequest")] == ["mr7"]
    (search,) = (asked for asked in server.asked if asked.path == "/fhir/MedicationRequest")
    assert search.parameters == [("patient", "p1"), ("status", "active")]


async def test_an_encounter_is_read_where_somebody_needs_it(gathered: Gathered) -> None:
    encounter = {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "planned",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/p1"},
    }
    with served(but(Encounter=encounter)) as server:
        records = await gathered(hook(server.base), needs=Needs((("encounter", "Encounter/e1"),)))
    assert [e["id"] for e in records.all("Encounter")] == ["e1"]


@pytest.mark.requirement("CRD sec-1")
async def test_neither_token_nor_patient_is_logged(gathered: Gathered, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with served(but(Medication=fhir(outcome(text="Garbo"), 500))) as server:
        call = hook(server.base, BY_REFERENCE)
        await gathered(call)
    ours = [record for record in caplog.records if record.name.startswith("service")]
    assert ours
    assert TOKEN not in caplog.text + repr(call)
    assert all("p1" not in record.getMessage() and "Garbo" not in record.getMessage() for record in ours)


async def test_the_ehr_has_less_than_the_hooks_time_and_is_one_of_the_callers() -> None:
    deadlines: list[float] = []
    asked_for: list[frozenset[str]] = []
    caller = replace(NOBODY, fhir_servers=frozenset({"https://ehr.example.org/fhir"}))

    class Clients:
        def open(
            self, server: str | None, token: str | None, *, deadline: float, registered: frozenset[str] = frozenset()
        ) -> None:
            deadlines.append(deadline)
            asked_for.append(registered)

    now = asyncio.get_running_loop().time()
    open_ehr(hook("https://ehr.example.org/fhir"), caller, Clients(), Settings(hook_seconds=4.0))
    open_ehr(hook("https://ehr.example.org/fhir"), caller, Clients(), Settings(hook_seconds=0.5))
    assert now + 2.9 < deadlines[0] < now + 3.5
    assert asked_for == [caller.fhir_servers] * 2
    assert now + 0.2 < deadlines[1] < now + 0.5

"""The chart that a policy's prepopulation logic reads: the right questions, one patient, nothing half read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from starlette.responses import Response

from service.app.parts import Rules
from service.crd.chart import DataRequirement, chart, data_requirements
from service.ehr.answer import Bounds
from service.ehr.client import HttpEhr, HttpEhrClients
from service.ehr.connection import CheckedTransport
from service.fhir.parse import StructureCheck
from tests.unit.crd.world import searchset
from tests.unit.ehr.conftest import DEVELOPMENT
from tests.unit.ehr.server import TOKEN, Asked, Json, fhir, never, outcome, served, together
from tests.unit.ehr.test_gather import hook

SYSTEM = "http://example.org/codes"
CONDITIONS = DataRequirement("Condition", ((SYSTEM, "C1"), (SYSTEM, "a,b|c$d")))
EVERYTHING = (
    CONDITIONS,
    DataRequirement("Observation", ((SYSTEM, "O1"),)),
    DataRequirement("MedicationRequest"),
    DataRequirement("MedicationAdministration"),
)


def record(kind: str, logical_id: str, patient: str = "Patient/p1", **changes: object) -> Json:
    return {"resourceType": kind, "id": logical_id, "subject": {"reference": patient}, **changes}


def condition(logical_id: str = "c1", patient: str = "Patient/p1") -> Json:
    return record("Condition", logical_id, patient)


def ordered(logical_id: str, medication: str) -> Json:
    reference = {"reference": f"Medication/{medication}"}
    return record("MedicationRequest", logical_id, status="active", intent="order", medicationReference=reference)


def medication(logical_id: str) -> Json:
    return {"resourceType": "Medication", "id": logical_id}


def by_kind(**found: Json | Response) -> Callable[[Asked], Response]:
    def answer(asked: Asked) -> Response:
        given = found.get(asked.path.split("/")[2], searchset())
        return given if isinstance(given, Response) else fhir(given)

    return answer


@pytest.fixture
async def ehr(check: StructureCheck) -> AsyncIterator[Callable[..., HttpEhr]]:
    opened: list[HttpEhrClients] = []

    def make(base: str, seconds: float = 20.0) -> HttpEhr:
        opened.append(HttpEhrClients(CheckedTransport(DEVELOPMENT), DEVELOPMENT, check, Bounds(seconds=20)))
        found = opened[-1].open(base, TOKEN, deadline=asyncio.get_running_loop().time() + seconds)
        assert found is not None
        return found

    yield make
    for clients in opened:
        await clients.close()


Ehr = Callable[..., HttpEhr]


def test_the_policys_own_library_says_what_is_asked(rules: Rules) -> None:
    for loaded in rules.registry.all():
        needs = {need.kind: need.codes for need in data_requirements(loaded)}
        declared = {
            requirement["type"]
            for library in loaded.libraries
            if loaded.prepopulation and library["name"] == loaded.prepopulation.name
            for requirement in library["dataRequirement"]
        }
        assert set(needs) == declared - {"Patient", "Medication"}
        sets = {
            (coding["system"], coding["code"])
            for value_set in loaded.value_sets
            for coding in value_set["expansion"]["contains"]
        }
        assert {code for codes in needs.values() for code in codes} <= sets
        assert all(needs[kind] for kind in {"Condition", "Observation"} & set(needs))


async def test_all_types_are_asked_for_at_once_by_patient_and_code(ehr: Ehr) -> None:
    with served(together(4, by_kind(Condition=searchset(condition())))) as server:
        found = await chart(hook(server.base), EVERYTHING, ehr(server.base))
    assert [r["id"] for r in found.records] == ["c1"]
    assert found.unread == ()
    asked = {each.path.split("/")[2]: dict(each.parameters) for each in server.asked}
    assert asked["Condition"] == {"patient": "p1", "code": f"{SYSTEM}|C1,{SYSTEM}|a\\,b\\|c\\$d"}
    assert asked["Observation"] == {"patient": "p1", "code": f"{SYSTEM}|O1"}
    assert asked["MedicationRequest"]["intent"].startswith("proposal,plan,order")
    assert asked["MedicationRequest"]["_include"] == "MedicationRequest:medication"
    assert asked["MedicationAdministration"] == {"patient": "p1", "_include": "MedicationAdministration:medication"}


async def test_types_that_are_no_chart_are_not_asked_for(ehr: Ehr) -> None:
    needs = [DataRequirement("Claim"), DataRequirement("Patient"), DataRequirement("../x")]
    with served(by_kind()) as server:
        found = await chart(hook(server.base), needs, ehr(server.base))
    assert (found.records, found.unread, server.asked) == ((), (), [])


async def test_a_server_without_the_code_parameter_is_asked_for_all(ehr: Ehr) -> None:
    def no_code(asked: Asked) -> Response:
        return fhir(outcome(), 400) if asked.values("code") else fhir(searchset(condition()))

    with served(no_code) as server:
        found = await chart(hook(server.base), [CONDITIONS], ehr(server.base))
    assert ([r["id"] for r in found.records], found.unread) == (["c1"], ())


@pytest.mark.parametrize("refusal", [None, fhir(outcome(), 400), fhir(outcome(), 403), fhir(outcome())])
async def test_medications_are_included_or_else_read(ehr: Ehr, refusal: Response | None) -> None:
    orders = [ordered("mr1", "m1"), ordered("mr2", "m2"), ordered("mr3", "m1")]

    def answer(asked: Asked) -> Response:
        if asked.path.startswith("/fhir/Medication/"):
            return fhir(medication(asked.path.rpartition("/")[2]))
        if asked.values("_include"):
            return refusal or fhir(searchset(*orders, medication("m1"), medication("m2")))
        return fhir(searchset(*orders))

    with served(answer) as server:
        found = await chart(hook(server.base), [DataRequirement("MedicationRequest")], ehr(server.base))
    assert [r["id"] for r in found.records] == ["mr1", "mr2", "mr3", "m1", "m2"]
    assert found.unread == ()
    reads = [path for path in server.paths() if path.startswith("Medication/")]
    assert sorted(reads) == ([] if refusal is None else ["Medication/m1", "Medication/m2"])


async def test_a_medication_that_nothing_refers_to_is_left(ehr: Ehr) -> None:
    page = searchset(ordered("mr1", "m1"), medication("m1"), medication("m9"))
    with served(by_kind(MedicationRequest=page)) as server:
        found = await chart(hook(server.base), [DataRequirement("MedicationRequest")], ehr(server.base))
    assert [r["id"] for r in found.records] == ["mr1", "m1"]


async def test_a_medication_that_is_gone_is_named(ehr: Ehr) -> None:
    with served(
        by_kind(MedicationRequest=searchset(ordered("mr1", "m1")), Medication=fhir(outcome(), 404))
    ) as server:
        found = await chart(hook(server.base), [DataRequirement("MedicationRequest")], ehr(server.base))
    assert [r["id"] for r in found.records] == ["mr1"]
    assert found.unread == ("Medication",)


@pytest.mark.parametrize(
    "stranger",
    [
        condition("c9", "Patient/p2"),
        condition("c9", "https://other.example/fhir/Patient/p1"),
        condition("c9", "Group/p1"),
        condition("c9", "urn:uuid:0b3f"),
    ],
)
async def test_records_of_anybody_else_are_never_used(ehr: Ehr, stranger: Json) -> None:
    with served(by_kind(Condition=searchset(condition(), stranger))) as server:
        found = await chart(hook(server.base), [CONDITIONS], ehr(server.base))
    assert [r["id"] for r in found.records] == ["c1"]
    assert found.unread == ("Condition",)


async def test_what_fails_is_named_and_the_rest_given(ehr: Ehr) -> None:
    with served(by_kind(Condition=searchset(condition()), Observation=fhir(outcome(), 500))) as server:
        found = await chart(hook(server.base), EVERYTHING, ehr(server.base))
    assert [r["id"] for r in found.records] == ["c1"]
    assert found.unread == ("Observation",)


async def test_a_slow_chart_is_left_by_the_deadline(ehr: Ehr) -> None:
    with served(never) as server:
        found = await chart(hook(server.base), EVERYTHING, ehr(server.base, seconds=0.2))
    assert found.records == ()
    assert set(found.unread) == {need.kind for need in EVERYTHING}

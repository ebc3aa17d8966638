"""What the provider learns from a card about the record, under the repository's own policy and logic."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import pytest

from service.app.chart_reader import ChartReader
from service.app.parts import Rules
from service.crd.chart_view import ReadChart
from service.errors import EngineFailed
from service.fhir.canonical import HCPCS, ICD10_CM, NDC, SNOMED
from service.policy.case import Authorization, MemberId
from service.policy.dates import DatePeriod
from service.ports import LoadedPolicy, Resource
from service.settings import Settings
from tests.doubles import FrozenClock
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.world import NOW, AuthorizingStore, Json, medication_request, patient, request, searchset

Opened = Callable[..., Endpoint]
ORDER = medication_request(medicationCodeableConcept={"coding": [{"system": HCPCS, "code": "J9026"}]})
SCLC = "Does the patient have extensive-stage small cell lung cancer (ES-SCLC)?"
PROGRESSED = "Has the patient had disease progression on or after platinum-based chemotherapy?"


def condition(subject: str = "Patient/p1", **changes: Any) -> Json:
    made: Json = {
        "resourceType": "Condition",
        "id": "c1",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "code": {
            "coding": [{"system": SNOMED, "code": "67841000119103"}],
            "text": "Extensive stage small cell lung cancer",
        },
        "subject": {"reference": subject},
    }
    return {**made, **changes}


def asked(*records: Json, **changes: Any) -> Json:
    body = request(ORDER, **changes)
    body["prefetch"]["conditions"] = searchset(*records)
    return body


@pytest.fixture
def charted(opened: Opened, rules: Rules) -> Callable[..., Endpoint]:
    """An endpoint with the repository's policies that reads charts; `read` replaces its reader."""

    def make(read: ReadChart | None = None, **changes: Any) -> Endpoint:
        reader = read or ChartReader(rules.engine, FrozenClock(NOW))
        return opened(registry=rules.registry, read_chart=reader, **changes)

    return make


def card_of(response: Mapping[str, Any]) -> str:
    detail: str = response["cards"][0]["detail"]
    return detail


async def test_the_card_says_what_the_record_answers_and_what_is_left(charted: Callable[..., Endpoint]) -> None:
    answered, _, left = card_of(await charted().call(asked(condition()))).partition("Still to be answered")
    assert f"- {SCLC} yes" in answered
    assert "- Patient’s date of birth: 1958-02-03" in answered
    assert PROGRESSED in left
    assert "step-up dosing schedule" in left
    assert "Platinum-based chemotherapy given" not in left, "an optional question is nothing that remains"
    assert SCLC not in left


async def test_what_the_record_does_not_say_is_left(charted: Callable[..., Endpoint]) -> None:
    other = condition(code={"coding": [{"system": ICD10_CM, "code": "I10"}]})
    _, _, left = card_of(await charted().call(asked(other))).partition("Still to be answered")
    assert SCLC in left


async def test_somebody_elses_record_answers_nothing(charted: Callable[..., Endpoint]) -> None:
    _, _, left = card_of(await charted().call(asked(condition("Patient/p2")))).partition("Still to be answered")
    assert SCLC in left


async def test_a_renewal_is_told_of_its_own_form(charted: Callable[..., Endpoint]) -> None:
    period = DatePeriod(date(2025, 12, 4), date(2026, 12, 3))
    store = AuthorizingStore(Authorization("A-1", "imdelltra", MemberId("M-1"), period))
    _, _, left = card_of(await charted(store=store).call(asked(condition()))).partition("Still to be answered")
    assert "unacceptable toxicity" in left


@pytest.mark.parametrize("chart", [[], [patient()]])
async def test_without_clinical_records_the_card_is_as_ever(charted: Callable[..., Endpoint], chart: Any) -> None:
    async def never(*_arguments: Any) -> None:
        raise AssertionError("there is nothing to read")

    assert "The record" not in card_of(await charted(never).call(asked(*chart)))


async def test_order_select_reads_no_chart(charted: Callable[..., Endpoint]) -> None:
    async def never(*_arguments: Any) -> None:
        raise AssertionError("no form is given")

    await charted(never).call(asked(condition(), hook="order-select"))


async def test_without_the_patients_own_record_nothing_is_said(charted: Callable[..., Endpoint]) -> None:
    body = asked(condition())
    del body["prefetch"]["patient"]
    assert "Still to be answered" not in card_of(await charted().call(body))


async def _failing(*_arguments: Any) -> Sequence[Mapping[str, Any]] | None:
    raise EngineFailed("It failed.")


async def _slow(*_arguments: Any) -> Sequence[Mapping[str, Any]] | None:
    await asyncio.Event().wait()
    return None


@pytest.mark.parametrize("read", [_failing, _slow])
async def test_a_chart_that_cannot_be_read_costs_the_card_nothing_else(
    charted: Callable[..., Endpoint], read: ReadChart, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    settings = Settings(trust_presented_coverage=True, hook_seconds=0.2)
    response = await charted(read, settings=settings).call(asked(condition()))
    assert len(response["systemActions"]) == 1
    assert "needs prior authorization" in card_of(response)
    assert "Still to be answered" not in card_of(response)
    assert [record.message for record in caplog.records] == ["the chart was not read for a card"]


async def test_broken_records_are_left_out(charted: Callable[..., Endpoint]) -> None:
    seen: list[Sequence[Resource]] = []

    async def reading(
        _loaded: LoadedPolicy, _form: Resource, records: Sequence[Resource], _patient: str
    ) -> Sequence[Mapping[str, Any]] | None:
        seen.append(records)
        return []

    await charted(reading).call(asked(condition(), condition(id="c2", code="I10")))
    assert [r["id"] for r in seen[0] if r["resourceType"] == "Condition"] == ["c1"]


async def test_a_form_is_read_once_for_all_its_orders(charted: Callable[..., Endpoint]) -> None:
    calls: list[str] = []

    async def reading(*arguments: Any) -> Sequence[Mapping[str, Any]] | None:
        calls.append(arguments[3])
        return []

    body = asked(condition())
    again = medication_request(
        id="mr2", medicationCodeableConcept={"coding": [{"system": NDC, "code": "55513-059-01"}]}
    )
    body["context"]["draftOrders"]["entry"].append({"resource": again})
    await charted(reading).call(body)
    assert calls == ["p1"]

"""What CRD said about an order is found again from the request that follows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.determine.asserted import coverage_key
from service.fhir.canonical import CRD_COVERAGE_INFORMATION
from service.fhir.json import encode
from service.pas.shape import Version
from service.policy.case import Case, ClientId, MemberId
from service.ports import Assertion
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import CLINIC, NOW, Payer

Json = dict[str, Any]
MADE = "00000000-aaaa-4000-8000-000000000001"
OTHER = "00000000-aaaa-4000-8000-000000000002"
VERSIONS = pytest.mark.parametrize("version", ["2.2.1", "2.0.1"])


def assertion(number: str = MADE, client: str = CLINIC, member: str | None = "M000123", **changes: Any) -> Assertion:
    known = MemberId(member) if member else None
    made: Json = {
        "id": number,
        "client": ClientId(client),
        "order_key": number,
        "coverage_key": coverage_key("Coverage/c9", known),
        "order_reference": "MedicationRequest/9",
        "coverage_reference": "Coverage/c9",
        "policy_id": "imdelltra",
        "questionnaire": None,
        "made_at": NOW,
        "shown": {},
        **changes,
    }
    return Assertion(**made)


def annotated(resource: Json, *ids: Any) -> Json:
    """A resource with a coverage-information of each id."""
    blocks = [
        {
            "url": CRD_COVERAGE_INFORMATION,
            "extension": [
                {"url": "coverage", "valueReference": {"reference": "Coverage/c9"}},
                {"url": "coverage-assertion-id", "valueString": assertion_id},
            ],
        }
        for assertion_id in ids
    ]
    return {**resource, "extension": [*resource.get("extension", []), *blocks]}


def ordered(*ids: Any, **changed: Json) -> Json:
    return b.bundle({b.ORDER: annotated(b.order(), *ids), **changed})


async def decided(payer: Payer, request: Json, version: Version = "2.2.1") -> tuple[Case, Json]:
    """The newest case, and what its audit trail says of assertions."""
    await payer.submit(request, version)
    case = (await payer.cases())[0]
    [*_, entry] = await payer.store.audit(case.id)
    noted: Json = json.loads(entry.document)["assertions"]
    return case, noted


@VERSIONS
async def test_the_line_is_known_by_the_assertion_of_its_order(payer: Payer, version: Version) -> None:
    await payer.store.save_assertions([assertion()])
    case, noted = await decided(payer, ordered("of-another-payer", MADE), version)
    assert [line.assertion_id for line in case.lines] == [MADE]
    assert noted == {"lines": {"1": MADE}, "unknown": []}


async def test_the_form_or_the_trace_number_may_carry_it(payer: Payer) -> None:
    await payer.store.save_assertions([assertion()])
    case, _ = await decided(payer, b.bundle({b.RESPONSE: annotated(b.response(), MADE)}))
    assert case.lines[0].assertion_id == MADE
    item = b.item()
    trace = next(one for one in item["extension"] if one["url"].endswith("itemTraceNumber"))
    trace["valueIdentifier"]["value"] = MADE
    case, noted = await decided(payer, b.bundle({b.CLAIM: b.claim(item, id="traced")}))
    assert case.lines[0].assertion_id == MADE
    assert noted["unknown"] == []


@pytest.mark.parametrize(
    "known",
    [[], [assertion(client="somebody-else")], [assertion(member="M999999")]],
    ids=["unknown", "another client's", "another member's"],
)
async def test_an_id_that_is_not_ours_to_this_client_and_member_is_only_noted(
    payer: Payer, known: list[Assertion]
) -> None:
    plain = await payer.submit(b.bundle())
    await payer.store.save_assertions(known)
    case, noted = await decided(payer, ordered(MADE))
    assert case.lines[0].assertion_id is None
    assert noted == {"lines": {}, "unknown": [1]}
    # Nobody is told: the answer is that of a request without it.
    assert plain["entry"][0]["resource"]["outcome"] == "complete"
    [one] = [line.determination.outcome for line in case.lines]
    assert one == (await payer.cases())[-1].lines[0].determination.outcome


async def test_a_request_that_carries_none_has_nothing_noted(payer: Payer) -> None:
    case, noted = await decided(payer, b.bundle())
    assert case.lines[0].assertion_id is None
    assert noted == {"lines": {}, "unknown": []}


async def test_an_assertion_about_no_known_member_counts_and_one_about_another_policy_does_not(payer: Payer) -> None:
    await payer.store.save_assertions([assertion(OTHER, policy_id="another"), assertion(member=None)])
    case, _ = await decided(payer, ordered(OTHER, MADE))
    assert case.lines[0].assertion_id == MADE


@pytest.mark.parametrize("odd", [" ", "x" * 5000, "%00", "' OR 1=1", "\U0001f600"])
async def test_an_odd_id_is_no_fault(payer: Payer, odd: str) -> None:
    reply = await payer.submit_bytes(encode(b.bundle({b.RESPONSE: annotated(b.response(), odd, odd)})))
    assert json.loads(reply)["entry"][0]["resource"]["resourceType"] == "ClaimResponse"


async def test_of_many_ids_only_some_are_looked_up(payer: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = payer.store.assertion

    async def counted(assertion_id: str) -> Assertion | None:
        asked.append(assertion_id)
        return await real(assertion_id)

    monkeypatch.setattr(payer.store, "assertion", counted)
    _, noted = await decided(payer, ordered(*(f"id-{number}" for number in range(500))))
    assert len(asked) == 20
    assert noted["unknown"] == [1]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_an_update_that_carries_none_keeps_it(payer: Payer, cancelled: bool) -> None:
    await payer.store.save_assertions([assertion()])
    await payer.submit(ordered(MADE))
    item = b.item(quantity={"value": 30, "unit": "unit"})
    if cancelled:
        kind = next(one for one in item["extension"] if one["url"].endswith("certificationType"))
        kind["valueCodeableConcept"] = b.coded("https://codesystem.x12.org/005010/1322", "3")
    related = {
        "relationship": b.coded("http://terminology.hl7.org/CodeSystem/ex-relatedclaimrelationship", "replaces"),
        "claim": {"identifier": b.claim()["identifier"][0]},
    }
    second = "urn:uuid:a0000000-0000-4000-8000-000000000002"
    parts = b.bundle()["entry"][1:]
    claim = b.claim(item, id="second", related=[related], identifier=[{"system": "urn:x", "value": "U-2"}])
    case, noted = await decided(payer, {**b.bundle(), "entry": [{"fullUrl": second, "resource": claim}, *parts]})
    assert case.replaces is not None
    assert case.lines[0].assertion_id == MADE
    assert noted == {"lines": {"1": MADE}, "unknown": []}

"""The guide's statements on endpoints, inquiries and how long an answer can be had."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.app.compose import create_app
from service.pas.shape import Version
from service.settings import Settings
from tests.doubles import FrozenClock
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import BOTH, UNMET, Json, cancelled, codes, first, info, update
from tests.unit.pas.payer import NOW, PAS, Payer, code_of, extension_of, response_of
from tests.unit.pas.test_inquire import found, inquiry, line

BASES: dict[Version, str] = {"2.2.1": "/fhir", "2.0.1": "/2.0.1/fhir"}


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return create_app(Settings(demo=True), tmp_path, clock=FrozenClock(NOW))


@pytest.fixture
async def whole(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """The whole application, as the demo runs it."""
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client


@pytest.mark.requirement("conf-1", "conf-3", "spec-6")
@pytest.mark.filterwarnings("ignore:Duplicate Operation ID")  # of two methods of one path; nobody reads these ids
async def test_each_version_has_one_endpoint_of_its_own(app: FastAPI, whole: httpx.AsyncClient) -> None:
    submits = [path for path in app.openapi()["paths"] if path.endswith("$submit")]
    assert sorted(submits) == ["/2.0.1/fhir/Claim/$submit", "/fhir/Claim/$submit"]
    for version, base in BASES.items():
        guides = (await whole.get(f"{base}/metadata")).json()["implementationGuide"]
        assert [one for one in guides if "davinci-pas" in one] == [
            f"http://hl7.org/fhir/us/davinci-pas/ImplementationGuide/hl7.fhir.us.davinci-pas|{version}"
        ]
        answer = (await whole.post(f"{base}/Claim/$submit", json=b.bundle({b.RESPONSE: b.response({})}))).json()
        # What pends is told with another outcome in each version, and refers to its own endpoint only.
        assert response_of(answer)["outcome"] == {"2.2.1": "partial", "2.0.1": "queued"}[version]
        own = [one["fullUrl"] for one in answer["entry"] if not one["fullUrl"].startswith("urn:")]
        assert own
        assert all(f"{base}/" in url and ("/2.0.1/" in url) == (version == "2.0.1") for url in own)


KINDS = {
    "commercial": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "EHCPOL"}]},
    "public": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PUBLICPOL"}]},
    "other": {"coding": [{"system": "https://payer.example.org/line-of-business", "code": "MA"}]},
    "unsaid": None,
}


@BOTH
@pytest.mark.requirement("conf-3", "spec-6")
async def test_one_endpoint_takes_all_coverages(whole: httpx.AsyncClient, version: Version) -> None:
    for number, (name, kind) in enumerate(KINDS.items(), start=1):
        coverage = b.coverage(**({"type": kind} if kind else {}))
        coverage["class"] = [{"type": b.coded("urn:x", "plan"), "value": f"PLAN-{number}"}]
        item = b.item(servicedPeriod={"start": f"2026-09-{number:02d}", "end": f"2026-09-{number:02d}"})
        bundle = b.bundle({b.COVERAGE: coverage, b.CLAIM: b.claim(item)})
        answer = await whole.post(f"{BASES[version]}/Claim/$submit", json=bundle)
        assert answer.status_code == 200, name
        assert code_of(response_of(answer.json())["item"][0]) == "A1", name


@BOTH
@pytest.mark.requirement("use-1", "spec-30")
async def test_whatever_is_decided_a_bundle_with_a_claim_response_first_comes_back(
    payer: Payer, version: Version
) -> None:
    for changed in ({}, {b.RESPONSE: UNMET}, {b.INSURER: b.insurer("OTHER")}):
        answer = await payer.submit(b.bundle(changed), version)
        assert (answer["resourceType"], answer["type"]) == ("Bundle", "collection")
        assert response_of(answer)["use"] == "preauthorization"


@BOTH
@pytest.mark.requirement("spec-44")
async def test_an_inquiry_s_answer_names_the_claim_that_it_answers(payer: Payer, version: Version) -> None:
    """All that is here came in as a Claim, so there is one to refer to; its trace number comes along."""
    await payer.submit(b.bundle(), version)
    await payer.submit(b.bundle({b.RESPONSE: UNMET}), version)
    hits = found(await payer.inquire(inquiry(), version))
    assert len(hits) == 2
    for response in hits:
        assert response["request"] == {"reference": b.CLAIM}
        assert {"system": "urn:trnorg:1245319599", "value": "TRN-2026-000123"} in response["identifier"]


@BOTH
@pytest.mark.requirement("spec-46", "spec-34")
async def test_an_inquiry_tells_every_item_as_it_stands_now(payer: Payer, version: Version) -> None:
    """One as it was, one changed, one cancelled, one added: all four, under their own sequences."""
    await payer.submit(first(b.item(3), b.item(1), b.item(7)), version)
    fewer = info(b.item(1, quantity={"value": 5, "unit": "unit"}), "changed")
    other = b.item(9, code="99212")
    await payer.submit(update(b.item(3), fewer, cancelled(b.item(7)), info(other, "added")), version)
    [response] = found(await payer.inquire(inquiry(), version))
    assert codes(response) == {3: "A1", 1: "A1", 7: "C", 9: "A4"}
    traces = {
        item["itemSequence"]: (extension_of(item, "itemTraceNumber") or {})["valueIdentifier"]["value"]
        for item in response["item"]
    }
    assert traces == {number: f"LINE-{number}" for number in (1, 3, 7, 9)}


def units(count: int, number: int) -> Json:
    """A version that asks for another quantity."""
    return update(info(b.item(1, quantity={"value": count, "unit": "unit"}), "changed"), number=number)


@BOTH
@pytest.mark.parametrize("name", ["authorizationNumber", "administrationReferenceNumber"])
@pytest.mark.requirement("spec-47", "spec-48")
async def test_every_number_of_a_chain_leads_to_its_end(payer: Payer, version: Version, name: str) -> None:
    """Three versions, each with a number of its own; the oldest is no longer told anywhere, and is still known."""
    if name == "authorizationNumber":
        versions = [first(b.item(1)), units(5, 2), units(6, 3)]
        told = [response_of(await payer.submit(one, version)) for one in versions]
        numbers = [one["preAuthRef"] for one in told]
        assert len(set(numbers)) == 3
    else:
        told = [response_of(await payer.submit(first(b.item(1), RESPONSE=UNMET), version))]
        numbers = [(extension_of(told[0]["item"][0], name) or {})["valueString"]]
        told += [response_of(await payer.submit(one, version)) for one in (units(5, 2), units(6, 3))]
        assert "preAuthRef" in told[-1]
    for number in numbers:
        asked = inquiry(line(extension=[{"url": PAS + name, "valueString": number}]))
        assert [one["id"] for one in found(await payer.inquire(asked, version))] == [told[-1]["id"]]


HALF_A_YEAR = timedelta(days=184)


@BOTH
@pytest.mark.requirement("spec-73")
async def test_what_pended_is_found_half_a_year_after_the_services(payer: Payer, version: Version) -> None:
    """The services end on 30 November 2026: a case that waits, and one that was decided since, are both there."""
    await payer.submit(first(b.item(1), RESPONSE=UNMET), version)
    await payer.submit(first(b.item(2), RESPONSE=b.response({})), version)
    await payer.submit(update(b.item(2)), version)
    payer.clock.advance(timedelta(days=90) + HALF_A_YEAR)
    asked = line()
    assert sorted(codes(one).popitem()[1] for one in found(await payer.inquire(inquiry(asked), version))) == [
        "A1",
        "A4",
    ]


@BOTH
@pytest.mark.requirement("spec-25", "spec-24", "conf-10")
async def test_what_is_not_processed_is_ignored(payer: Payer, version: Version) -> None:
    """Elements of R4 that no profile supports, extensions of others: the same decision. A modifier is not ignored."""
    plain: dict[str, Json] = {
        b.CLAIM: b.claim(
            b.item(net={"value": 1, "currency": "USD"}, extension=[*b.item()["extension"], _foreign()]),
            subType=b.coded("urn:x", "y"),
            total={"value": 1, "currency": "USD"},
            extension=[_foreign()],
        ),
        b.PATIENT: {**b.patient(), "deceasedBoolean": False, "extension": [_foreign()]},
        b.COVERAGE: b.coverage(dependent="01", network="N"),
    }
    assert codes(response_of(await payer.submit(b.bundle(plain), version))) == {1: "A1"}
    modified = b.claim(b.item(modifierExtension=[_foreign()]))
    assert codes(response_of(await payer.submit(b.bundle({b.CLAIM: modified}), version))) == {1: "A4"}


def _foreign() -> dict[str, Any]:
    return {"url": "https://ehr.example.org/StructureDefinition/own", "valueString": "own"}

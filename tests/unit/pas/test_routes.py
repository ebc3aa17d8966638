"""PAS over HTTP: paths, scopes, media type, and that a fault is an OperationOutcome and never a 5xx."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from service.fhir.json import encode
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import Payer, response_of

Json = dict[str, Any]


@pytest.mark.requirement("spec-11", "spec-39", "use-1")
async def test_submit_inquire_and_read(payer: Payer, http: httpx.AsyncClient) -> None:
    submitted = await http.post("/fhir/Claim/$submit", content=encode(b.bundle()))
    assert submitted.status_code == 200
    assert submitted.headers["content-type"].startswith("application/fhir+json")
    response = response_of(submitted.json())
    read = await http.get(submitted.json()["entry"][0]["fullUrl"])
    assert (read.status_code, read.json()) == (200, response)
    inquired = await http.post("/fhir/Claim/$inquire", content=encode(b.bundle()))
    assert inquired.json()["resourceType"] == "Parameters"
    older = await http.post("/2.0.1/fhir/Claim/$inquire", content=encode(b.bundle()))
    assert older.json()["resourceType"] == "Bundle"
    assert payer.scopes == ["system/Claim.cu", "system/ClaimResponse.rs", "system/Claim.rs", "system/Claim.rs"]


async def test_a_repeated_submission_gets_identical_bytes(http: httpx.AsyncClient) -> None:
    first = await http.post("/fhir/Claim/$submit", content=encode(b.bundle()))
    again = await http.post("/fhir/Claim/$submit", content=encode(b.bundle()))
    assert first.content == again.content


async def test_a_case_is_read_in_either_version(http: httpx.AsyncClient) -> None:
    bundle = b.bundle({b.RESPONSE: b.response({})})
    case_id = response_of((await http.post("/fhir/Claim/$submit", content=encode(bundle))).json())["id"]
    outcomes = [
        (await http.get(f"{base}/ClaimResponse/{case_id}")).json()["outcome"] for base in ("/fhir", "/2.0.1/fhir")
    ]
    assert outcomes == ["partial", "queued"]


async def test_only_the_client_itself_reads_a_case(http: httpx.AsyncClient) -> None:
    submitted = response_of((await http.post("/fhir/Claim/$submit", content=encode(b.bundle()))).json())
    for path, client in ((submitted["id"], "other"), ("no-such-case", "clinic")):
        read = await http.get(f"/fhir/ClaimResponse/{path}", headers={"x-client": client})
        assert read.status_code == 404
        assert read.json()["resourceType"] == "OperationOutcome"
        assert "clinic" not in read.text


BROKEN = {
    "nothing": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"resourceType":"Bundle\xff"}',
    "no object": b"[]",
    "no Bundle": b'{"resourceType":"Patient"}',
    "empty entry": b'{"resourceType":"Bundle","type":"collection","entry":[]}',
    "a lone surrogate": b'{"resourceType":"Bundle","type":"collection","entry":[],"id":"\\ud800"}',
    "too deep": b'{"a":' * 500 + b"1" + b"}" * 500,
    "far too deep": b"[" * 100_000 + b"]" * 100_000,
}


@pytest.mark.parametrize("operation", ["submit", "inquire"])
@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.requirement("spec-35")
async def test_what_cannot_be_read_is_an_operation_outcome(
    http: httpx.AsyncClient, operation: str, name: str
) -> None:
    answer = await http.post(f"/fhir/Claim/${operation}", content=BROKEN[name])
    assert answer.status_code in {400, 413}
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert {"severity", "code", "details", "diagnostics"} <= set(outcome["issue"][0])


@pytest.mark.parametrize("operation", ["Claim/$submit", "Claim/$inquire", "$submit-attachment"])
async def test_a_message_with_two_readings_is_refused(payer: Payer, http: httpx.AsyncClient, operation: str) -> None:
    """Which of two equal names counts differs between readers: nobody is approved on one of them."""
    unmet = encode(b.bundle({b.RESPONSE: b.response({**b.ANSWERS, "es-sclc": False})}))
    twice = unmet.replace(b'"valueBoolean":false', b'"valueBoolean":false,"valueBoolean":true', 1)
    assert twice != unmet
    answer = await http.post(f"/fhir/{operation}", content=twice)
    assert answer.status_code == 400
    assert "the same name twice" in answer.json()["issue"][0]["diagnostics"]
    assert await payer.cases() == []


async def test_a_fault_does_not_repeat_what_was_sent(http: httpx.AsyncClient) -> None:
    bundle = b.bundle()
    bundle["entry"][0]["resource"]["status"] = "Zebediah"
    bundle["entry"][1]["resource"]["birthDate"] = "Zebediah"
    answer = await http.post("/fhir/Claim/$submit", content=encode(bundle))
    assert answer.status_code == 400
    assert "Zebediah" not in answer.text
    assert "birthDate" in answer.text


async def test_hidden_characters_do_not_break_an_answer(http: httpx.AsyncClient) -> None:
    bundle = json.loads(encode(b.bundle()))
    bundle["entry"][1]["resource"]["name"][0]["family"] = "Doe\u2028\u200b\U0001f600"
    answer = await http.post("/fhir/Claim/$submit", content=encode(bundle))
    assert answer.status_code == 200
    assert answer.json()["entry"][1]["resource"]["name"][0]["family"] == "Doe\u2028\u200b\U0001f600"

"""The demo EHR's authorization server and what its FHIR base lets a launched app write."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from service.ehr.app_key import new_key
from tests.unit.demo.conftest import APP_KEY, CALLBACK, EHR_BASE, NOW

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
TOKEN = EHR_BASE.replace("/fhir", "/oauth/token")
SCOPES = "launch openid patient/*.rs patient/QuestionnaireResponse.cus"
RESPONSE = {
    "resourceType": "QuestionnaireResponse",
    "status": "in-progress",
    "subject": {"reference": "Patient/male"},
}


async def authorized(browser: httpx.AsyncClient, **changed: str) -> dict[str, str]:
    """What the browser is sent back with, after a click on the demo's button."""
    clicked = await browser.post("/demo/male/open-app", data={"user": "nurse"})
    launch = parse_qs(urlsplit(clicked.headers["location"]).query)
    asked = {
        "response_type": "code",
        "client_id": "dtr-app",
        "redirect_uri": CALLBACK,
        "scope": SCOPES,
        "state": "a-state",
        "aud": launch["iss"][0],
        "launch": launch["launch"][0],
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | changed
    answer = await browser.get("/demo/oauth/authorize", params=asked)
    if answer.status_code != 302:
        return {"status": str(answer.status_code)}
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


async def exchanged(browser: httpx.AsyncClient, code: str, /, **changed: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        **APP_KEY.assertion("dtr-app", TOKEN, NOW),
    }
    return await browser.post("/demo/oauth/token", data=form | changed)


async def bearer(browser: httpx.AsyncClient, scope: str = SCOPES) -> dict[str, str]:
    back = await authorized(browser, scope=scope)
    return {"Authorization": f"Bearer {(await exchanged(browser, back['code'])).json()['access_token']}"}


async def test_a_code_is_exchanged_once_and_carries_the_context(browser: httpx.AsyncClient) -> None:
    back = await authorized(browser)
    assert back["state"] == "a-state"
    granted = (await exchanged(browser, back["code"])).json()
    assert granted["patient"] == "male"
    references = [each["reference"] for each in granted["fhirContext"]]
    assert references == ["MedicationRequest/male-order", "Coverage/male-coverage"]
    assert (await exchanged(browser, back["code"])).json() == {"error": "invalid_grant"}


@pytest.mark.parametrize(
    "changed",
    [
        {"code_verifier": "w" * 43},
        {"redirect_uri": "https://elsewhere.example.org"},
        {"code": "guessed"},
        new_key().assertion("dtr-app", TOKEN, NOW),
        APP_KEY.assertion("another", TOKEN, NOW),
        APP_KEY.assertion("dtr-app", "https://elsewhere.example.org/token", NOW),
        {"client_assertion": "nonsense"},
    ],
    ids=["verifier", "redirect", "code", "key", "client", "audience", "no assertion"],
)
async def test_what_is_not_proven_gets_no_token(browser: httpx.AsyncClient, changed: dict[str, str]) -> None:
    back = await authorized(browser)
    answer = await exchanged(browser, back["code"], **changed)
    assert answer.status_code in {400, 401}
    assert set(answer.json()) == {"error"}


async def test_an_assertion_counts_once(browser: httpx.AsyncClient) -> None:
    proof = APP_KEY.assertion("dtr-app", TOKEN, NOW)
    first = await exchanged(browser, (await authorized(browser))["code"], **proof)
    second = await exchanged(browser, (await authorized(browser))["code"], **proof)
    assert (first.status_code, second.status_code) == (200, 401)


@pytest.mark.parametrize("changed", [{"client_id": "another"}, {"redirect_uri": "https://elsewhere.example.org"}])
async def test_an_app_that_is_not_registered_is_sent_nowhere(
    browser: httpx.AsyncClient, changed: dict[str, str]
) -> None:
    assert await authorized(browser, **changed) == {"status": "403"}


@pytest.mark.parametrize(
    "changed", [{"launch": "guessed"}, {"aud": "https://elsewhere.example.org"}, {"code_challenge_method": "plain"}]
)
async def test_a_request_that_is_not_sound_gets_no_code(browser: httpx.AsyncClient, changed: dict[str, str]) -> None:
    assert await authorized(browser, **changed) == {"error": "invalid_request", "state": "a-state"}


async def test_a_response_is_created_and_updated_over_its_own_version_only(browser: httpx.AsyncClient) -> None:
    headers = await bearer(browser)
    created = await browser.post("/demo/fhir/QuestionnaireResponse", json=RESPONSE, headers=headers)
    path = created.headers["location"].removeprefix(EHR_BASE)
    assert (created.status_code, created.json()["meta"]["versionId"]) == (201, "1")
    held: dict[str, Any] = {**created.json(), "status": "completed"}
    over = {**headers, "If-Match": 'W/"1"'}
    assert (await browser.put(f"/demo/fhir{path}", json=held, headers=over)).json()["meta"]["versionId"] == "2"
    assert (await browser.put(f"/demo/fhir{path}", json=held, headers=over)).status_code == 409
    found = (await browser.get("/demo/fhir/QuestionnaireResponse?patient=male&status=completed")).json()
    assert found["total"] == 1


async def test_writing_takes_a_token_with_the_scope_for_the_patient(browser: httpx.AsyncClient) -> None:
    path = "/demo/fhir/QuestionnaireResponse"
    assert (await browser.post(path, json=RESPONSE)).status_code == 401
    unknown = {"Authorization": "Bearer guessed"}
    assert (await browser.post(path, json=RESPONSE, headers=unknown)).status_code == 401
    assert (await browser.get("/demo/fhir/Patient/male", headers=unknown)).status_code == 401
    narrow = await bearer(browser, "launch")
    assert (await browser.post(path, json=RESPONSE, headers=narrow)).status_code == 403
    other = {**RESPONSE, "subject": {"reference": "Patient/minor"}}
    assert (await browser.post(path, json=other, headers=await bearer(browser))).status_code == 403


async def test_only_the_clinics_users_open_the_app(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/demo/male/open-app", data={"user": "somebody"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("context", "references"),
    [({}, []), ({"appContext": "order=MedicationRequest/male-order"}, ["MedicationRequest/male-order"])],
)
async def test_a_client_turns_a_link_into_a_launch(
    browser: httpx.AsyncClient, context: dict[str, str], references: list[str]
) -> None:
    asked = {"launchUrl": "https://payer.example.org/dtr/launch", "parameters": {"patient": "male", **context}}
    answer = await browser.post("/demo/fhir/_services/smart/Launch", json=asked)
    back = await authorized(browser, launch=answer.json()["launch_id"])
    granted = (await exchanged(browser, back["code"])).json()
    assert granted["patient"] == "male"
    assert [each["reference"] for each in granted.get("fhirContext", ())] == references


@pytest.mark.parametrize(
    ("asked", "status"),
    [([], 400), ({}, 400), ({"parameters": {"patient": 7}}, 400), ({"parameters": {"patient": "nobody"}}, 404)],
)
async def test_a_launch_is_for_a_known_patient(browser: httpx.AsyncClient, asked: Any, status: int) -> None:
    answer = await browser.post("/demo/fhir/_services/smart/Launch", json=asked)
    assert answer.status_code == status

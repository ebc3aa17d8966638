"""Who may ask the whole application for forms: registered clients with a token of Backend Services, nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from itertools import count
from pathlib import Path

import pytest

from service.access.tokens import ASSERTION_TYPE
from service.app.parts import Rules
from tests.unit.access.signing import BASE, claims, ec_key, signed
from tests.unit.app.test_hook_clients import Client, opened
from tests.unit.dtr.samples import Json, by_order, packages

BASES = pytest.mark.parametrize("base", ["/fhir", "/2.0.1/fhir"])
CALLS = {
    "/Questionnaire/$questionnaire-package": "system/Questionnaire.rs",
    "/Questionnaire/$next-question": "system/Questionnaire.rs",
    "/Questionnaire/$log-questionnaire-errors": "system/Questionnaire.rs",
    "/ValueSet/$expand": "system/ValueSet.rs",
}
CLIENT = """
[[client]]
id = "forms"
name = "Another EHR"
issuers = ["https://forms.example.org"]
scopes = ["system/Questionnaire.rs", "system/ValueSet.rs", "system/Claim.cu"]
jwks_file = "ehr.jwks.json"
"""
EMPTY: Json = {"resourceType": "Parameters", "parameter": []}
_numbers = count()


@pytest.fixture
async def client(tmp_path: Path, rules: Rules) -> AsyncIterator[Client]:
    async with opened(tmp_path, rules, CLIENT) as known:
        yield known


async def token(client: Client, base: str, scopes: Iterable[str]) -> str:
    found = (await client.http.get(f"{base}/.well-known/smart-configuration")).json()
    made = claims(found["token_endpoint"], iss="forms", sub="forms", jti=f"assertion-{next(_numbers)}")
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": signed(made, ec_key("k-ec")),
        "scope": " ".join(scopes),
    }
    answer = await client.http.post(f"{base}/token", data=form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


@pytest.mark.requirement("spec-120")
@pytest.mark.requirement("sec-1")
@pytest.mark.requirement("caps-6")
@BASES
@pytest.mark.parametrize("path", CALLS)
async def test_no_call_is_answered_without_a_token_of_backend_services(client: Client, base: str, path: str) -> None:
    hook = client.token(f"{base}{path}")
    for shown in (None, "guess", hook):
        answer = await client.call(f"{base}{path}", EMPTY, shown)
        assert answer.status_code == 401
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert answer.headers["www-authenticate"].startswith("Bearer")
    mine = await token(client, base, [CALLS[path]])
    assert (await client.call(f"{base}{path}", EMPTY, mine)).status_code == 400


@pytest.mark.requirement("spec-120")
@pytest.mark.requirement("caps-6")
@BASES
@pytest.mark.parametrize("path", CALLS)
async def test_a_token_for_something_else_is_not_enough(client: Client, base: str, path: str) -> None:
    other = await token(client, base, ["system/Claim.cu"])
    answer = await client.call(f"{base}{path}", EMPTY, other)
    assert answer.status_code == 403
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.requirement("spec-6")
@pytest.mark.requirement("spec-24")
@BASES
async def test_one_token_opens_the_package_and_the_questions_at_one_base(client: Client, base: str) -> None:
    """What questionnaireAdaptive names is under the base that gave the package, and takes the same token."""
    mine = await token(client, base, ["system/Questionnaire.rs"])
    body = by_order()
    canonical = "https://payer.example.org/fhir/Questionnaire/imdelltra-initial-adaptive"
    body["parameter"][1] = {"name": "questionnaire", "valueCanonical": canonical}
    answer = await client.call(f"{base}/Questionnaire/$questionnaire-package", body, mine)
    assert answer.status_code == 200, answer.text
    [package] = packages(answer.json())
    form, response = (entry["resource"] for entry in package["entry"][:2])
    [address] = [e["valueUrl"] for e in form["extension"] if e["url"].endswith("questionnaireAdaptive")]
    assert address == f"{BASE}{base}"
    path = f"{address.removeprefix(BASE)}/Questionnaire/$next-question"
    asked = await client.call(path, response, mine)
    assert asked.status_code == 200, asked.text


@pytest.mark.requirement("conf-1")
@BASES
async def test_the_statement_of_capabilities_has_all_that_a_payer_service_shall_have(
    client: Client, base: str
) -> None:
    """CapabilityStatement dtr-payer-service: three operations on Questionnaire and one on ValueSet; each is there."""
    answer = await client.http.get(f"{base}/metadata")
    [rest] = answer.json()["rest"]
    said = {
        f"/{resource['type']}/${operation['name']}"
        for resource in rest["resource"]
        for operation in resource.get("operation", ())
    }
    assert CALLS.keys() <= said
    assert "no coverage-information" in answer.text
    for path in CALLS:
        assert (await client.call(f"{base}{path}", EMPTY, None)).status_code == 401


@pytest.mark.requirement("caps-6")
@pytest.mark.requirement("sec-1")
@BASES
async def test_a_refused_call_says_nothing_back(client: Client, base: str, caplog: pytest.LogCaptureFixture) -> None:
    mine = await token(client, base, ["system/Questionnaire.rs"])
    body = by_order(subject={"reference": "Patient/secret-7"}, note=[{"text": "secret words"}], status=7)
    answer = await client.call(f"{base}/Questionnaire/$questionnaire-package", body, mine)
    assert answer.status_code == 400
    assert "secret" not in answer.text
    assert "secret" not in caplog.text
    assert mine not in caplog.text
    assert answer.headers["cache-control"] == "no-store"

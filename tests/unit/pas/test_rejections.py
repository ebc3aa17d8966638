"""Every row of the error table (pas.md 1.7): refused with 4xx, answered with an error, or pended here instead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app.compose import create_app
from service.errors import StoreFailed
from service.fhir.json import encode
from service.policy.case import MemberId
from service.policy.membership import OpenPeriod
from service.settings import Settings
from service.store.sql import SqlStore
from tests.doubles import FrozenClock
from tests.unit.access import signing
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import BOTH, cancelled, first, update
from tests.unit.pas.payer import NOW, Payer, code_of, extension_of, response_of
from tests.unit.pas.test_members import COVERAGE, MEMBER, with_directory
from tests.unit.pas.test_request import FAULTS, R4_MANDATORY, Change, changed, on_claim
from tests.unit.pas.test_routes import BROKEN

Json = dict[str, Any]
BASES = {"2.2.1": "/fhir", "2.0.1": "/2.0.1/fhir"}


def _lacking(element: str) -> Change:
    return on_claim(lambda claim: claim.pop(element))


def _line_lacking(element: str) -> Change:
    return on_claim(lambda claim: claim["item"][0].pop(element))


# Row by row: not JSON, not a Bundle, `entry: []`, first entry not Claim, missing mandatory elements, dangling and
# duplicate references, duplicate sequences. The bytes and changes are those of the parts' own tests.
UNREADABLE: dict[str, bytes] = {
    **{name: body for name, body in BROKEN.items() if not name.endswith("too deep")},
    **{name: encode(changed(change)) for name, (change, _, _) in FAULTS.items()},
    **{f"no Claim.{element}": encode(changed(_lacking(element))) for element in R4_MANDATORY},
    **{f"no item.{name}": encode(changed(_line_lacking(name))) for name in ("sequence", "productOrService")},
}


@BOTH
@pytest.mark.parametrize("row", UNREADABLE)
@pytest.mark.requirement("spec-35")
@pytest.mark.requirement("spec-12", "spec-22", "spec-39")
async def test_a_fault_of_structure_is_400_and_one_operation_outcome(
    payer: Payer, http: httpx.AsyncClient, row: str, version: str
) -> None:
    answer = await http.post(f"{BASES[version]}/Claim/$submit", content=UNREADABLE[row])
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/fhir+json")
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"]
    for issue in outcome["issue"]:
        assert {"severity", "code", "details", "diagnostics"} <= set(issue)
        assert issue["severity"] in {"error", "fatal"}
    assert await payer.cases() == []


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The whole application with one registered client, which may do no more than change Claims."""
    settings = Settings(public_url="https://payer.example.org", clients=signing.client_file(tmp_path))
    app = create_app(settings, tmp_path, clock=FrozenClock(signing.NOW))
    transport = httpx.ASGITransport(app, client=("203.0.113.9", 50000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="https://payer.example.org") as client,
    ):
        yield client


async def _token(door: httpx.AsyncClient, scope: str) -> str:
    audience = "https://payer.example.org/fhir/token"
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": signing.signed(signing.claims(audience, iss="ehr-1", sub="ehr-1")),
        "scope": scope,
    }
    answer = await door.post("/fhir/token", data=form)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


@pytest.mark.requirement("spec-4")
async def test_who_is_not_known_is_401_and_who_may_not_is_403(door: httpx.AsyncClient) -> None:
    """The registered client may change Claims: it gets through to $submit, and not to $inquire's scope."""
    body = encode(b.bundle())
    token = await _token(door, "system/Claim.cu")
    for base in BASES.values():
        for operation in ("Claim/$submit", "Claim/$inquire", "$submit-attachment", "Subscription"):
            for sent in ({}, {"Authorization": "Bearer made-up"}, {"Authorization": "Basic ZWhyOnNlY3JldA=="}):
                nobody = await door.post(f"{base}/{operation}", content=body, headers=sent)
                assert (nobody.status_code, nobody.json()["resourceType"]) == (401, "OperationOutcome")
                assert nobody.headers["www-authenticate"].startswith("Bearer")
        known = {"Authorization": f"Bearer {token}"}
        refused = await door.post(f"{base}/Claim/$inquire", content=body, headers=known)
        assert (refused.status_code, refused.json()["issue"][0]["code"]) == (403, "forbidden")
        assert (await door.post(f"{base}/Claim/$submit", content=body, headers=known)).status_code == 200


@pytest.mark.parametrize("base", ["/9.9.9/fhir", "/2.1.0/fhir", "/2.2.1/fhir", "/fhir/2.0.1"])
async def test_a_version_that_is_not_spoken_is_4xx(door: httpx.AsyncClient, base: str) -> None:
    """Whoever calls; the answer says where the versions are that are spoken."""
    answer = await door.post(f"{base}/Claim/$submit", content=encode(b.bundle()))
    assert (answer.status_code, answer.json()["resourceType"]) == (400, "OperationOutcome")
    [issue] = answer.json()["issue"]
    assert issue["code"] == "not-supported"
    assert "/2.0.1/fhir" in issue["diagnostics"]


@pytest.mark.parametrize("path", ["/2.0.1/fhir/Nothing", "/fhir/Nothing", "/nowhere/2.0.1", "/2.0.1"])
async def test_an_address_of_a_version_that_is_spoken_is_just_not_there(door: httpx.AsyncClient, path: str) -> None:
    assert (await door.get(path)).status_code == 404


@pytest.mark.requirement("spec-39")
@pytest.mark.parametrize("base", BASES.values())
async def test_a_failure_of_ours_has_no_operation_outcome(
    door: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    """5xx says that it may be temporary, and nothing else; a form's answer may say more."""

    async def fail(*_: object) -> None:
        raise StoreFailed("The database could not do it. Nothing was changed; send the request again.")

    known = {"Authorization": f"Bearer {await _token(door, 'system/Claim.cu')}"}
    monkeypatch.setattr(SqlStore, "reply_to", fail)
    failed = await door.post(f"{base}/Claim/$submit", content=encode(b.bundle()), headers=known)
    assert (failed.status_code, failed.content) == (503, b"")


@pytest.mark.requirement("spec-39")
async def test_a_temporary_failure_is_503_and_the_same_request_may_be_sent_again(
    payer: Payer, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise StoreFailed("The database could not do it. Nothing was changed; send the request again.")

    with monkeypatch.context() as broken:
        broken.setattr(payer.store, "accept", fail)
        failed = await http.post("/fhir/Claim/$submit", content=encode(b.bundle()))
    assert failed.status_code == 503
    again = await http.post("/fhir/Claim/$submit", content=encode(b.bundle()))
    assert (again.status_code, len(await payer.cases())) == (200, 1)


async def _wrong_payer(payer: Payer, version: Any) -> Json:
    return await payer.submit(b.bundle({b.INSURER: b.insurer("OTHER")}), version)


async def _update_not_allowed(payer: Payer, version: Any) -> Json:
    """What was withdrawn cannot be changed; nor what was denied (test_update, test_a_denied_request...)."""
    await payer.submit(first(b.item()), version)
    await payer.submit(update(cancelled(b.item())), version)
    return await payer.submit(update(b.item(), number=3), version)


Refused = Callable[[Payer, Any], Awaitable[Json]]
REFUSED: dict[str, tuple[Refused, str, str, str]] = {
    "wrong payer": (_wrong_payer, "T4", "C", "2010A-NM109"),
    "update not allowed": (_update_not_allowed, "33", "N", "2000E"),
}


@BOTH
@pytest.mark.parametrize("row", REFUSED)
@pytest.mark.requirement("spec-38")
async def test_a_business_reject_is_200_with_an_error(payer: Payer, row: str, version: str) -> None:
    refused, code, follow_up, element = REFUSED[row]
    response = response_of(await refused(payer, version))
    assert (response["outcome"], "item" in response, "preAuthRef" in response) == ("error", False, False)
    (error,) = response["error"]
    assert error["code"]["coding"] == [{"system": "https://codesystem.x12.org/005010/901", "code": code}]
    action, place, path = (extension_of(error, f"error{name}") for name in ("FollowupAction", "Element", "Path"))
    assert action is not None
    assert action["valueCodeableConcept"]["coding"] == [
        {"system": "https://codesystem.x12.org/005010/889", "code": follow_up}
    ]
    assert element in str(place)
    assert str(path and path["valueString"]).startswith("Bundle.entry[")


async def test_an_inquiry_without_a_member_id_is_an_error_as_well(payer: Payer) -> None:
    nameless = [{k: v for k, v in one.items() if k != "identifier"} for one in (b.patient(), b.coverage())]
    nameless[1].pop("subscriberId")
    bundle = b.bundle({b.PATIENT: nameless[0], b.COVERAGE: nameless[1]})
    answer = await payer.inquire(bundle, "2.0.1")
    (error,) = response_of(answer)["error"]
    assert error["code"]["coding"][0]["code"] == "72"


# The guide lists these as rejects, "may". Our contract pends them: a rule of ours never turns a patient away, and a
# typing error, a late enrolment or a form that names the wrong day is found by a person in a minute. With
# administrative denials switched on, a plan that is over on the date denies (test_administrative).
def _ends_before_it_starts() -> Json:
    backwards = b.item(servicedPeriod={"start": "2026-11-30", "end": "2026-09-08"})
    return b.bundle({b.CLAIM: b.claim(backwards)})


def _another_member() -> Json:
    other = b.coverage(identifier=[{"type": b.MB, "system": b.MEMBER_SYSTEM, "value": "M999999"}])
    return b.bundle({b.COVERAGE: other})


PENDED: dict[str, Callable[[], Json]] = {
    "patient and coverage name two members": _another_member,
    "dates that end before they start": _ends_before_it_starts,
}


@BOTH
@pytest.mark.parametrize("row", PENDED)
async def test_what_the_guide_may_reject_waits_for_a_person_here(payer: Payer, row: str, version: Any) -> None:
    response = response_of(await payer.submit(PENDED[row](), version))
    assert [code_of(item) for item in response["item"]] == ["A4"]
    assert "error" not in response
    assert response["processNote"]


RECORDS = {
    "member not found": (replace(MEMBER, member=MemberId("M9")), COVERAGE),
    "coverage inactive at receipt": (
        MEMBER,
        replace(COVERAGE, period=OpenPeriod(date(2025, 1, 1), NOW.date() - timedelta(days=1))),
    ),
}


@BOTH
@pytest.mark.parametrize("row", RECORDS)
async def test_who_is_not_on_file_waits_for_a_person_here(payer: Payer, row: str, version: Any) -> None:
    await with_directory(payer, *RECORDS[row])
    response = response_of(await payer.submit(b.bundle(), version))
    assert [code_of(item) for item in response["item"]] == ["A4"]
    assert "error" not in response


@BOTH
async def test_a_provider_that_nobody_knows_is_no_reject(payer: Payer, version: Any) -> None:
    """There is no list of providers here, and the guide lets the NPI be absent (conf-14): the criteria decide."""
    nameless = {name: value for name, value in b.requestor().items() if name != "identifier"}
    met = response_of(await payer.submit(b.bundle({b.REQUESTOR: nameless}), version))
    assert [code_of(item) for item in met["item"]] == ["A1"]
    open_question = b.bundle({b.REQUESTOR: nameless, b.RESPONSE: b.response({})})
    unmet = response_of(await payer.submit(open_question, version))
    assert [code_of(item) for item in unmet["item"]] == ["A4"]

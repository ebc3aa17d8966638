"""Broken requests over HTTP to the whole application: a clean answer or refusal, and never an approval not due."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.app.compose import create_app
from service.fhir.json import encode
from service.settings import Settings
from tests.doubles import FrozenClock
from tests.property.pas_mutations import BREAKS, broken
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import UNMET, cancelled, info, update
from tests.unit.pas.payer import NOW, action_of, code_of
from tests.unit.pas.stories import STORIES

Json = dict[str, Any]
BASES = ("/fhir", "/2.0.1/fhir")
EACH = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
both = pytest.mark.parametrize("base", BASES)
kinds = pytest.mark.parametrize("kind", BREAKS)
seeds = st.integers(0, 2**32)
# Requests that lack something which no loss or repetition elsewhere can make up for.
NOT_DUE = ("pended-unmet", "pended-unknown", "pended-coverage", "pended-other-service", "error-wrong-payer")


class Whole:
    """The running application, called from tests that are no coroutines, for hypothesis calls them."""

    def __init__(self, app: FastAPI, runner: asyncio.Runner) -> None:
        self._app, self._runner = app, runner
        self._transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000), raise_app_exceptions=False)

    def post(self, path: str, body: bytes) -> httpx.Response:
        return self._runner.run(self._post(path, body))

    async def _post(self, path: str, body: bytes) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url="http://127.0.0.1") as client:
            return await client.post(path, content=body, headers={"content-type": "application/fhir+json"})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    app = create_app(Settings(demo=True), tmp_path_factory.mktemp("mutations"), clock=FrozenClock(NOW))
    with asyncio.Runner() as runner:
        lifespan = app.router.lifespan_context(app)
        runner.run(_entered(lifespan))
        yield Whole(app, runner)
        runner.run(_left(lifespan))


async def _entered(lifespan: AbstractAsyncContextManager[Any]) -> None:
    await lifespan.__aenter__()


async def _left(lifespan: AbstractAsyncContextManager[Any]) -> None:
    await lifespan.__aexit__(None, None, None)


@pytest.fixture(scope="module")
def counter() -> Iterator[int]:
    return itertools.count(1)


def of_its_own(bundle: Json, number: int) -> Json:
    """The same request of another member and under another name, so that no earlier example is its own past."""
    text = encode(bundle).decode()
    text = text.replace("M000123", f"M{number:06d}").replace("urn:uuid:a0000000", f"urn:uuid:{number:08x}")
    found: Json = json.loads(text)
    return found


def sent(whole: Whole, path: str, body: bytes) -> Json | None:
    """The answer, or None for a clean refusal: 4xx with one OperationOutcome."""
    answer = whole.post(path, body)
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.status_code
    found: Json = answer.json()
    if answer.status_code == 200:
        return found
    assert found["resourceType"] == "OperationOutcome"
    assert all({"severity", "code", "details", "diagnostics"} <= set(one) for one in found["issue"])
    return None


def items_of(answer: Json) -> list[Json]:
    assert (answer["resourceType"], answer["type"]) == ("Bundle", "collection")
    response = answer["entry"][0]["resource"]
    assert response["resourceType"] == "ClaimResponse"
    assert response["outcome"] in {"complete", "partial", "queued", "error"}
    urls = [entry["fullUrl"] for entry in answer["entry"]]
    assert len(urls) == len(set(urls))
    found: list[Json] = response.get("item", [])
    return found


@both
@kinds
@EACH
@given(story=st.sampled_from(sorted(STORIES)), seed=seeds)
def test_whatever_is_broken_is_answered_or_refused(
    whole: Whole, counter: Iterator[int], base: str, kind: str, story: str, seed: int
) -> None:
    """Also what was a good request: of its lines, and of no others, something is said."""
    request = of_its_own(STORIES[story](), next(counter))
    asked = {item["sequence"] for item in request["entry"][0]["resource"]["item"]}
    answer = sent(whole, f"{base}/Claim/$submit", broken(request, kind, seed))
    if answer is not None and kind not in {"retyped", "huge", "duplicated"}:
        assert {item["itemSequence"] for item in items_of(answer)} <= asked


@both
@kinds
@EACH
@given(story=st.sampled_from(NOT_DUE), seed=seeds)
def test_breaking_a_request_never_gets_it_approved(
    whole: Whole, counter: Iterator[int], base: str, kind: str, story: str, seed: int
) -> None:
    request = of_its_own(STORIES[story](), next(counter))
    answer = sent(whole, f"{base}/Claim/$submit", broken(request, kind, seed))
    if answer is not None:
        assert not {code_of(item) for item in items_of(answer)} & {"A1", "A2", "A6"}
        assert "preAuthRef" not in answer["entry"][0]["resource"]


@both
@kinds
@EACH
@given(unmet=st.booleans(), seed=seeds)
def test_breaking_an_update_gets_nothing_new(
    whole: Whole, counter: Iterator[int], base: str, kind: str, unmet: bool, seed: int
) -> None:
    """The change of an approved request, or of one that waits: at most the number of before is told again."""
    number = next(counter)
    doubt = {b.RESPONSE: UNMET}
    first = of_its_own(b.bundle(doubt if unmet else {}), number)
    before = sent(whole, f"{base}/Claim/$submit", encode(first))
    assert before is not None
    fewer = info(b.item(1, quantity={"value": 9, "unit": "unit"}), "changed")
    change = of_its_own(update(fewer, cancelled(b.item(2)), changed=copy.deepcopy(doubt)), number)
    answer = sent(whole, f"{base}/Claim/$submit", broken(change, kind, seed))
    if answer is not None:
        numbers = {action_of(item).get("number") for item in items_of(answer)} - {None}
        assert numbers <= {before["entry"][0]["resource"].get("preAuthRef")}


@both
@kinds
@EACH
@given(seed=seeds)
def test_a_broken_inquiry_shows_nobody_else_s_case(
    whole: Whole, counter: Iterator[int], base: str, kind: str, seed: int
) -> None:
    number = next(counter)
    ours = sent(whole, f"{base}/Claim/$submit", encode(of_its_own(b.bundle(), number)))
    assert ours is not None
    answer = sent(whole, f"{base}/Claim/$inquire", broken(of_its_own(b.bundle(), number), kind, seed))
    if answer is None:
        return
    hits = [one["resource"] for one in answer.get("parameter", [])] or [answer]
    for hit in hits:
        shown = [one["resource"] for one in hit.get("entry", [])]
        ids = {one["id"] for one in shown if one["resourceType"] == "ClaimResponse" and "item" in one}
        assert ids <= {ours["entry"][0]["resource"]["id"]}


REPEATED = (b'"status":"active"', b'"valueBoolean":false', b'"value":"PAYER01"', b'"code":"J9026"')


@both
@pytest.mark.parametrize("member", REPEATED)
def test_a_member_said_twice_is_refused(whole: Whole, counter: Iterator[int], base: str, member: bytes) -> None:
    """JSON may repeat a name in an object: then it has two readings (service/fhir/json.py), and neither counts."""
    for changed in ({}, {b.RESPONSE: UNMET}):
        body = encode(of_its_own(b.bundle(changed), next(counter)))
        assert member in body
        answer = whole.post(f"{base}/Claim/$submit", body.replace(member, member + b"," + member, 1))
        assert answer.status_code == 400
        assert "the same name twice" in answer.text

"""call list and call show: what a client was told is found again when there is a dispute about it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from service.__main__ import app
from service.app.compose import create_app
from service.settings import Settings
from tests.doubles import FrozenClock
from tests.unit.crd.world import NOW, medication_request, request, said

RUN = CliRunner()
HOOK = "cds-services/{id}"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def answers(data: Path) -> list[dict[str, Any]]:
    """What two signatures were told, a day apart; the second order is somebody's bad draft."""
    return asyncio.run(_called(data))


async def _called(data: Path) -> list[dict[str, Any]]:
    clock = FrozenClock(NOW)
    service = create_app(Settings(demo=True), data, clock=clock)
    transport = httpx.ASGITransport(app=service, client=("127.0.0.1", 50000))
    token = {"access_token": "s3cr3t-token", "token_type": "Bearer", "expires_in": 300}
    answers = []
    async with (
        service.router.lifespan_context(service),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        for order in (medication_request(), medication_request(status=None)):
            body = request(order, fhirAuthorization=token)
            answers.append((await http.post("/cds-services/order-sign-crd", json=body)).json())
            clock.advance(timedelta(days=1))
    return answers


def listed(data: Path, *words: str) -> list[list[str]]:
    done = RUN.invoke(app, ["call", "list", "--data", str(data), *words])
    assert done.exit_code == 0, done.output
    return [line.split() for line in done.output.splitlines()]


@pytest.mark.requirement("CRD found-37", "CRD found-38")
def test_a_call_is_found_by_what_was_told_and_shown_with_its_answer(data: Path, answers: list[Any]) -> None:
    [assertion_id] = said(answers[0])["coverage-assertion-id"]
    calls = [line for line in listed(data, "--from", "2026-12-01", "--about", assertion_id) if line[2] == HOOK]
    assert [line[:2] for line in calls] == [["2026-12-01T15:30:00+00:00", "200"]]
    assert listed(data, "--from", "2026-12-01", "--about", "another-id") == []
    done = RUN.invoke(app, ["call", "show", calls[0][-1], "--data", str(data)])
    assert done.exit_code == 0
    sent, answered = (line for line in done.output.splitlines() if line.startswith("{"))
    assert json.loads(sent) == request()
    assert json.loads(answered) == answers[0]
    assert "s3cr3t-token" not in done.output


@pytest.mark.requirement("CRD found-37")
def test_calls_are_found_by_day_and_client_refused_ones_too(data: Path, answers: list[Any]) -> None:
    both = listed(data, "--from", "2026-12-01", "--to", "2026-12-02")
    hooks = [line for line in both if line[2] == HOOK]
    assert [(line[0][:10], line[1]) for line in hooks] == [("2026-12-01", "200"), ("2026-12-02", "400")]
    client = hooks[0][3]
    assert listed(data, "--from", "2026-12-01", "--to", "2026-12-02", "--client", client) == both
    assert listed(data, "--from", "2026-12-02") == [line for line in both if line[0].startswith("2026-12-02")]
    assert listed(data, "--from", "2026-12-01", "--client", "nobody") == []
    assert listed(data, "--from", "2026-12-03") == []
    assert answers[1]["resourceType"] == "OperationOutcome"


def test_a_call_that_is_not_there_is_exit_1(data: Path, answers: list[Any]) -> None:
    done = RUN.invoke(app, ["call", "show", "none", "--data", str(data)])
    assert (done.exit_code, done.stderr) == (1, "There is no such call.\n")
    assert answers

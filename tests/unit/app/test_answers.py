"""Every call's log line, metrics and headers; every error as an OperationOutcome."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from prometheus_client import CollectorRegistry, generate_latest

from service import log
from service.app import answers
from service.errors import NotAuthenticated, NotFound, StoreFailed
from tests.doubles import CountingIds


@pytest.fixture
def metrics() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def app(metrics: CollectorRegistry) -> FastAPI:
    made = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    router = APIRouter()

    @router.get("")
    async def root() -> str:
        return "ok"

    @router.get("/case/{case_id}/lines/{line}")
    async def line(case_id: str, line: str) -> str:
        return f"{case_id} {line}"

    @router.get("/fails/{how}")
    async def fails(how: str) -> str:
        raise {
            "missing": NotFound("There is nothing of that name."),
            "stranger": NotAuthenticated("Who is calling is not known."),
            "store": StoreFailed("The database could not do it."),
        }.get(how) or RuntimeError("born 1958-02-03")

    made.include_router(router, prefix="/review")
    made.include_router(router, prefix="/demo")
    made.include_router(router, prefix="/fhir/Task")
    answers.install_errors(made)
    made.add_middleware(answers.Calls, ids=CountingIds(), metrics=metrics)
    return made


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield client


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/review", "/review"),
        ("/demo", "/demo"),
        ("/review/case/secret-id/lines/2", "/review/case/{case_id}/lines/{line}"),
        ("/demo/case/case/lines/case", "/demo/case/{case_id}/lines/{line}"),
        ("/nowhere/secret-id", "unknown"),
    ],
)
async def test_a_call_is_logged_and_counted_by_its_template(
    http: httpx.AsyncClient,
    metrics: CollectorRegistry,
    caplog: pytest.LogCaptureFixture,
    path: str,
    template: str,
) -> None:
    with caplog.at_level(logging.INFO, logger="service.app.answers"):
        await http.get(f"{path}?name=secret-name")
    (record,) = [record for record in caplog.records if record.message == "answered"]
    written = json.loads(log.JsonLines().format(record))
    assert written["route"] == template
    assert "secret" not in json.dumps(written)
    assert f'route="{template}"' in generate_latest(metrics).decode()
    assert "secret" not in generate_latest(metrics).decode()


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("missing", 404, "not-found"),
        ("stranger", 401, "login"),
        ("store", 503, "transient"),
        ("other", 500, "exception"),
    ],
)
async def test_an_error_is_an_operation_outcome(http: httpx.AsyncClient, how: str, status: int, code: str) -> None:
    answer = await http.get(f"/review/fails/{how}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/fhir+json"
    assert answer.json()["issue"][0]["code"] == code
    assert "1958-02-03" not in answer.text
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize(("how", "status"), [("store", 503), ("other", 500), ("missing", 404)])
async def test_a_failure_of_prior_authorization_says_no_more_than_its_status(
    http: httpx.AsyncClient, how: str, status: int
) -> None:
    """PAS, error handling: no OperationOutcome with 5xx, one with 4xx."""
    answer = await http.get(f"/fhir/Task/fails/{how}")
    assert answer.status_code == status
    assert (answer.content == b"") == (status >= 500)
    assert answer.headers["X-Request-ID"]


async def test_an_unexpected_failure_can_be_found_by_its_request_id(
    http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = await http.get("/review/fails/other", headers={"X-Request-ID": "from-the-caller"})
    assert "from-the-caller" in answer.text
    assert "1958-02-03" not in "".join(
        log.JsonLines().format(record) for record in caplog.records if record.name.startswith("service")
    )


@pytest.mark.parametrize("sent", ["a b", "x" * 65, "<script>"])
async def test_an_odd_request_id_is_replaced(http: httpx.AsyncClient, sent: str) -> None:
    answer = await http.get("/review", headers={"X-Request-ID": sent})
    assert answer.headers["X-Request-ID"].startswith("00000000-0000-4000-8000-")


async def test_every_answer_has_the_security_headers(http: httpx.AsyncClient) -> None:
    for path in ("/review", "/nowhere", "/review/fails/other"):
        headers = (await http.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_a_log_line_holds_only_the_fields_that_are_allowed() -> None:
    record = logging.LogRecord("service.x", logging.INFO, __file__, 1, "fixed words", None, None)
    record.patient = "Familyname"
    record.case = "c1"
    written = json.loads(log.JsonLines().format(record))
    assert written["message"] == "fixed words"
    assert written["case"] == "c1"
    assert "Familyname" not in json.dumps(written)


def test_of_a_librarys_message_the_first_line_is_written() -> None:
    """asyncio writes the exception's text below it, and that text may hold what was received."""
    text = "Task exception was never retrieved\nfuture: <Task exception=ValueError('secret-name')>"
    record = logging.LogRecord("asyncio", logging.ERROR, "f.py", 1, text, (), None)
    written = json.loads(log.JsonLines().format(record))
    assert written["message"] == "Task exception was never retrieved"
    assert "secret" not in json.dumps(written)

"""Updates of records that somebody else may change, and that are sent once."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable

import pytest

from service.ehr.answer import Bounds
from service.ehr.connection import open_http
from service.ehr.writing import WritingEhr, WritingEhrs
from service.errors import Conflict, EhrRefused, EhrUnavailable
from service.fhir.parse import StructureCheck
from tests.unit.ehr.conftest import DEVELOPMENT
from tests.unit.ehr.server import TOKEN, fhir, hang_up, outcome, served

DRAFT = {"resourceType": "QuestionnaireResponse", "id": "r1", "status": "in-progress"}
Writing = Callable[[str], WritingEhr]


@pytest.fixture
async def writing(check: StructureCheck) -> AsyncIterator[Writing]:
    async with open_http(DEVELOPMENT, 20) as http:
        yield lambda base: WritingEhrs(http, DEVELOPMENT, check, Bounds(seconds=20)).open(base, TOKEN)


@pytest.mark.parametrize(("version", "condition"), [("7", 'W/"7"'), (None, None)])
async def test_an_update_goes_over_the_version_that_was_read(
    writing: Writing, version: str | None, condition: str | None
) -> None:
    with served(lambda asked: fhir(DRAFT)) as server:
        await writing(server.base).update(DRAFT, version)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("PUT", "/fhir/QuestionnaireResponse/r1")
    assert asked.headers.get("if-match") == condition
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["content-type"] == "application/fhir+json"


@pytest.mark.parametrize(("status", "error"), [(412, Conflict), (409, Conflict), (403, EhrRefused)])
async def test_somebody_elses_change_is_told_apart_from_a_refusal(
    writing: Writing, status: int, error: type[Exception]
) -> None:
    with served(lambda asked: fhir(outcome(), status)) as server, pytest.raises(error):
        await writing(server.base).update(DRAFT, "7")


async def test_an_update_whose_connection_breaks_is_not_sent_again(writing: Writing) -> None:
    """The first may have been carried out: the second would then meet a version that is our own."""
    port, taken, thread = hang_up(1, b"{}")
    with pytest.raises(EhrUnavailable):
        await writing(f"http://127.0.0.1:{port}/fhir").update(DRAFT, "7")
    assert len(taken) == 1
    socket.create_connection(("127.0.0.1", port)).close()
    thread.join(10)

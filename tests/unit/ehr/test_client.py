"""What comes back from FHIR servers that are good, slow, dead or lying."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from collections.abc import Callable
from typing import Any

import pytest
from starlette.responses import Response, StreamingResponse

from service.ehr.address import Reach
from service.errors import EhrRefused, EhrUnavailable
from tests.unit.ehr.conftest import Opened
from tests.unit.ehr.server import (
    TOKEN,
    Asked,
    closed_port,
    fhir,
    hang_up,
    never,
    outcome,
    patient,
    searchset,
    served,
)


async def test_a_resource_is_read_with_the_token(opened: Opened) -> None:
    with served(lambda asked: fhir(patient())) as server:
        ehr = opened(server.base)
        assert ehr.token_use == "not-used"
        assert await ehr.read("Patient", "p1") == patient()
        assert ehr.token_use == "used"
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("GET", "/fhir/Patient/p1")
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"
    assert asked.headers["accept"] == "application/fhir+json"


_BOMB = gzip.compress(b'{"x":"' + b" " * 30_000_000 + b'"}')

_BAD: dict[str, Callable[[Asked], Response]] = {
    "another patient": lambda asked: fhir(patient("p2")),
    "another type": lambda asked: fhir({"resourceType": "Practitioner", "id": "p1"}),
    "HTML": lambda asked: Response("<html>Sign in</html>", media_type="text/html"),
    "nothing": lambda asked: Response(b""),
    "a list": lambda asked: fhir([patient()]),
    "not FHIR R4": lambda asked: fhir({**patient(), "birthDate": "yesterday"}),
    "an outcome": lambda asked: fhir(outcome()),
    "404": lambda asked: fhir(outcome(), 404),
    "403": lambda asked: fhir(outcome(), 403),
    "500": lambda asked: fhir(outcome(), 500),
    "503": lambda asked: fhir(outcome(), 503, {"Retry-After": "0"}),
    "a huge body": lambda asked: Response(b'{"x":"' + b" " * 6_000_000 + b'"}'),
    "a small body that expands": lambda asked: Response(_BOMB, headers={"Content-Encoding": "gzip"}),
    "an unknown encoding": lambda asked: Response(b"{}", headers={"Content-Encoding": "br"}),
    "broken gzip": lambda asked: Response(b"{}", headers={"Content-Encoding": "gzip"}),
    "deep nesting": lambda asked: Response(b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}"),
}


@pytest.mark.parametrize("answer", _BAD.values(), ids=_BAD)
async def test_a_bad_answer_is_told_in_our_words_and_not_asked_for_again(
    opened: Opened, answer: Callable[[Asked], Response]
) -> None:
    with served(answer) as server, pytest.raises(EhrUnavailable) as refused:
        await opened(server.base).read("Patient", "p1")
    assert len(server.asked) == 1
    assert "FHIR server" in refused.value.text
    assert TOKEN not in repr(refused.value)


async def test_a_compressed_answer_is_read(opened: Opened) -> None:
    body = gzip.compress(fhir(patient()).body)
    with served(lambda asked: Response(body, headers={"Content-Encoding": "gzip"})) as server:
        assert await opened(server.base).read("Patient", "p1") == patient()


async def test_a_refused_token_is_noted(opened: Opened) -> None:
    with served(lambda asked: fhir(outcome(), 401)) as server:
        ehr = opened(server.base)
        with pytest.raises(EhrUnavailable):
            await ehr.read("Patient", "p1")
    assert ehr.token_use == "rejected"


@pytest.mark.parametrize("where", ["/fhir/Patient/p2", "http://169.254.169.254/latest", "https://attacker.example/"])
async def test_a_redirect_is_not_followed(opened: Opened, where: str) -> None:
    elsewhere = Response(status_code=302, headers={"Location": where})
    with served(lambda asked: elsewhere) as server, pytest.raises(EhrUnavailable):
        await opened(server.base).read("Patient", "p1")
    assert server.paths() == ["Patient/p1"]


async def test_a_slow_server_is_left_by_the_deadline_of_the_call(opened: Opened) -> None:
    with served(never) as server, pytest.raises(EhrUnavailable, match="in time"):
        await opened(server.base, deadline=0.2).read("Patient", "p1")


async def test_a_slow_server_is_left_by_the_limit_of_one_request(opened: Opened) -> None:
    with served(never) as server, pytest.raises(EhrUnavailable, match="in time"):
        await opened(server.base, seconds=0.2).read("Patient", "p1")


async def test_a_server_that_sends_a_byte_now_and_then_is_left(opened: Opened) -> None:
    """Each byte would start a limit of silence anew."""

    async def drip(asked: Asked) -> Response:
        async def body() -> Any:
            while True:
                yield b" "
                await asyncio.sleep(0.02)

        return StreamingResponse(body())

    with served(drip) as server, pytest.raises(EhrUnavailable, match="in time"):
        await opened(server.base, deadline=0.3).read("Patient", "p1")


async def test_a_dead_server_is_unreachable(opened: Opened) -> None:
    with pytest.raises(EhrUnavailable, match="reached"):
        await opened(f"http://127.0.0.1:{closed_port()}/fhir").read("Patient", "p1")


async def test_a_connection_that_breaks_is_tried_once_more(opened: Opened) -> None:
    port, taken, thread = hang_up(1, bytes(fhir(patient()).body))
    assert await opened(f"http://127.0.0.1:{port}/fhir").read("Patient", "p1") == patient()
    thread.join(10)
    assert len(taken) == 2


async def test_and_not_more_than_once(opened: Opened) -> None:
    port, taken, thread = hang_up(2, bytes(fhir(patient()).body))
    with pytest.raises(EhrUnavailable):
        await opened(f"http://127.0.0.1:{port}/fhir").read("Patient", "p1")
    assert len(taken) == 2
    socket.create_connection(("127.0.0.1", port)).close()
    thread.join(10)


async def test_a_creation_is_sent_once(opened: Opened) -> None:
    port, taken, thread = hang_up(1, b"{}")
    with pytest.raises(EhrUnavailable):
        await opened(f"http://127.0.0.1:{port}/fhir").create({"resourceType": "Task"})
    assert len(taken) == 1
    socket.create_connection(("127.0.0.1", port)).close()
    thread.join(10)


@pytest.mark.parametrize(
    "answer",
    [
        lambda asked: Response(status_code=201, headers={"Location": "/fhir/Task/t9/_history/1"}),
        lambda asked: fhir({"resourceType": "Task", "id": "t9"}, 201),
    ],
)
async def test_a_created_resource_has_the_servers_id(opened: Opened, answer: Callable[[Asked], Response]) -> None:
    with served(answer) as server:
        assert await opened(server.base).create({"resourceType": "Task"}) == "t9"
    assert (server.asked[0].method, server.asked[0].path) == ("POST", "/fhir/Task")


async def test_a_cookie_of_one_call_is_not_sent_with_the_next(opened: Opened) -> None:
    with served(lambda asked: fhir(patient(), headers={"Set-Cookie": "session=p1; Path=/"})) as server:
        ehr = opened(server.base)
        await ehr.read("Patient", "p1")
        await ehr.read("Patient", "p1")
    assert all("cookie" not in asked.headers for asked in server.asked)


@pytest.mark.parametrize(
    "logical_id", ["", ".", "..", "../Practitioner/d1", "p1?x=y", "p1,p2", "p 1", "p1#", "x" * 65]
)
async def test_what_is_no_id_never_reaches_a_url(opened: Opened, logical_id: str) -> None:
    with served(lambda asked: fhir(patient())) as server, pytest.raises(EhrUnavailable):
        await opened(server.base).read("Patient", logical_id)
    assert server.asked == []


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("Patient/p1", ("Patient", "p1")),
        ("Patient/p1/_history/3", ("Patient", "p1")),
        ("https://ehr.example.org/fhir/Patient/p1", ("Patient", "p1")),
        ("https://EHR.example.org:443/fhir/Patient/p1/_history/3", ("Patient", "p1")),
        ("https://ehr.example.org/other/Patient/p1", None),
        ("https://attacker.example/fhir/Patient/p1", None),
        ("https://ehr.example.org/fhir@attacker.example/Patient/p1", None),
        ("urn:uuid:0b3f", None),
        ("#p1", None),
        ("p1", None),
        ("Patient/..", None),
        ("patient/p1", None),
    ],
)
async def test_a_reference_is_to_this_server_or_to_none(
    opened: Opened, reference: str, named: tuple[str, str] | None
) -> None:
    ehr = opened("https://ehr.example.org/fhir/", reach=Reach(frozenset({"ehr.example.org"})))
    assert ehr.named(reference) == named


@pytest.mark.requirement("CRD sec-1")
async def test_neither_token_nor_patient_is_in_a_log_line_or_an_error(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bad = {**patient(), "birthDate": "yesterday"}
    with served(
        lambda asked: fhir(searchset(bad, patient()) if asked.path.endswith("Patient") else outcome())
    ) as server:
        ehr = opened(server.base)
        with pytest.raises(EhrRefused) as refused:
            await ehr.read("Patient", "p1")
        await ehr.search("Patient", ("name", "Garbo"))
    with pytest.raises(EhrUnavailable) as unreachable:
        await opened(f"http://127.0.0.1:{closed_port()}/fhir").read("Patient", "p1")
    ours = [record for record in caplog.records if record.name.startswith("service")]
    assert ours
    for error in (refused.value, unreachable.value):
        assert error.__suppress_context__ or error.__context__ is None
        assert "p1" not in str(error)
    assert TOKEN not in "".join([caplog.text, repr(ehr), repr(refused.value), str(unreachable.value)])
    assert all("Garbo" not in record.getMessage() for record in ours)

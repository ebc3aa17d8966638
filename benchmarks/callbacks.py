"""Time that an order-sign adds to the EHR's slowest answer.

`python -m benchmarks.callbacks [MILLISECONDS] [CALLS] [DATABASE_URL]`

The call comes without prefetch: patient, coverage (with its payer), two medications and the prescriber are read from
a FHIR server that takes MILLISECONDS for each answer. Client, service and FHIR server are processes of their own on
this machine and speak over sockets; the FHIR server does no more than answer, so that its own work for five reads at
once is not taken for the service's. Prints what comes on top of one such read by the same client, made right before
the call; the service may add 10 ms. Then the same with the card that tells of the chart: once for an order that names
its drug itself, where all is read at once, and once for one that refers to its Medication, where the chart is read in
a second round, when it is known what is ordered. Without DATABASE_URL, the service keeps a SQLite file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import uvicorn

from service.app.compose import create_app
from service.settings import Settings

_EXAMPLE = Path(__file__).parents[1] / "tests" / "golden" / "crd" / "order-sign-medication-2.2" / "request.json"
_WARM_UP = 20
_BETWEEN = 0.01
_Json = dict[str, Any]


def _example() -> _Json:
    body: _Json = json.loads(_EXAMPLE.read_text())
    return body


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of call. `named`: the first order names its drug itself, else it refers to its Medication."""

    title: str
    with_card: bool = False
    named: bool = False


_KINDS = (
    Kind("five missing items"),
    Kind("with the chart for the card, all at once", with_card=True, named=True),
    Kind("with the chart for the card, after the Medication", with_card=True),
)


def bare_request(number: int, server: str, kind: Kind) -> bytes:
    """The example without prefetch: two orders of the call's own, each by reference to its Medication."""
    body = _example()
    (drug,) = (entry["resource"] for entry in body["prefetch"]["medications"]["entry"])
    order = body["context"]["draftOrders"]["entry"][0]["resource"]
    orders = [
        {
            **order,
            "id": f"order-{number}-{name}",
            "medicationReference": {"reference": f"Medication/{name}"},
            "requester": {"reference": "Practitioner/d1"},
        }
        for name in ("m1", "m2")
    ]
    if kind.named:
        del orders[0]["medicationReference"]
        orders[0]["medicationCodeableConcept"] = drug["code"]
    body["context"]["draftOrders"]["entry"] = [{"resource": each} for each in orders]
    body["prefetch"] = {}
    body["extension"]["davinci-crd.configuration"] = {"claim": kind.with_card}
    body["fhirServer"] = server
    body["fhirAuthorization"] = {"access_token": "benchmark", "token_type": "Bearer", "expires_in": 300}
    return json.dumps(body).encode()


def _held() -> dict[str, bytes]:
    """What the FHIR server answers, by path below its base; the Organization comes only with its Coverage."""
    body = _example()
    (drug,) = (entry["resource"] for entry in body["prefetch"]["medications"]["entry"])
    medications = [{**drug, "id": "m1"}, {"resourceType": "Medication", "id": "m2", "code": {"text": "Saline"}}]
    held = [body["prefetch"]["patient"], {"resourceType": "Practitioner", "id": "d1"}, *medications]
    found = {f"{each['resourceType']}/{each['id']}": json.dumps(each).encode() for each in held}
    return {**found, "Coverage": json.dumps(body["prefetch"]["coverage"]).encode()}


def _serve(app: Any, listening: socket.socket) -> None:
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_keep_alive=60)
    uvicorn.Server(config).run(sockets=[listening])


class _Fhir(asyncio.Protocol):
    """One connection. Every request is a GET; each is answered after `delay` seconds, whatever else is asked."""

    def __init__(self, held: dict[bytes, bytes], delay: float) -> None:
        self._held = held
        self._delay = delay
        self._received = b""
        self._write: Callable[[bytes], None] = lambda _answer: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = transport.write if isinstance(transport, asyncio.Transport) else self._write

    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for request in requests:
            path = request.split(b" ", 2)[1].partition(b"?")[0].removeprefix(b"/fhir/")
            asyncio.get_running_loop().call_later(self._delay, self._write, self._held.get(path, self._held[b""]))


def _serve_fhir(listening: socket.socket, delay: float) -> None:
    answers = {**_held(), "": b'{"resourceType": "Bundle", "type": "searchset"}'}
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: %d\r\n\r\n"
    whole = {path.encode(): head % len(body) + body for path, body in answers.items()}

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Fhir(whole, delay), sock=listening)
        await server.serve_forever()

    asyncio.run(serve())


def _serve_payer(listening: socket.socket, database: str) -> None:
    logging.disable(logging.WARNING)
    with TemporaryDirectory() as data:
        _serve(create_app(Settings(demo=True, database_url=database), Path(data)), listening)


@contextmanager
def running(serve: Callable[[socket.socket, Any], None], given: Any) -> Iterator[tuple[int, int]]:
    """A server in a process of its own: its port and its process id."""
    context = multiprocessing.get_context("fork")
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        port = int(listening.getsockname()[1])
        process = context.Process(target=serve, args=(listening, given), daemon=True)
        process.start()
    try:
        yield port, process.pid or 0
    finally:
        process.terminate()
        process.join()


def _cpu_seconds(process: int) -> float:
    """What the process has used so far, user and system."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _milliseconds(connection: HTTPConnection, method: str, path: str, body: bytes | None = None) -> float:
    before = time.perf_counter()
    connection.request(method, path, body)
    answer = connection.getresponse()
    answer.read()
    spent = (time.perf_counter() - before) * 1000
    if answer.status != 200:
        raise SystemExit(f"{method} {path} was answered with {answer.status}")
    return spent


def measure(calls: int, ports: tuple[int, int], process: int, kind: Kind) -> tuple[list[float], list[float], float]:
    """Milliseconds of each plain read, and of the call made right after it; the CPU of the service per call."""
    fhir, payer = (HTTPConnection("127.0.0.1", port, timeout=60) for port in ports)
    reads, spent = [], []
    used = 0.0
    for number in range(_WARM_UP + calls):
        if number == _WARM_UP:
            used = _cpu_seconds(process)
        content = bare_request(number, f"http://127.0.0.1:{ports[0]}/fhir", kind)
        reads.append(_milliseconds(fhir, "GET", "/fhir/Patient/p1"))
        spent.append(_milliseconds(payer, "POST", "/cds-services/order-sign-crd", content))
        # The record of the call is written when its answer is on its way.
        time.sleep(_BETWEEN)
    cpu = (_cpu_seconds(process) - used) * 1000 / calls
    return reads[_WARM_UP:], spent[_WARM_UP:], cpu


def main() -> None:
    delay = float(sys.argv[1]) if len(sys.argv) > 1 else 50.0
    calls = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    database = sys.argv[3] if len(sys.argv) > 3 else ""
    with running(_serve_fhir, delay / 1000) as (fhir, _), running(_serve_payer, database) as (payer, process):
        for kind in _KINDS:
            reads, spent, cpu = measure(calls, (fhir, payer), process, kind)
            added = [call - read for call, read in zip(spent, reads, strict=True)]
            sys.stdout.write(
                f"order-sign, {kind.title}, {calls} calls, "
                f"added to a plain read of {median(reads):.1f} ms: median {median(added):.2f} ms, "
                f"10 % {quantiles(added, n=10)[0]:.2f} ms, 95 % {quantiles(added, n=20)[18]:.2f} ms; "
                f"CPU {cpu:.1f} ms\n"
            )


if __name__ == "__main__":
    main()

"""Time that an order-sign adds to the EHR's slowest answer: `python -m benchmarks.callbacks [MILLISECONDS] [CALLS]`.

The call comes without prefetch: patient, coverage (with its payer), two medications and the prescriber are read from
a FHIR server on this machine, in a process of its own, that takes MILLISECONDS for each answer. Prints what comes on
top of one such read by a plain client, and on top of the slowest answer as the server itself measured it; the service
may add 10 ms. Then the same with the card that tells of the chart, which is read in a second round: when it is known
that the order is ours and gets a form.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.app.compose import create_app
from service.settings import Settings

_EXAMPLE = Path(__file__).parents[1] / "tests" / "golden" / "crd" / "order-sign-medication-2.2" / "request.json"
_WARM_UP = 20
_Json = dict[str, Any]


def _example() -> _Json:
    body: _Json = json.loads(_EXAMPLE.read_text())
    return body


def bare_request(number: int, server: str, *, with_card: bool) -> bytes:
    """The example without prefetch: two orders of the call's own, each by reference to its Medication."""
    body = _example()
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
    body["context"]["draftOrders"]["entry"] = [{"resource": each} for each in orders]
    body["prefetch"] = {}
    body["extension"]["davinci-crd.configuration"] = {"claim": with_card}
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


def _serve_fhir(listening: socket.socket, delay: float, told: Connection) -> None:
    """Runs in a process of its own. Sends (path, seconds) of each answer when it is asked for `told`."""
    held = _held()
    nothing = b'{"resourceType": "Bundle", "type": "searchset"}'
    took: list[tuple[str, float]] = []

    async def answer(request: Request) -> Response:
        began = time.perf_counter()
        path = request.path_params["path"]
        if path == "took":
            told.send(took[:])
            took.clear()
            return Response()
        await asyncio.sleep(delay)
        given = Response(held.get(path, nothing), media_type="application/fhir+json")
        took.append((path, time.perf_counter() - began))
        return given

    app = Starlette(routes=[Route("/fhir/{path:path}", answer)])
    config = uvicorn.Config(app, log_config=None, lifespan="off", access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def fhir_server(delay: float) -> Iterator[tuple[str, Connection]]:
    """The base of a server that takes `delay` seconds for each answer, and where it tells how long they took."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        process = context.Process(target=_serve_fhir, args=(listening, delay, theirs), daemon=True)
        process.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/fhir", ours
        finally:
            process.terminate()
            process.join()


async def measure(
    calls: int, server: str, told: Connection, *, with_card: bool
) -> tuple[list[float], list[float], set[str]]:
    """Milliseconds of each call, of the slowest answer during each, and what was asked for in a call."""
    spent: list[float] = []
    slowest: list[float] = []
    asked: set[str] = set()
    with TemporaryDirectory() as data:
        app = create_app(Settings(demo=True), Path(data))
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
            httpx.AsyncClient(trust_env=False) as observer,
        ):
            for number in range(_WARM_UP + calls):
                content = bare_request(number, server, with_card=with_card)
                before = time.perf_counter()
                response = await client.post("/cds-services/order-sign-crd", content=content)
                spent.append((time.perf_counter() - before) * 1000)
                response.raise_for_status()
                await observer.get(f"{server}/took")
                took: list[tuple[str, float]] = told.recv()
                asked = {path for path, _ in took}
                slowest.append(max(seconds for _, seconds in took) * 1000)
    return spent[_WARM_UP:], slowest[_WARM_UP:], asked


async def plain_reads(server: str, told: Connection) -> list[float]:
    """Milliseconds of one read after the other by a plain client: an EHR call with all that HTTP costs."""
    spent: list[float] = []
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(_WARM_UP * 2):
            before = time.perf_counter()
            (await client.get(f"{server}/Patient/p1")).raise_for_status()
            spent.append((time.perf_counter() - before) * 1000)
        await client.get(f"{server}/took")
        told.recv()
    return spent[_WARM_UP:]


def main() -> None:
    logging.disable(logging.WARNING)
    delay = float(sys.argv[1]) if len(sys.argv) > 1 else 50.0
    calls = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    with fhir_server(delay / 1000) as (server, told):
        for with_card in (False, True):
            # The event loop is the one that the service runs on.
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                plain = median(runner.run(plain_reads(server, told)))
                spent, slowest, asked = runner.run(measure(calls, server, told, with_card=with_card))
            added = [call - plain for call in spent]
            inside = [call - slow for call, slow in zip(spent, slowest, strict=True)]
            sys.stdout.write(
                f"order-sign, {'the chart for the card besides' if with_card else 'five missing items'}, "
                f"{calls} calls; read: {', '.join(sorted(asked))}\n"
                f"    added to a plain read ({plain:.1f} ms): median {median(added):.2f} ms, "
                f"95 % {quantiles(added, n=20)[18]:.2f} ms\n"
                f"    added to the slowest answer inside the server ({median(slowest):.1f} ms): "
                f"median {median(inside):.2f} ms\n"
            )


if __name__ == "__main__":
    main()

"""CPU time of one order-sign with full prefetch, in process: `python -m benchmarks.order_sign [CALLS]`.

Prints milliseconds of CPU per call, the client's own work for the call included; the service may spend 5 of them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import httpx

from service.app.compose import create_app
from service.settings import Settings

_EXAMPLE = Path(__file__).parents[1] / "tests" / "golden" / "crd" / "order-sign-medication-2.2" / "request.json"
_WARM_UP = 30


def full_request(number: int) -> bytes:
    """The example with everything that the standard prefetch templates name, for an order of its own."""
    body = json.loads(_EXAMPLE.read_text())
    order = body["context"]["draftOrders"]["entry"][0]["resource"]
    order["id"] = f"order-{number}"
    body["prefetch"] |= {
        "encounter": {
            "resourceType": "Encounter",
            "id": "e1",
            "status": "in-progress",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "subject": order["subject"],
        },
        "practitioners": _found({"resourceType": "Practitioner", "id": "d1", "name": [{"family": "Example"}]}),
        "practitionerRoles": _found({"resourceType": "PractitionerRole", "id": "r1"}),
        "organizations": _found({"resourceType": "Organization", "id": "o1", "name": "Clinic"}),
        "locations": _found({"resourceType": "Location", "id": "l1", "name": "Infusion suite"}),
        "medications": _found(),
    }
    return json.dumps(body).encode()


def _found(*resources: object) -> dict[str, object]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": each} for each in resources]}


async def measure(calls: int) -> list[float]:
    """Milliseconds of CPU of each call, all threads of the process together."""
    spent: list[float] = []
    with TemporaryDirectory() as data:
        app = create_app(Settings(demo=True), Path(data))
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
        ):
            for number in range(_WARM_UP + calls):
                content = full_request(number)
                before = time.process_time()
                response = await client.post("/cds-services/order-sign-crd", content=content)
                spent.append((time.process_time() - before) * 1000)
                response.raise_for_status()
    return spent[_WARM_UP:]


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    spent = asyncio.run(measure(calls))
    worst = quantiles(spent, n=100)[98]
    sys.stdout.write(
        f"order-sign, full prefetch, {calls} calls: median {median(spent):.2f} ms CPU, 99 % {worst:.2f} ms\n"
    )


if __name__ == "__main__":
    main()

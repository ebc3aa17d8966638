"""The story of a registered client that opens forms from SMART cards, not from coverage-information."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Final

import httpx

from conformance.recording import STORIES_PORT, Call, Json, Recorder
from service.app.compose import create_app
from service.settings import Settings
from tests.doubles import CountingIds, FrozenClock
from tests.unit.access.signing import BASE, NOW, claims, client_file, signed

_LAUNCHES: Final = "smart_launch_card = true\n"


async def launched_from_cards(calls: list[Call], requests: Sequence[Json]) -> None:
    """Sends each hook's request with a signed token to a service without the demo; what passed is kept."""
    with tempfile.TemporaryDirectory() as data:
        # Nobody has loaded members here, so that the coverage is taken as it was sent.
        settings = Settings(
            clients=client_file(Path(data), _LAUNCHES), public_url=BASE, trust_presented_coverage=True
        )
        app = create_app(settings, Path(data), clock=FrozenClock(NOW), ids=CountingIds())
        app.add_middleware(Recorder, calls=calls)
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", STORIES_PORT))
        numbers = count()
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="https://payer.example.org") as http,
        ):
            for body in requests:
                path = f"/cds-services/{body['hook']}-crd"
                token = signed(claims(f"{BASE}{path}", jti=f"token-{next(numbers)}"))
                headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
                await http.post(path, content=json.dumps(body), headers=headers)

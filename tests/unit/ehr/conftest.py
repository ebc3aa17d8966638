"""The client as the service opens it, for servers on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from service.app.parts import structure_check
from service.ehr.address import Reach
from service.ehr.answer import Bounds
from service.ehr.client import HttpEhr, HttpEhrClients
from service.ehr.connection import CheckedTransport, Resolve, system_addresses
from service.fhir.parse import StructureCheck
from tests.unit.ehr.server import TOKEN

DEVELOPMENT = Reach(frozenset(), loopback=True)
Opened = Callable[..., HttpEhr]


@pytest.fixture(scope="session")
def check() -> StructureCheck:
    return structure_check()


@pytest.fixture
async def opened(check: StructureCheck) -> AsyncIterator[Opened]:
    """Opens a server by its base, `deadline` seconds from now; other arguments are bounds."""
    clients: list[HttpEhrClients] = []

    def make(
        base: str,
        *,
        deadline: float = 20.0,
        reach: Reach = DEVELOPMENT,
        resolve: Resolve = system_addresses,
        token: str | None = TOKEN,
        **bounds: Any,
    ) -> HttpEhr:
        limits = Bounds(**{"seconds": 20.0, **bounds})
        clients.append(HttpEhrClients(CheckedTransport(reach, resolve), reach, check, limits))
        ehr = clients[-1].open(base, token, deadline=asyncio.get_running_loop().time() + deadline)
        assert ehr is not None
        return ehr

    yield make
    for client in clients:
        await client.close()

"""The demo's access: this machine only, whatever a web page or a proxy makes of it."""

from __future__ import annotations

import httpx
import pytest

from service.access.assemble import open_access
from service.access.development import DevelopmentAccess
from service.errors import NotAuthenticated
from service.settings import Settings
from service.store.memory import MemoryStore
from service.wire import FhirAccess, HookAccess
from tests.doubles import FrozenClock
from tests.unit.access.signing import NOW, request

ACCESS = DevelopmentAccess(["https://sandbox.example.org"])


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"])
async def test_whoever_is_on_this_machine_may_call(peer: str, host: str) -> None:
    hooks: HookAccess = ACCESS.hook
    fhir: FhirAccess = ACCESS.fhir
    caller = await hooks(request("/cds-services", {"Host": host}, peer=peer), b"")
    assert caller.client == "demo"
    assert caller.scopes == {"system/*.cruds"}
    assert await fhir(request("/fhir/Claim", {"Host": host}, peer=peer), "system/Claim.cu") == caller


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8080", "https://sandbox.example.org"])
async def test_pages_of_this_machine_and_configured_ones_may_call(origin: str) -> None:
    assert await ACCESS.hook(request("/cds-services", {"Host": "localhost", "Origin": origin}), b"")


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        ("192.168.1.5", {"Host": "localhost"}),
        ("10.0.0.1", {"Host": "127.0.0.1"}),
        ("::ffff:10.0.0.1", {"Host": "localhost"}),
        ("testclient", {"Host": "localhost"}),
        (None, {"Host": "localhost"}),
        ("127.0.0.1", {"Host": "rebound.example.org"}),
        ("127.0.0.1", {"Host": "localhost.example.org"}),
        ("127.0.0.1", {"Host": "127.0.0.1.example.org:8080"}),
        ("127.0.0.1", {"Host": "example.org@localhost:x]"}),
        ("127.0.0.1", {"Host": "[::1"}),
        ("127.0.0.1", {"Host": ""}),
        ("127.0.0.1", {}),
        ("127.0.0.1", {"Host": "localhost", "Origin": "https://evil.example.org"}),
        ("127.0.0.1", {"Host": "localhost", "Origin": "null"}),
        ("127.0.0.1", {"Host": "localhost", "Origin": "https://sandbox.example.org.evil.example.org"}),
        ("127.0.0.1", {"Host": "localhost", "X-Forwarded-For": "127.0.0.1"}),
        ("127.0.0.1", {"Host": "localhost", "Forwarded": "for=10.0.0.1"}),
    ],
)
async def test_everybody_else_is_nobody(peer: str | None, headers: dict[str, str]) -> None:
    with pytest.raises(NotAuthenticated):
        await ACCESS.hook(request("/cds-services", headers, peer=peer), b"")
    with pytest.raises(NotAuthenticated):
        await ACCESS.fhir(request("/fhir/Claim", headers, peer=peer), "system/Claim.cu")


@pytest.mark.parametrize("demo", [True, False])
async def test_only_the_demo_opens_without_a_token(demo: bool) -> None:
    clock = FrozenClock(NOW)
    async with httpx.AsyncClient() as http:
        access = open_access(Settings(demo=demo), MemoryStore(clock), http, clock)
    local = request("/cds-services", {"Host": "localhost"})
    if demo:
        assert (await access.hooks(local, b"")).client == "demo"
        assert (await access.fhir(local, "system/Claim.cu")).client == "demo"
        return
    with pytest.raises(NotAuthenticated):
        await access.hooks(local, b"")
    with pytest.raises(NotAuthenticated):
        await access.fhir(local, "system/Claim.cu")

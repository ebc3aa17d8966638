"""TLS: ended by the service itself where it has a certificate, and demanded of whoever comes from elsewhere."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import warnings
from pathlib import Path

import httpx
import pytest

from service.catalog.registry import HOME
from tests.e2e.certificate import self_signed
from tests.e2e.server import PATIENCE, serving


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate of this machine's address, and its key."""
    return self_signed(tmp_path)


@pytest.mark.requirement("CRD sec-2", "CRD sec-3", "PAS spec-4")
def test_with_a_certificate_nothing_is_said_in_the_clear(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    chain, key = certificate
    environment = {"PA_TLS_CERTIFICATE": str(chain), "PA_TLS_KEY": str(key)}
    trust = ssl.create_default_context(cafile=str(chain))
    with serving(tmp_path / "data", environment=environment, trust=trust) as served:
        assert served.http.get("/cds-services").json()["services"]
        address = ("127.0.0.1", served.http.base_url.port)
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{address[1]}/cds-services")
        with socket.create_connection(address) as plain, trust.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
            assert tls.version() in {"TLSv1.2", "TLSv1.3"}
        with (
            socket.create_connection(address) as plain,
            pytest.raises(ssl.SSLError, match=r"EOF|ALERT"),
            _older().wrap_socket(plain, server_hostname="127.0.0.1"),
        ):
            pass
        smart = served.http.get("/fhir/.well-known/smart-configuration").json()
        assert smart["token_endpoint"].startswith("https://")


def _older() -> ssl.SSLContext:
    """A client of TLS 1.1, of which it would take any certificate; security level 0 lets it speak at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


@pytest.mark.requirement("CRD sec-2", "PAS spec-4")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Patient data travels by TLS only"),
        ({"PA_PUBLIC_URL": "http://pa.example.org"}, "Patient data travels by TLS only"),
        ({"PA_TLS_CERTIFICATE": "chain.pem"}, "go together"),
        ({"PA_TLS_CERTIFICATE": "none.pem", "PA_TLS_KEY": "none.pem"}, "no certificate and key"),
    ],
    ids=["nothing said", "plain address", "no key", "no files"],
)
def test_other_machines_are_not_served_in_the_clear(tmp_path: Path, changes: dict[str, str], said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service", "serve", "--host", "0.0.0.0", "--port", "0", "--data", str(tmp_path)],
        cwd=HOME,
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert said in done.stderr

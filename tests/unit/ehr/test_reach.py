"""Which servers are called: an address that leads into our own network is never asked, however it is written."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.access.clients import load_clients
from service.ehr.address import Reach, address_within, server_within
from service.ehr.client import open_ehr_clients
from service.ehr.connection import CheckedTransport
from service.errors import EhrUnavailable, InvalidPolicy
from service.fhir.parse import StructureCheck
from service.settings import Settings
from tests.unit.ehr.conftest import Opened
from tests.unit.ehr.server import TOKEN, fhir, patient, served

LISTED = Reach(frozenset({"ehr.example.org", "other.example.org:8443", "[2001:4860::1]", "127.0.0.1", "10.0.0.5"}))
HOSPITAL = Reach(frozenset({"ehr.example.org"}), private=True)


@pytest.mark.parametrize(
    ("address", "base"),
    [
        ("https://ehr.example.org/fhir", "https://ehr.example.org/fhir"),
        ("https://EHR.example.org:443/fhir/", "https://ehr.example.org/fhir"),
        ("https://ehr.example.org", "https://ehr.example.org"),
        ("https://other.example.org:8443/r4", "https://other.example.org:8443/r4"),
    ],
)
def test_a_listed_server_is_called_at_its_base(address: str, base: str) -> None:
    server = server_within(address, LISTED)
    assert server is not None
    assert server.base == base


@pytest.mark.parametrize(
    "address",
    [
        "http://ehr.example.org/fhir",
        "https://ehr.example.org:8443/fhir",
        "https://other.example.org/fhir",
        "https://unlisted.example.org/fhir",
        "https://ehr.example.org.attacker.example/fhir",
        "https://ehr.example.org@attacker.example/fhir",
        "https://user:secret@ehr.example.org/fhir",
        "https://ehr.example.org:443@attacker.example/fhir",
        "https://ehr.example.org\\@attacker.example/fhir",
        "https://ehr.example.org/fhir?redirect=x",
        "https://ehr.example.org/fhir#x",
        "https://ehr.example.org/fhir/../admin",
        "https://ehr.example.org/fhir/%2e%2e/admin",
        "https://ehr.example.org:99999999/fhir",
        "https://ehr.example.org /fhir",
        "https://169.254.169.254/latest",
        "https://10.1.2.3/fhir",
        "https://[::1]/fhir",
        "https://[::ffff:127.0.0.1]/fhir",
        "https://localhost/fhir",
        "http://127.0.0.1/fhir",
        "https://2130706433/fhir",
        "file:///etc/passwd",
        "ftp://ehr.example.org/fhir",
        "//ehr.example.org/fhir",
        "ehr.example.org/fhir",
        "",
    ],
)
@pytest.mark.requirement("CRD sec-1")
def test_no_other_server_is_called(address: str) -> None:
    assert server_within(address, LISTED) is None


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("https://own.example.org/fhir", True),
        ("https://OWN.example.org:443/fhir/", True),
        ("https://own.example.org/other", False),
        ("https://own.example.org/fhir/deeper", False),
        ("http://own.example.org/fhir", False),
        ("https://ehr.example.org/fhir", False),
    ],
)
def test_a_client_with_servers_of_its_own_names_no_other(address: str, allowed: bool) -> None:
    own = frozenset({"https://own.example.org/fhir"})
    assert (server_within(address, LISTED, own) is not None) is allowed


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1",
        "100.100.100.200", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "::", "::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1", "localhost", "",
    ],
)  # fmt: skip
def test_an_address_of_our_own_network_is_not_connected_to(address: str) -> None:
    assert not address_within(address, LISTED)


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_connected_to(address: str) -> None:
    assert address_within(address, LISTED)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.0.0.1", True), ("192.168.3.4", True), ("fd12::1", True), ("169.254.169.254", False), ("fe80::1", False),
        ("fd00:ec2::254", False), ("127.0.0.1", False), ("100.100.100.200", False), ("0.0.0.0", False),
    ],
)  # fmt: skip
def test_a_setting_opens_private_networks_and_nothing_else(address: str, allowed: bool) -> None:
    assert address_within(address, HOSPITAL) is allowed


async def _public_and_loopback(host: str, port: int) -> Sequence[str]:
    return ["8.8.8.8", "127.0.0.1"]


async def _loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


@pytest.mark.parametrize("resolve", [_loopback, _public_and_loopback])
async def test_a_listed_name_that_leads_inside_is_not_connected_to(opened: Opened, resolve: object) -> None:
    with served(lambda asked: fhir(patient())) as server:
        host = f"ehr.example.org:{server.port}"
        ehr = opened(f"https://{host}/fhir", reach=Reach(frozenset({host})), resolve=resolve)
        with pytest.raises(EhrUnavailable):
            await ehr.read("Patient", "p1")
    assert server.asked == []


def _certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A self-signed certificate for one name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / "chain.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return chain, private


@pytest.mark.parametrize(("name", "trusted"), [("ehr.example.org", True), ("other.example.org", False)])
async def test_the_certificate_is_that_of_the_name_not_of_the_address(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool
) -> None:
    certificate = _certificate(tmp_path, name)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    # A connection that stays open would keep a closing TLS server waiting.
    with served(lambda asked: fhir(patient(), headers={"Connection": "close"}), certificate) as server:
        host = f"ehr.example.org:{server.port}"
        ehr = opened(f"https://{host}/fhir", reach=Reach(frozenset({host}), loopback=True), resolve=_loopback)
        if trusted:
            assert (await ehr.read("Patient", "p1"))["id"] == "p1"
        else:
            with pytest.raises(EhrUnavailable):
                await ehr.read("Patient", "p1")
            assert server.asked == []


async def test_the_settings_say_who_may_be_called(check: StructureCheck) -> None:
    later = asyncio.get_running_loop().time() + 5
    listed = open_ehr_clients(Settings(ehr_hosts=("ehr.example.org",)), check)
    assert listed.open("https://ehr.example.org/fhir", TOKEN, deadline=later) is not None
    assert listed.open("https://ehr.example.org/fhir", None, deadline=later) is None
    assert listed.open("https://ehr.example.org/fhir", "two words\r\nX: y", deadline=later) is None
    assert listed.open(None, TOKEN, deadline=later) is None
    assert listed.open("http://127.0.0.1:8080/fhir", TOKEN, deadline=later) is None
    await listed.close()
    demo = open_ehr_clients(Settings(demo=True), check)
    assert demo.open("http://127.0.0.1:8080/demo/fhir", TOKEN, deadline=later) is not None
    assert demo.open("https://ehr.example.org/fhir", TOKEN, deadline=later) is None
    await demo.close()


def test_a_clients_servers_are_registered_with_it(tmp_path: Path) -> None:
    file = tmp_path / "clients.toml"
    file.write_text(
        '[[client]]\nid = "ehr-1"\nname = "Hospital"\njwks_urls = ["https://own.example.org/jwks"]\n'
        'fhir_servers = ["https://own.example.org/fhir"]\n'
    )
    (client,) = load_clients(file).by_id.values()
    assert client.caller().fhir_servers == {"https://own.example.org/fhir"}
    file.write_text(file.read_text().replace("https://own.example.org/fhir", "http://own.example.org/fhir"))
    with pytest.raises(InvalidPolicy):
        load_clients(file)


async def test_an_address_that_stands_in_the_url_is_checked_like_one_of_a_name() -> None:
    with served(lambda asked: fhir(patient())) as server:
        for reach, reached in ((LISTED, False), (Reach(frozenset(), loopback=True), True)):
            transport = CheckedTransport(reach)
            request = httpx.Request("GET", f"{server.base}/Patient/p1")
            if reached:
                answer = await transport.handle_async_request(request)
                await answer.aread()
                assert answer.status_code == 200
            else:
                with pytest.raises(httpx.UnsupportedProtocol):
                    await transport.handle_async_request(request)
                assert server.asked == []
            await transport.aclose()

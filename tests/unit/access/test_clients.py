"""The file of registered clients: what it may say, and that everything else stops the start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import OctKey, RSAKey

from service.access.clients import load_clients
from service.errors import InvalidPolicy
from tests.unit.access.signing import ISSUER, client_file, ec_key, public, rsa_key

START = '[[client]]\nid = "a"\nname = "A"\n'


def test_a_client_is_read(tmp_path: Path) -> None:
    clients = load_clients(client_file(tmp_path))
    client = clients.by_id["ehr-1"]
    assert clients.by_issuer[ISSUER] is client
    assert {key.kid for key in client.keys} == {"ec-1", "rsa-1"}
    assert client.algorithms == ("ES384", "RS384")
    assert client.npis == {"1234567893"}


def test_a_smart_card_is_for_those_who_want_one(tmp_path: Path) -> None:
    assert not load_clients(client_file(tmp_path)).by_id["ehr-1"].caller().smart_launch_card
    wanting = load_clients(client_file(tmp_path, "smart_launch_card = true")).by_id["ehr-1"]
    assert wanting.caller().smart_launch_card


def test_a_strict_partner_is_registered_as_one(tmp_path: Path) -> None:
    assert not load_clients(client_file(tmp_path)).by_id["ehr-1"].caller().strict_intake
    strict = load_clients(client_file(tmp_path, "strict_intake = true")).by_id["ehr-1"]
    assert strict.caller().strict_intake


def test_keys_may_stand_in_the_file(tmp_path: Path) -> None:
    key = public(ec_key())["keys"][0]
    inline = ", ".join(f"{name} = {json.dumps(value)}" for name, value in key.items())
    clients = load_clients(client_file(tmp_path, f"{START}[client.jwks]\nkeys = [{{ {inline} }}]"))
    assert [key.kid for key in clients.by_id["a"].keys] == ["ec-1"]


def test_without_a_file_there_is_nobody() -> None:
    assert not load_clients(None).by_id


def test_what_was_read_cannot_be_changed(tmp_path: Path) -> None:
    clients = load_clients(client_file(tmp_path))
    with pytest.raises(TypeError):
        clients.by_id["x"] = clients.by_id["ehr-1"]  # type: ignore[index]  # that it is refused is the point


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f"{START}", 'client "a" has no keys'),
        (f'{START}colour = "red"\njwks_file = "ehr.jwks.json"', "client.0.colour"),
        ('[[clients]]\nid = "a"', "clients"),
        ('[[client]]\nname = "A"', "client.0.id"),
        (f'{START}scopes = ["Claim"]\njwks_file = "ehr.jwks.json"', "client.0.scopes.*system/Claim.cu"),
        (f'{START}scopes = ["user/Claim.cu"]\njwks_file = "ehr.jwks.json"', "client.0.scopes"),
        (f'{START}npis = ["12"]\njwks_file = "ehr.jwks.json"', "client.0.npis"),
        (f'{START}tolerate_rs256 = "yes"\njwks_file = "ehr.jwks.json"', "client.0.tolerate_rs256"),
        (f'{START}jwks_urls = ["http://ehr.example.org/jwks"]', "client.0.jwks_urls"),
        (f'{START}jwks_urls = ["https://u:p@ehr.example.org/jwks"]', "client.0.jwks_urls"),
        (f'{START}jwks_urls = ["https://ehr.example.org/jwks?x"]', "client.0.jwks_urls"),
        (f'{START}jwks_file = "missing.json"', "missing.json"),
        (f'{START}jwks_file = "clients.toml"', "not a readable JSON Web Key Set"),
        (f"{START}[client.jwks]\nkeys = []", "at least one key"),
        (f'{START}jwks_file = "ehr.jwks.json"\n{START}jwks_file = "ehr.jwks.json"', 'two clients have the id "a"'),
        ("[[client]]\nid = ", "not TOML"),
    ],
)
def test_a_fault_stops_the_start_and_says_where(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(InvalidPolicy, match=rf"clients\.toml.*{complaint}"):
        load_clients(client_file(tmp_path, text))


def test_an_issuer_belongs_to_one_client(tmp_path: Path) -> None:
    entry = f'[[client]]\nid = "%s"\nname = "A"\nissuers = ["{ISSUER}"]\njwks_file = "ehr.jwks.json"\n'
    with pytest.raises(InvalidPolicy, match="two clients have the issuer"):
        load_clients(client_file(tmp_path, entry % "a" + entry % "b"))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy, match="cannot be read"):
        load_clients(tmp_path / "none.toml")


def _weak() -> dict[str, Any]:
    key = rsa_key().as_dict(private=False)
    return {**key, "n": str(key["n"])[:170]}


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        (ec_key().as_dict(private=True), "secret"),
        (OctKey.import_key("a secret long enough", {"kid": "o"}).as_dict(private=True), "secret"),
        (ec_key("p256", "P-256").as_dict(private=False), "P-384"),
        (_weak(), "2048"),
        (
            {
                name: value
                for name, value in RSAKey.generate_key(2048).as_dict(private=False).items()
                if name != "kid"
            },
            "kid",
        ),
        ({**ec_key().as_dict(private=False), "use": "enc"}, "another use"),
        ({**ec_key().as_dict(private=False), "x": "AAAA"}, "malformed"),
        ({"kty": "RSA", "kid": "r", "n": "A" * 400}, "malformed"),
        ("key", "kid"),
    ],
)
def test_a_registered_key_that_cannot_verify_is_refused(tmp_path: Path, key: Any, complaint: str) -> None:
    with pytest.raises(InvalidPolicy, match=complaint) as raised:
        load_clients(client_file(tmp_path, keys={"keys": [key]}))
    if isinstance(key, dict):
        assert str(key.get("d", "no such")) not in raised.value.text

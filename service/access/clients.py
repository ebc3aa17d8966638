"""The registered clients, read from a TOML file (setting PA_CLIENTS)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, field_validator

from service.access.jwks import Keys, UnusableKey, registered_keys
from service.access.scopes import parse_scope
from service.errors import InvalidPolicy, ServiceError
from service.fhir.json import decode
from service.policy.case import ClientId
from service.ports import Caller
from service.toml_file import read_toml

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 20

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
_Npi = Annotated[str, StringConstraints(pattern=r"^\d{10}$")]
# No user name, query or fragment: the address is compared with a token's as text.
_Address = Annotated[str, StringConstraints(pattern=r"^https://[^\s/?#@]+(/[^\s?#@]*)?$", max_length=500)]


class _Entry(BaseModel):
    """One [[client]] of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: _Text
    name: _Text
    issuers: tuple[_Text, ...] = ()
    scopes: tuple[_Text, ...] = ()
    npis: tuple[_Npi, ...] = ()
    tolerate_rs256: StrictBool = False
    smart_launch_card: StrictBool = False
    strict_intake: StrictBool = False
    fhir_servers: tuple[_Address, ...] = ()
    jwks: dict[str, Any] | None = None
    jwks_file: Path | None = None
    jwks_urls: tuple[_Address, ...] = ()

    @field_validator("scopes")
    @classmethod
    def _known_scopes(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        for scope in scopes:
            if parse_scope(scope) is None:
                raise ValueError('a scope is written like "system/Claim.cu"')
        return scopes


class _File(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client: tuple[_Entry, ...] = Field(default=())


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client and how it proves itself: `keys` pinned here, or served at one of `jwks_urls`.

    `smart_launch_card` says that it opens forms from SMART cards, not from coverage-information; `fhir_servers` are
    the FHIR bases that its calls may name.
    """

    id: ClientId
    name: str
    issuers: frozenset[str]
    scopes: frozenset[str]
    npis: frozenset[str]
    tolerates_rs256: bool
    keys: Keys
    jwks_urls: tuple[str, ...]
    smart_launch_card: bool = False
    fhir_servers: frozenset[str] = frozenset()
    strict_intake: bool = False

    @property
    def algorithms(self) -> tuple[str, ...]:
        """JWS algorithms that it may sign with (SMART and CDS Hooks name the first two)."""
        return ("ES384", "RS384", "RS256") if self.tolerates_rs256 else ("ES384", "RS384")

    def caller(self, scopes: frozenset[str] | None = None) -> Caller:
        """The client as the caller of one request, with all its scopes or those of its access token."""
        granted = self.scopes if scopes is None else scopes
        return Caller(self.id, granted, self.npis, self.smart_launch_card, self.fhir_servers, self.strict_intake)


@dataclass(frozen=True, slots=True)
class Clients:
    """All registered clients; with none, nobody may call."""

    by_id: Mapping[str, Client]
    by_issuer: Mapping[str, Client]


def load_clients(path: Path | None) -> Clients:
    """Reads the file; no path, no clients. InvalidPolicy names the file, the place and what is wrong there."""
    if path is None:
        return _register((), "")
    read = read_toml(path, _File, "the file of registered clients")
    return _register((_client(entry, path) for entry in read.client), path.name)


def _register(clients: Iterable[Client], file: str) -> Clients:
    by_id: dict[str, Client] = {}
    by_issuer: dict[str, Client] = {}
    for client in clients:
        if by_id.setdefault(client.id, client) is not client:
            raise InvalidPolicy(f'{file}: two clients have the id "{client.id}".')
        for issuer in client.issuers:
            if by_issuer.setdefault(issuer, client) is not client:
                raise InvalidPolicy(f'{file}: two clients have the issuer "{issuer}".')
    return Clients(MappingProxyType(by_id), MappingProxyType(by_issuer))


def _client(entry: _Entry, path: Path) -> Client:
    where = f'{path.name}: client "{entry.id}"'
    sets = [entry.jwks] if entry.jwks is not None else []
    if entry.jwks_file is not None:
        sets.append(_key_file(path.parent / entry.jwks_file, where))
    if not sets and not entry.jwks_urls:
        raise InvalidPolicy(f"{where} has no keys: give jwks, jwks_file or jwks_urls.")
    try:
        keys = tuple(key for key_set in sets for key in registered_keys(key_set))
    except UnusableKey as error:
        raise InvalidPolicy(f"{where}: {error}.") from None
    return Client(
        id=ClientId(entry.id),
        name=entry.name,
        issuers=frozenset(entry.issuers),
        scopes=frozenset(entry.scopes),
        npis=frozenset(entry.npis),
        tolerates_rs256=entry.tolerate_rs256,
        keys=keys,
        jwks_urls=entry.jwks_urls,
        smart_launch_card=entry.smart_launch_card,
        strict_intake=entry.strict_intake,
        fhir_servers=frozenset(entry.fhir_servers),
    )


def _key_file(path: Path, where: str) -> Any:
    try:
        return decode(path.read_bytes(), max_bytes=_MAX_BYTES, max_depth=_MAX_DEPTH)
    except (OSError, ServiceError):
        raise InvalidPolicy(f"{where}: {path.name} is not a readable JSON Web Key Set.") from None

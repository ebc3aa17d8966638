"""The EHRs that may launch the SMART app, and how it proves itself to each: a TOML file (PA_SMART_ISSUERS)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.ehr.app_key import AppKey, UnusableKeyFile, load_key
from service.errors import InvalidPolicy
from service.toml_file import read_toml

# What a DTR app asks for: identity and context (DTR 2.2.0, SMART launch), the chart, its own response with the
# documents that go with it, the order.
SCOPES: Final = (
    "launch",
    "openid",
    "fhirUser",
    "online_access",
    "patient/*.rs",
    "user/Practitioner.rs",
    "patient/QuestionnaireResponse.cus",
    "patient/DocumentReference.cu",
    "patient/MedicationRequest.u",
)
Method = Literal["secret", "private_key_jwt", "public"]

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
_Https = Annotated[str, StringConstraints(pattern=r"^https://[^\s/?#@]+(/[^\s?#@]*)?$", max_length=500)]


@dataclass(frozen=True, slots=True)
class Issuer:
    """One registered EHR. `iss` has no slash at its end. `client` is who calls CRD and PAS from there, if known.

    `hosts` are hosts beside the FHIR base's own that may be called (authorization server, keys); `origins` are those
    whose pages may frame the app. The secret is in no representation.
    """

    iss: str
    name: str
    client_id: str
    method: Method
    scopes: tuple[str, ...] = SCOPES
    hosts: frozenset[str] = frozenset()
    origins: tuple[str, ...] = ()
    client: str | None = None
    secret: str = field(default="", repr=False)
    key: AppKey | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PayerAccount:
    """How the app proves itself to our own FHIR base: as a registered client, like any provider's software."""

    client_id: str
    key: AppKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Registrations:
    """All registered EHRs, by issuer; with none, nobody can launch."""

    by_iss: Mapping[str, Issuer]
    payer: PayerAccount | None = None

    def find(self, iss: str) -> Issuer | None:
        """The EHR of that FHIR base, with or without a slash at its end."""
        return self.by_iss.get(iss.rstrip("/"))

    @property
    def hosts(self) -> frozenset[str]:
        """Every host that may be called, as "host" or "host:port"."""
        return frozenset(host for each in self.by_iss.values() for host in (urlsplit(each.iss).netloc, *each.hosts))

    @property
    def origins(self) -> tuple[str, ...]:
        """Every origin that may frame the app."""
        return tuple(dict.fromkeys(origin for each in self.by_iss.values() for origin in each.origins))

    @property
    def keys(self) -> tuple[AppKey, ...]:
        """Every key of ours, each once."""
        held = [each.key for each in self.by_iss.values()] + [self.payer.key if self.payer else None]
        return tuple({key.kid: key for key in held if key is not None}.values())


class _Issuer(BaseModel):
    """One [[issuer]] of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    iss: _Https
    name: _Text
    client_id: _Text
    auth: Method
    secret: str = ""
    key_file: Path | None = None
    scopes: tuple[_Text, ...] = SCOPES
    hosts: tuple[_Text, ...] = ()
    origins: tuple[_Https, ...] = ()
    client: _Text | None = None


class _Payer(BaseModel):
    """The [payer] table of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client_id: _Text
    key_file: Path


class _File(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: tuple[_Issuer, ...] = Field(default=())
    payer: _Payer | None = None


def registrations(issuers: Iterable[Issuer], payer: PayerAccount | None = None) -> Registrations:
    """Registrations of these; InvalidPolicy when two have one address."""
    by_iss: dict[str, Issuer] = {}
    for issuer in issuers:
        if by_iss.setdefault(issuer.iss, issuer) is not issuer:
            raise InvalidPolicy(f'Two EHRs are registered under the issuer "{issuer.iss}".')
    return Registrations(MappingProxyType(by_iss), payer)


def load_registrations(path: Path | None) -> Registrations:
    """Reads the file; no path, no EHRs. InvalidPolicy names the file, the place and what is wrong there."""
    if path is None:
        return registrations(())
    read = read_toml(path, _File, "the file of registered EHRs")
    payer = PayerAccount(read.payer.client_id, _key(read.payer.key_file, path)) if read.payer else None
    return registrations((_issuer(entry, path) for entry in read.issuer), payer)


def _issuer(entry: _Issuer, path: Path) -> Issuer:
    if entry.auth == "secret" and not entry.secret:
        raise InvalidPolicy(f'{path.name}: issuer "{entry.iss}" has auth = "secret" and no secret.')
    if entry.auth == "private_key_jwt" and entry.key_file is None:
        raise InvalidPolicy(f'{path.name}: issuer "{entry.iss}" has auth = "private_key_jwt" and no key_file.')
    parts = urlsplit(entry.iss)
    return Issuer(
        iss=entry.iss.rstrip("/"),
        name=entry.name,
        client_id=entry.client_id,
        method=entry.auth,
        scopes=entry.scopes,
        hosts=frozenset(entry.hosts),
        origins=tuple(origin.rstrip("/") for origin in entry.origins) or (f"{parts.scheme}://{parts.netloc}",),
        client=entry.client,
        secret=entry.secret,
        key=_key(entry.key_file, path) if entry.key_file else None,
    )


def _key(file: Path, path: Path) -> AppKey:
    try:
        return load_key(path.parent / file)
    except UnusableKeyFile as error:
        raise InvalidPolicy(f"{path.name}: {file.name}: {error}.") from None

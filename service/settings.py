"""Settings of the service: the environment (prefix PA_) is read here and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

# As browsers send it: no path, and no wildcard either, which would let every page call.
_Origin = Annotated[str, StringConstraints(pattern=r"^https?://[^/\s*\[\]\"',]+$")]


class Settings(BaseSettings):
    """Frozen. Every field is an environment variable, for example `PA_PAYER_ID`."""

    model_config = SettingsConfigDict(env_prefix="PA_", frozen=True, extra="forbid")

    database_url: str = Field(default="", description="SQLAlchemy URL; empty: a SQLite file in the --data folder")
    public_url: str = Field(
        default="http://127.0.0.1:8080",
        description="How callers reach this service; used in every address we give out",
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file of our certificate and its chain; none: a proxy before us ends TLS"
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's private key")
    policies: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="Further policy folders, separated by ':'"
    )
    clients: Path | None = Field(
        default=None, description="TOML file of registered clients (see docs/operations.md); none: nobody may call"
    )
    payer_name: str = Field(default="Example Health Plan", description="The payer's name, on cards and answers")
    payer_id: str = Field(default="PAYER01", description="Our payer id")
    payer_id_system: str = Field(default="https://payer.example.org/payer-id", description="System of payer_id")
    member_system: str = Field(default="https://payer.example.org/member", description="System of member ids")
    coverage_system: str = Field(
        default="https://payer.example.org/coverage", description="System of our own ids of coverages"
    )
    payer_phone: str = Field(default="1-800-555-0100", description="Where a provider may call about a request")
    payer_website: str = Field(default="https://payer.example.org", description="The payer's public site")
    appeal_text: str = Field(
        default="A decision may be appealed within 180 days of this notice by phone or mail.",
        description="The appeal sentence of a denial",
    )
    trust_presented_coverage: bool = Field(
        default=False, description="Without a member directory: believe the Coverage that a request presents"
    )
    crd_default_version: Literal["2.0", "2.2"] = Field(
        default="2.0", description="CRD shape when the request names none"
    )
    response_max_age_days: int = Field(default=90, description="Older questionnaire responses are pended")
    due_hours: Path | None = Field(
        default=None, description="TOML file of deadlines by line of business (see docs/operations.md); none: for all"
    )
    due_hours_drug_standard: int = Field(default=72, gt=0, description="Hours to decide on a drug")
    due_hours_drug_expedited: int = Field(default=24, gt=0, description="Hours to decide on a drug, when urgent")
    due_hours_other_standard: int = Field(default=168, gt=0, description="Hours to decide on any other service")
    due_hours_other_expedited: int = Field(
        default=72, gt=0, description="Hours to decide on any other service, when urgent"
    )
    x12_codes: Path | None = Field(
        default=None, description="TOML file that replaces the table of X12 codes (see docs/operations.md)"
    )
    administrative_denials: bool = Field(
        default=False,
        description="Rules deny what the plan excludes, and dates on which the member is not covered; else they pend",
    )
    max_body_bytes: int = Field(default=10_000_000, description="Largest body that is read")
    max_depth: int = Field(default=100, description="Deepest JSON nesting that is read")
    cql_seconds: float = Field(default=2.0, description="Time limit of one CQL evaluation")
    hook_seconds: float = Field(default=4.0, description="Time within which a hook is answered")
    ehr_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts (host or host:port) of clients' FHIR servers that may be called, separated by spaces",
    )
    ehr_private_addresses: bool = Field(
        default=False, description="Those hosts may have addresses of a private network (never link-local ones)"
    )
    smart_issuers: Path | None = Field(
        default=None, description="TOML file of EHRs that may launch the SMART app (see docs/operations.md)"
    )
    session_keys: Path | None = Field(
        default=None,
        description="File of keys that seal the SMART app's sessions in the database (see docs/operations.md); none: "
        "sessions are in memory, and end with the process",
    )
    ehr_seconds: float = Field(default=2.5, description="Time limit of one request to a client's FHIR server")
    app_ehr_seconds: float = Field(
        default=10.0, description="Time limit of one request of the SMART app to an EHR: a user waits, no hook does"
    )
    subscriber_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Hosts (host or host:port) that notifications may be sent to, for all clients, or for one as "
        "client=host; separated by spaces",
    )
    subscriber_private_addresses: bool = Field(
        default=False, description="Those hosts may have addresses of a private network (never link-local ones)"
    )
    notify_seconds: float = Field(default=1.0, description="How often the outbox is looked at")
    notify_timeout_seconds: float = Field(default=10.0, description="Time limit of one notification", le=30)
    notify_retry_seconds: float = Field(default=2.0, description="Wait after a first failure; doubles each time")
    notify_attempts: int = Field(default=12, description="Failures in a row that end a subscription in error", ge=1)
    notify_keep_days: int = Field(
        default=30, description="Days that notifications are kept which arrived, or whose subscription ended", ge=1
    )
    token_seconds: int = Field(default=300, description="Life of an access token that we issue")
    versioned_canonicals: bool = Field(
        default=True, description="False strips |version from canonicals for clients that compare them literally"
    )
    literal_canonical_clients: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Client ids, separated by spaces, that get canonicals without |version all the same"
    )
    adaptive_forms: bool = Field(
        default=False, description="Answer orders with adaptive forms ($next-question) instead of standard ones"
    )
    cors_origins: Annotated[tuple[_Origin, ...], NoDecode] = Field(
        default=(), description="Browser origins that may call CDS Hooks and DTR, separated by spaces"
    )
    demo: bool = Field(default=False, description="Set by --demo: demo EHR and development access, loopback only")

    @field_validator("policies", mode="before")
    @classmethod
    def _folders(cls, value: object) -> object:
        return tuple(part for part in value.split(":") if part) if isinstance(value, str) else value

    @field_validator("cors_origins", "ehr_hosts", "subscriber_hosts", "literal_canonical_clients", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @property
    def base_url(self) -> str:
        return self.public_url.rstrip("/")

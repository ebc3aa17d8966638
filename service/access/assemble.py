"""Everything that access needs, put together from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import httpx
from fastapi import APIRouter

from service.access.clients import load_clients
from service.access.development import DevelopmentAccess
from service.access.hooks import JwtHookAccess
from service.access.keys import KeyFinder
from service.access.proof import Proofs, UsedTokens
from service.access.routes import build
from service.access.tokens import AccessTokens, BearerFhirAccess, IssuedTokens, TokenEndpoint
from service.ports import Clock
from service.settings import Settings
from service.wire import FhirAccess, HookAccess


class TokenStore(UsedTokens, AccessTokens, Protocol):
    """What access keeps in the store."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call what, and the routes of our token endpoint (mount under every FHIR base)."""

    hooks: HookAccess
    fhir: FhirAccess
    routes: APIRouter


def open_access(settings: Settings, store: TokenStore, http: httpx.AsyncClient, clock: Clock) -> Access:
    """Registered clients only, or, in the demo, whoever works on this machine. InvalidPolicy: a bad client file."""
    clients = load_clients(settings.clients)
    proofs = Proofs(KeyFinder(http, clock), store, clock)
    issued = IssuedTokens(store, clock, settings.token_seconds)
    routes = build(TokenEndpoint(clients, proofs, issued, f"{settings.base_url}/fhir/token"))
    if settings.demo:
        development = DevelopmentAccess(settings.cors_origins)
        return Access(development.hook, development.fhir, routes)
    return Access(JwtHookAccess(clients, proofs, settings.base_url), BearerFhirAccess(clients, issued), routes)

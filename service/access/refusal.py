"""The one answer to a caller we do not know: it never says which check failed."""

from __future__ import annotations

from service.errors import NotAuthenticated


def not_authenticated() -> NotAuthenticated:
    """The same words for every failure: which one it was would help only whoever tries."""
    return NotAuthenticated("Nobody we know is calling. Send a valid bearer token of a registered client.")


def bearer(authorization: str | None) -> str:
    """The token in an Authorization header; NotAuthenticated without one."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.casefold() != "bearer" or not token.strip():
        raise not_authenticated()
    return token.strip()

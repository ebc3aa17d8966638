"""Signing in and staying signed in: throttled attempts, and sessions kept on the server by the digest of a secret."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from service.errors import Forbidden
from service.policy.reviewer import Account, Person, Session
from service.ports import Clock, Ids
from service.review.passwords import Passwords

IDLE: Final = timedelta(minutes=30)
LONGEST: Final = timedelta(hours=10)
WINDOW: Final = timedelta(minutes=15)
ATTEMPTS_PER_ACCOUNT: Final = 10
ATTEMPTS_PER_ADDRESS: Final = 30
# A session's last use is written at most this often.
_NOTED: Final = timedelta(minutes=1)
_SECRET_BYTES: Final = 32


class Reviewers(Protocol):
    """Where accounts, sessions and sign-in attempts are kept."""

    async def save_account(self, account: Account) -> None:
        """Adds or replaces the account of that login, and ends its sessions."""
        ...

    async def account(self, login: str) -> Account | None: ...

    async def accounts(self) -> Sequence[Account]: ...

    async def open_session(self, session: Session, *, before: datetime) -> None:
        """Remembers a session, and forgets those opened earlier than `before`."""
        ...

    async def session(self, digest: str) -> tuple[Session, Account] | None: ...

    async def touch_session(self, digest: str, at: datetime) -> None: ...

    async def close_session(self, digest: str) -> None: ...

    async def count_attempt(self, ids: Mapping[str, str], at: datetime, since: datetime) -> Mapping[str, int]:
        """Notes one attempt for each subject (`ids`: subject -> new id) and counts each one's since then, with it."""
        ...

    async def forget_attempts(self, subject: str) -> None: ...


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is there, and the token that their forms carry."""

    person: Person
    digest: str
    form_token: str


class Desk:
    """The door of the console."""

    def __init__(self, reviewers: Reviewers, passwords: Passwords, clock: Clock, ids: Ids) -> None:
        self._reviewers = reviewers
        self._passwords = passwords
        self._clock = clock
        self._ids = ids

    async def sign_in(self, login: str, password: str, address: str) -> str | None:
        """The secret of a new session; None for a wrong login or password, never saying which.

        Forbidden, whatever the password, after too many attempts for the account or from the address. An
        attempt counts before it is checked, so that many at once are no way around the limit.
        """
        now = self._clock.now()
        subject = f"account {login}"
        limits = {subject: ATTEMPTS_PER_ACCOUNT, f"address {address}": ATTEMPTS_PER_ADDRESS}
        ids = {one: self._ids.new() for one in limits}
        counted = await self._reviewers.count_attempt(ids, now, now - WINDOW)
        if any(counted[one] > most for one, most in limits.items()):
            raise Forbidden("Too many attempts to sign in. Wait 15 minutes, then try again.")
        account = await self._reviewers.account(login)
        usable = account is not None and account.disabled_at is None
        known = account.password_hash if account is not None and usable else None
        if not await self._passwords.match(known, password):
            return None
        await self._reviewers.forget_attempts(subject)
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        await self._reviewers.open_session(Session(digest_of(secret), login, now, now), before=now - LONGEST)
        return secret

    async def recognise(self, secret: str | None) -> SignedIn | None:
        """Who holds a session, while it lasts: 30 minutes after its last use, 10 hours at most."""
        if not secret:
            return None
        digest = digest_of(secret)
        found = await self._reviewers.session(digest)
        if found is None:
            return None
        session, account = found
        now = self._clock.now()
        if account.disabled_at is not None or now >= session.seen_at + IDLE or now >= session.opened_at + LONGEST:
            await self._reviewers.close_session(digest)
            return None
        if now >= session.seen_at + _NOTED:
            await self._reviewers.touch_session(digest, now)
        return SignedIn(account.person, digest, form_token(secret))

    async def sign_out(self, signed_in: SignedIn) -> None:
        await self._reviewers.close_session(signed_in.digest)


def new_secret() -> str:
    """A secret for the cookie of somebody who is not signed in yet: its form token guards the sign-in form."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: str) -> str:
    """What is stored of a session's secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def form_token(secret: str) -> str:
    """What a form of this session must carry; it tells nothing about the secret."""
    return hmac.new(secret.encode(), b"form", hashlib.sha256).hexdigest()


def is_form_token(secret: str | None, token: str) -> bool:
    """Whether the token belongs to the secret in the cookie."""
    return bool(secret) and hmac.compare_digest(form_token(secret or "").encode(), token.encode())

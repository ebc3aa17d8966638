"""Reviewers' passwords: Argon2id hashes, checked beside the event loop."""

from __future__ import annotations

import asyncio
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from service.errors import BusinessRule

SHORTEST: Final = 12
LONGEST: Final = 256
# How many are checked at once: each takes 64 MiB and a core.
_AT_ONCE: Final = 2


def check_new(password: str) -> None:
    """BusinessRule for a password that is too short to be one, or longer than what is read."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise BusinessRule(f"A password has {SHORTEST} to {LONGEST} characters.")


class Passwords:
    """Makes and checks hashes (RFC 9106, second recommended option, unless another hasher is given)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._limit = asyncio.Semaphore(_AT_ONCE)
        # Checked when there is no account, so that an unknown login takes as long as a known one.
        self._nobody = self._hasher.hash("nobody's password")

    def hash(self, password: str) -> str:
        """The encoded hash of a new password; BusinessRule when it may not be one."""
        check_new(password)
        return self._hasher.hash(password)

    async def match(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the password of that hash; never for None, which takes the same time."""
        async with self._limit:
            matches = await asyncio.to_thread(self._verify, password_hash or self._nobody, password[:LONGEST])
        return matches and password_hash is not None and len(password) <= LONGEST

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

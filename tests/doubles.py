"""A clock that stands still and ids that count, in place of the machine's."""

from __future__ import annotations

from datetime import datetime, timedelta


class FrozenClock:
    """Always says the same time until it is advanced."""

    def __init__(self, now: datetime) -> None:
        if now.tzinfo is None:
            raise ValueError("the time now has a zone")
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta) -> None:
        self._now += by


class CountingIds:
    """00000000-0000-4000-8000-000000000001, ...2, and so on."""

    def __init__(self) -> None:
        self._made = 0

    def new(self) -> str:
        self._made += 1
        return f"00000000-0000-4000-8000-{self._made:012d}"

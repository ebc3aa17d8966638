"""Who is at work in the app: launches by id, bound to one browser's cookie. In this process, for a while."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from service.dtr.app.context import LaunchContext
from service.dtr.app.decision import Decision
from service.dtr.app.documents import Attached
from service.dtr.app.opening import Opened
from service.ehr.id_token import LaunchRefused
from service.ehr.smart import Granted, Pending
from service.ports import Clock

_LAUNCH_LIFE: Final = timedelta(minutes=10)
_IDLE: Final = timedelta(minutes=60)
_MOST: Final = 2000
_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Visit:
    """One launch that came to its end. `browser` is the cookie's value, `csrf` what a write must bring along.

    `forms` are canonicals and titles to pick from, while no form is open.
    """

    id: str
    browser: str = field(repr=False)
    csrf: str = field(repr=False)
    granted: Granted
    context: LaunchContext
    used_at: datetime
    opened: Opened | None = None
    decision: Decision | None = None
    attached: tuple[Attached, ...] = ()
    forms: tuple[tuple[str, str], ...] = ()


class Sessions:
    """Launches that wait and launches at work; each ends by itself. Tokens stay here, never in the browser."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pending: dict[str, tuple[Pending, str]] = {}
        self._visits: dict[str, Visit] = {}

    def wait_for(self, pending: Pending, browser: str | None) -> str:
        """Remembers a launch until the EHR answers; the value of the cookie that binds it to this browser."""
        self._forget_old()
        bound = browser or secrets.token_urlsafe(_BYTES)
        self._pending[pending.state] = (pending, bound)
        return bound

    def take(self, state: str, browser: str | None) -> Pending:
        """The launch of that state, once; LaunchRefused when there is none, or another browser began it."""
        found = self._pending.pop(state, None)
        fresh = found is not None and self._clock.now() - found[0].started_at <= _LAUNCH_LIFE
        if found is None or not fresh or browser is None or not _same(found[1], browser):
            raise LaunchRefused(
                "This launch was not begun in this browser, or is over. Open the app from the EHR again."
            )
        return found[0]

    def begin(self, granted: Granted, context: LaunchContext, browser: str | None) -> Visit:
        """A new visit under a new cookie. Visits of the same user in the same browser go along; others' end."""
        bound = secrets.token_urlsafe(_BYTES)
        for visit in [each for each in self._visits.values() if browser and each.browser == browser]:
            if (visit.granted.issuer.iss, visit.granted.user) == (granted.issuer.iss, granted.user):
                self._visits[visit.id] = replace(visit, browser=bound)
            else:
                del self._visits[visit.id]
        visit = Visit(
            id=secrets.token_urlsafe(_BYTES),
            browser=bound,
            csrf=secrets.token_urlsafe(_BYTES),
            granted=granted,
            context=context,
            used_at=self._clock.now(),
        )
        self._visits[visit.id] = visit
        return visit

    def find(self, visit_id: str, browser: str | None) -> Visit:
        """The visit, in the browser that began it; LaunchRefused otherwise."""
        visit = self._visits.get(visit_id)
        now = self._clock.now()
        if visit is None or not browser or not _same(visit.browser, browser):
            raise _over()
        if now - visit.used_at > _IDLE:
            del self._visits[visit_id]
            raise _over()
        self._visits[visit_id] = replace(visit, used_at=now)
        return self._visits[visit_id]

    def keep(self, visit: Visit) -> None:
        """Replaces a visit, unless it has ended meanwhile."""
        held = self._visits.get(visit.id)
        if held is not None:
            kept = replace(visit, browser=held.browser, used_at=held.used_at, attached=held.attached)
            self._visits[visit.id] = kept

    def attach(self, visit_id: str, change: Callable[[tuple[Attached, ...]], tuple[Attached, ...]]) -> None:
        """Changes the documents of a visit, as they are by now."""
        held = self._visits.get(visit_id)
        if held is not None:
            self._visits[visit_id] = replace(held, attached=change(held.attached))

    def attached(self, visit_id: str) -> tuple[Attached, ...]:
        """The documents of a visit, as they are by now."""
        held = self._visits.get(visit_id)
        return held.attached if held is not None else ()

    def end(self, visit: Visit) -> None:
        self._visits.pop(visit.id, None)

    def _forget_old(self) -> None:
        now = self._clock.now()
        self._pending = {s: p for s, p in self._pending.items() if now - p[0].started_at <= _LAUNCH_LIFE}
        self._visits = {i: v for i, v in self._visits.items() if now - v.used_at <= _IDLE}
        for held in (self._pending, self._visits):
            while len(held) >= _MOST:
                held.pop(next(iter(held)))


def _over() -> LaunchRefused:
    return LaunchRefused("Your session here is over. Open the app from the EHR again; it keeps your drafts.")


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())

"""Who is at work in the app: launches by id, bound to one browser's cookie, sealed, for a while.

Rows are found by digests: what a browser sends opens a session, what the database holds does not.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeVar

from service.dtr.app.context import LaunchContext
from service.dtr.app.decision import Decision
from service.dtr.app.documents import Attached
from service.dtr.app.opening import Opened
from service.ehr.id_token import LaunchRefused
from service.ehr.smart import Granted, Pending
from service.errors import Conflict
from service.ports import Clock
from service.store.app_sessions import SealedRow

_LAUNCH_LIFE: Final = timedelta(minutes=10)
_IDLE: Final = timedelta(minutes=60)
# A session's end is moved at most this often: not every keystroke is a write.
_EXTEND_AFTER: Final = timedelta(minutes=1)
_BYTES: Final = 32
_TRIES: Final = 5

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Visit:
    """One launch that came to its end. `browser` is the cookie's value, `csrf` what a write must bring along.

    `forms` are canonicals and titles to pick from, while no form is open; `prior` is the fullUrl of the Claim that
    what is sent next changes.
    """

    id: str
    browser: str = field(repr=False)
    csrf: str = field(repr=False)
    granted: Granted
    context: LaunchContext
    opened: Opened | None = None
    decision: Decision | None = None
    forms: tuple[tuple[str, str], ...] = ()
    prior: str | None = None


class SessionRows(Protocol):
    """Where sealed rows are kept (store/app_sessions.py)."""

    async def add(self, row: SealedRow) -> None: ...

    async def row(self, name: str) -> SealedRow | None: ...

    async def rows_of(self, owner: str) -> Sequence[SealedRow]: ...

    async def change(self, row: SealedRow) -> bool: ...

    async def extend(self, name: str, until: datetime) -> None: ...

    async def take(self, name: str) -> SealedRow | None: ...

    async def drop_ended(self, now: datetime) -> None: ...


class Codec(Protocol):
    """Sessions to sealed text and back; None for what cannot be opened or no longer means anything here."""

    def write_pending(self, pending: Pending, browser: str) -> bytes: ...

    def read_pending(self, sealed: bytes) -> tuple[Pending, str] | None: ...

    def write_visit(self, visit: Visit) -> bytes: ...

    def read_visit(self, sealed: bytes) -> Visit | None: ...

    def write_documents(self, visit_id: str, documents: tuple[Attached, ...]) -> bytes: ...

    def read_documents(self, sealed: bytes) -> tuple[str, tuple[Attached, ...]] | None: ...


class Sessions:
    """Launches that wait and launches at work; each ends by itself. Tokens stay on this side, sealed."""

    def __init__(self, rows: SessionRows, codec: Codec, clock: Clock) -> None:
        self._rows = rows
        self._codec = codec
        self._clock = clock

    async def wait_for(self, pending: Pending, browser: str | None) -> str:
        """Remembers a launch until the EHR answers; the value of the cookie that binds it to this browser."""
        now = self._clock.now()
        await self._rows.drop_ended(now)
        bound = browser or secrets.token_urlsafe(_BYTES)
        sealed = self._codec.write_pending(pending, bound)
        await self._rows.add(
            SealedRow(digest("launch", pending.state), digest("browser", bound), sealed, now + _LAUNCH_LIFE)
        )
        return bound

    async def take(self, state: str, browser: str | None) -> Pending:
        """The launch of that state, once; LaunchRefused when there is none, or another browser began it."""
        row = await self._rows.take(digest("launch", state))
        found = self._codec.read_pending(row.sealed) if row and row.until >= self._clock.now() else None
        sound = found is not None and found[0].state == state and browser is not None and _same(found[1], browser)
        if found is None or not sound:
            raise LaunchRefused(
                "This launch was not begun in this browser, or is over. Open the app from the EHR again."
            )
        return found[0]

    async def begin(self, granted: Granted, context: LaunchContext, browser: str | None) -> Visit:
        """A new visit under a new cookie. Visits of the same user in the same browser go along; others' end."""
        bound = secrets.token_urlsafe(_BYTES)
        if browser:
            await self._rebind(granted, browser, bound)
        visit = Visit(
            id=secrets.token_urlsafe(_BYTES),
            browser=bound,
            csrf=secrets.token_urlsafe(_BYTES),
            granted=granted,
            context=context,
        )
        until = self._clock.now() + _IDLE
        name, owner = digest("visit", visit.id), digest("browser", bound)
        await self._rows.add(SealedRow(name, owner, self._codec.write_visit(visit), until))
        documents = self._codec.write_documents(visit.id, ())
        await self._rows.add(SealedRow(digest("documents", visit.id), name, documents, until))
        return visit

    async def find(self, visit_id: str, browser: str | None) -> Visit:
        """The visit, in the browser that began it; LaunchRefused otherwise."""
        row = await self._rows.row(digest("visit", visit_id))
        now = self._clock.now()
        visit = self._codec.read_visit(row.sealed) if row is not None and row.until >= now else None
        if row is None or visit is None or not browser or visit.id != visit_id or not _same(visit.browser, browser):
            raise LaunchRefused("Your session here is over. Open the app from the EHR again; it keeps your drafts.")
        if row.until - now < _IDLE - _EXTEND_AFTER:
            for kind in ("visit", "documents"):
                await self._rows.extend(digest(kind, visit_id), now + _IDLE)
        return visit

    async def keep(self, visit: Visit) -> None:
        """Replaces a visit, unless it has ended meanwhile; it stays in the browser that it is bound to by now."""
        await self._change(
            digest("visit", visit.id),
            self._codec.read_visit,
            lambda held: self._codec.write_visit(replace(visit, browser=held.browser)),
        )

    async def attach(
        self, visit_id: str, change: Callable[[tuple[Attached, ...]], tuple[Attached, ...]]
    ) -> tuple[Attached, ...]:
        """Changes the documents of a visit, as they are by now; what they are then."""

        def changed(held: tuple[str, tuple[Attached, ...]]) -> bytes:
            return self._codec.write_documents(visit_id, change(held[1]))

        await self._change(digest("documents", visit_id), self._codec.read_documents, changed)
        return await self.attached(visit_id)

    async def attached(self, visit_id: str) -> tuple[Attached, ...]:
        """The documents of a visit, as they are by now."""
        row = await self._rows.row(digest("documents", visit_id))
        found = self._codec.read_documents(row.sealed) if row is not None else None
        return found[1] if found is not None and found[0] == visit_id else ()

    async def end(self, visit: Visit) -> None:
        """Deletes the visit with its tokens and documents."""
        for kind in ("visit", "documents"):
            await self._rows.take(digest(kind, visit.id))

    async def _rebind(self, granted: Granted, browser: str, bound: str) -> None:
        for row in await self._rows.rows_of(digest("browser", browser)):
            visit = self._codec.read_visit(row.sealed)
            if visit is None:
                continue
            if (visit.granted.issuer.iss, visit.granted.user) != (granted.issuer.iss, granted.user):
                await self.end(visit)
                continue
            await self._change(
                row.name,
                self._codec.read_visit,
                lambda held: self._codec.write_visit(replace(held, browser=bound)),
                owner=digest("browser", bound),
            )

    async def _change(
        self,
        name: str,
        read: Callable[[bytes], Read | None],
        write: Callable[[Read], bytes],
        *,
        owner: str | None = None,
    ) -> None:
        """One change after the other; nothing where the row is gone. Conflict when others were always quicker."""
        for _ in range(_TRIES):
            row = await self._rows.row(name)
            held = read(row.sealed) if row is not None else None
            if row is None or held is None:
                return
            if await self._rows.change(replace(row, sealed=write(held), owner=owner or row.owner)):
                return
        raise Conflict("This form is being changed elsewhere. Try again in a moment.")


def digest(kind: str, text: str) -> str:
    return hashlib.sha256(f"{kind}:{text}".encode()).hexdigest()


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())

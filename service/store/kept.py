"""What an audit entry vouches for: digests of all that is stored of its case at the moment it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, Table, bindparam, select

from service.policy.case import CaseId
from service.ports import AuditEntry
from service.store.codec import read_json, write_instant, write_json
from service.store.tables import attachments, authorizations, cases, changed_requests, submissions

KEPT: Final = "kept"
"""The member of an entry's document that holds the digests. Entries of before it existed have none."""

# Named one by one: a column that a later version adds is nothing that earlier entries vouch for.
_CASE: Final = (
    *("id", "client", "member", "first_service", "outcome", "received_at", "content_hash"),
    *("document", "revision", "due", "replaced_by"),
)
_SUBMISSION: Final = ("client", "content_hash", "request", "reply_status", "reply_body")
_CHANGED: Final = ("revision", "request")
_AUTHORIZATION: Final = ("number", "policy_id", "member", "start_date", "end_date")
_ATTACHMENT: Final = ("id", "control_number", "sequence", "received_at", "content")


def _rows(table: Table, names: tuple[str, ...], case: str = "case_id") -> Select[Any]:
    return select(*(table.c[name] for name in names)).where(table.c[case] == bindparam("kept_case"))


# Made once, as in rows.py: every case that is accepted or changed asks them.
_KEPT: Final = {
    "case": _rows(cases, _CASE, "id"),
    "submission": _rows(submissions, _SUBMISSION),
    "changes": _rows(changed_requests, _CHANGED).order_by(changed_requests.c.revision),
    "authorizations": _rows(authorizations, _AUTHORIZATION).order_by(authorizations.c.position),
}
_ARRIVED: Final = _rows(attachments, _ATTACHMENT)


def kept(connection: Connection, case_id: CaseId) -> Mapping[str, Any]:
    """Digests of the case's row, of what was sent and answered, and of what it authorizes; attachments by id."""
    named = {"kept_case": case_id}
    digests = {name: _digest(connection.execute(rows, named)) for name, rows in _KEPT.items()}
    attached = {row.id: _digest([row]) for row in connection.execute(_ARRIVED, named)}
    return {**digests, "attachments": attached}


def is_as_vouched(entries: Sequence[AuditEntry], now: Mapping[str, Any]) -> bool:
    """Whether what is stored is what the last entry says. An attachment may be there before its entry."""
    then = read_json(entries[-1].document).get(KEPT) if entries else None
    if then is None:
        return True
    known = then["attachments"]
    there = {name: digest for name, digest in now["attachments"].items() if name in known}
    return {**then, "attachments": {}} == {**now, "attachments": {}} and there == known


def _digest(rows: Iterable[Row[Any]]) -> str:
    total = hashlib.sha256()
    for row in rows:
        for value in row:
            content = value if isinstance(value, bytes) else _text(value).encode()
            total.update(f"{type(value).__name__} {len(content)}\n".encode())
            total.update(content)
    return f"sha256:{total.hexdigest()}"


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return write_instant(value)
    return value.isoformat() if isinstance(value, date) else write_json({"value": value})

"""The audit trail of a case: entries in order, each carrying the hash of the one before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from service.policy.case import CaseId
from service.ports import AuditEntry
from service.store.codec import write_instant, write_json

BEGINNING: Final = "sha256:" + "0" * 64
"""What the first entry of a case names as the hash before it."""


def next_entry(before: AuditEntry | None, case_id: CaseId, at: datetime, document: Mapping[str, Any]) -> AuditEntry:
    """The entry that follows `before`, or the first one of its case."""
    sequence = before.sequence + 1 if before else 1
    previous = before.hash if before else BEGINNING
    text = write_json(document)
    return AuditEntry(case_id, sequence, at, text, previous, _hash(case_id, sequence, at, text, previous))


def holds(entries: Sequence[AuditEntry]) -> bool:
    """True when there is an entry, none is missing between the first and the last, and none was changed.

    Entries cut off at the end leave a shorter chain that holds: what the last one vouches for tells that (kept.py).
    Who can write the whole database can write the hashes too: keep the last one elsewhere to notice that.
    """
    previous = BEGINNING
    for entry in entries:
        expected = _hash(entry.case_id, entry.sequence, entry.at, entry.document, previous)
        if entry.previous != previous or entry.hash != expected:
            return False
        previous = entry.hash
    return bool(entries)


def _hash(case_id: CaseId, sequence: int, at: datetime, document: str, previous: str) -> str:
    fields = {"case": case_id, "sequence": sequence, "at": write_instant(at), "document": document}
    return "sha256:" + hashlib.sha256(write_json({**fields, "previous": previous}).encode()).hexdigest()

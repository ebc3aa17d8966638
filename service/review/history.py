"""What happened to a case, read from its audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.ports import AuditEntry
from service.review.words import words_of


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that happened: when, what, who, and the details in words."""

    at: datetime
    what: str
    who: str
    details: tuple[str, ...]


def history_of(entries: Sequence[AuditEntry]) -> list[HistoryEntry]:
    """Oldest first. An entry of a kind that is not known here is shown by its name."""
    return [_entry(entry) for entry in entries]


def denial_keys(entries: Sequence[AuditEntry]) -> dict[int, str]:
    """Line sequence -> key of the reason with which a reviewer denied it."""
    found: dict[int, str] = {}
    for entry in entries:
        for line in _lines(json.loads(entry.document)):
            if line.get("verdict") == "deny":
                found[int(line["sequence"])] = str(line.get("reason"))
    return found


def _entry(entry: AuditEntry) -> HistoryEntry:
    document: Mapping[str, Any] = json.loads(entry.document)
    actor = document.get("actor")
    details = (*_decisions(document), *_verdicts(document), *_told(document))
    return HistoryEntry(entry.at, words_of(document.get("kind", "entry")), _who(actor), details)


def _who(actor: object) -> str:
    if isinstance(actor, Mapping):
        licence = f", NPI {actor['npi']}, specialty {actor['specialty']}" if actor.get("npi") else ""
        return f"{actor.get('name')} ({actor.get('login')}, {words_of(actor.get('role')).lower()}{licence})"
    return f"the policy's {actor}" if actor == "rules" else str(actor or "the service")


def _decisions(document: Mapping[str, Any]) -> Iterator[str]:
    determination = document.get("determination")
    lines = determination.get("lines", ()) if isinstance(determination, Mapping) else ()
    for line in lines:
        policy = line.get("policy")
        under = f" under policy {policy['id']} {policy['version']}" if policy else ""
        yield f"Line {line.get('sequence')}: {words_of(line.get('decision'))}{under}"


def _lines(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    lines = document.get("lines")
    return [line for line in lines if isinstance(line, Mapping)] if isinstance(lines, list) else []


def _verdicts(document: Mapping[str, Any]) -> Iterator[str]:
    for line in _lines(document):
        for reason in line.get("reasons", ()):
            yield f"Line {line['sequence']}, reason: {reason}"
        if line.get("note"):
            yield f"Line {line['sequence']}, note: {line['note']}"
        for asked in line.get("asked", ()):
            yield f"Line {line['sequence']}, asked: {asked['text']} ({asked['control_number']})"


def _told(document: Mapping[str, Any]) -> Iterator[str]:
    if document.get("held_before"):
        yield f"Held before by {document['held_before']}"

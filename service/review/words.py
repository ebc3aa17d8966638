"""The console's words for what the code names shortly."""

from __future__ import annotations

from typing import Final

_WORDS: Final = {
    # outcomes
    "approved": "Approved",
    "modified": "Approved with changes",
    "pended": "Waiting",
    "denied": "Denied",
    "cancelled": "Cancelled",
    "error": "Could not be processed",
    "not-covered-by-policy": "Waiting: no policy covers it",
    # urgency and time
    "standard": "Standard",
    "expedited": "Expedited",
    "overdue": "Overdue",
    # statuses of criteria
    "met": "Met",
    "unmet": "Not met",
    "unknown": "Unknown",
    # pathways and roles
    "initial": "Initial request",
    "renewal": "Renewal",
    "reviewer": "Reviewer",
    "clinician": "Clinician",
    "auditor": "Auditor",
    # information-origin of an answer (DTR: 2.0.1 auto, override, manual; 2.2 splits auto)
    "auto": "filled from the chart",
    "auto-client": "filled from the chart by the EHR",
    "auto-server": "filled from the chart by the payer's logic",
    "override": "filled from the chart, then changed by a person",
    "manual": "entered by a person",
    # entries of the audit log
    "determination": "Evaluated",
    "information-received": "Information received",
    "claim": "Claimed",
    "take-over": "Taken over",
    "release": "Released",
    "review": "Reviewed",
    "replaced": "Replaced by a newer request",
}


def words_of(name: object) -> str:
    """What people call it; a name without an entry speaks for itself."""
    text = str(name)
    return _WORDS.get(text, text.replace("-", " ").capitalize())

"""One arrival at $submit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from service.policy.case import ClientId


@dataclass(frozen=True, slots=True)
class Submission:
    """Who, when, the exact bytes and what identifies their content."""

    client: ClientId
    received_at: datetime
    body: bytes
    content_hash: str

"""Whose coverage an assertion is about, in a form that shows nobody's number."""

from __future__ import annotations

from service.fhir.json import content_hash
from service.policy.case import MemberId


def coverage_key(reference: str, member: MemberId | None) -> str:
    """Of the client's Coverage, by its own reference, and the member that it is for, where that is known."""
    return content_hash({"coverage": reference, "member": member})

"""What the audit trail says of a determination by the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.log import request_id
from service.pas.ruling import Ruling, write_ruling
from service.policy.case import Case
from service.policy.determination import as_json


def determination_record(
    case: Case, ruling: Ruling | None, input_hash: str, engine_version: str
) -> Mapping[str, Any]:
    """Who decided what, when, by which policy and engine, on which input (architecture 2.6).

    `ruling` is what can be made again (`case replay`); None when the rules decided no line.
    """
    policies = {line.determination.policy for line in case.lines if line.determination.policy}
    return {
        "kind": "determination",
        "case": case.id,
        "request_id": request_id.get(),
        "client": case.client,
        "guide_version": case.guide_version,
        "input": input_hash,
        "actor": "rules",
        "received_at": case.received_at.isoformat(),
        "decided_at": case.decided_at.isoformat(),
        "due": case.due and case.due.isoformat(),
        "urgency": case.urgency.value,
        "engine_version": engine_version,
        "policies": sorted(f"{ref.id}|{ref.version}|{ref.digest}" for ref in policies),
        "linked": list(case.linked),
        "replaces": case.replaces,
        "determination": as_json(case.determination),
        "ruling": ruling and write_ruling(ruling),
    }

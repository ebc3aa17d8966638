"""Patients and Coverages as a payer exports them, one a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from service.members.lines import LineReader

Json = dict[str, Any]
MEMBER_SYSTEM = "https://payer.example.org/member"
COVERAGE_SYSTEM = "https://payer.example.org/coverage"
PAYER = ("https://payer.example.org/payer-id", "PAYER01")
MB = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]}
PLAN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/coverage-class", "code": "plan"}]}
READER = LineReader(MEMBER_SYSTEM, COVERAGE_SYSTEM, PAYER)


def patient(number: int = 1, **changes: Any) -> Json:
    made: Json = {
        "resourceType": "Patient",
        "id": f"p{number}",
        "identifier": [{"type": MB, "system": MEMBER_SYSTEM, "value": f"M-{number}"}],
        "name": [{"family": "Garbo"}],
        "birthDate": "1958-02-03",
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def coverage(number: int = 1, **changes: Any) -> Json:
    made: Json = {
        "resourceType": "Coverage",
        "id": f"c{number}",
        "identifier": [{"system": COVERAGE_SYSTEM, "value": f"C-{number}"}],
        "status": "active",
        "subscriberId": "S-0",
        "beneficiary": {"reference": f"Patient/p{number}"},
        "relationship": {"coding": [{"code": "self"}]},
        "period": {"start": "2026-01-01", "end": "2026-12-31"},
        "payor": [{"identifier": {"system": PAYER[0], "value": PAYER[1]}}],
        "class": [{"type": PLAN, "value": "GOLD"}],
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def line(resource: Any) -> bytes:
    return json.dumps(resource).encode()


def write(path: Path, lines: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(each + b"\n" for each in lines))
    return path

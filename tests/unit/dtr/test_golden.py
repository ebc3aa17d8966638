"""Whole answers, frozen: `REGEN=1 pytest tests/unit/dtr/test_golden.py` rewrites them; review the difference."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from service.dtr.versions import Version
from tests.unit.dtr.samples import (
    INITIAL,
    ROOT,
    VERSIONS,
    EvaluatorDouble,
    Json,
    Service,
    by_canonical,
    by_order,
    order,
    patient,
    request_for,
    resource,
    validate,
    without_content,
)
from tests.unit.dtr.test_populate import COMPLETE

GOLDEN = ROOT / "tests/golden/dtr"
CASES: dict[str, Json] = {
    "order": by_order(),
    "prefilled": request_for(resource("order", order()), resource("referenced", patient())),
    "unknown-canonical": request_for(
        {"name": "questionnaire", "valueCanonical": f"{INITIAL}|1.0.0"},
        {"name": "questionnaire", "valueCanonical": "https://payer.example.org/fhir/Questionnaire/unknown"},
    ),
    "no-form": by_order(code="J0897"),
    "adaptive": by_canonical(f"{INITIAL}-adaptive"),
}


def written(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", CASES)
async def test_answer_is_the_frozen_one(service: Service, version: Version, case: str) -> None:
    service.evaluator = EvaluatorDouble(COMPLETE)
    answer = (await service.package(version, CASES[case])).json()
    validate(answer)
    request_file = GOLDEN / case / "request.json"
    response_file = GOLDEN / case / f"response-{version}.json"
    got = written(without_content(answer))
    if os.environ.get("REGEN"):
        request_file.parent.mkdir(parents=True, exist_ok=True)
        request_file.write_text(written(CASES[case]))
        response_file.write_text(got)
    assert request_file.read_text() == written(CASES[case])
    assert response_file.read_text() == got

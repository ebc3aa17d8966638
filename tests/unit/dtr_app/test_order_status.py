"""What an approval changes on the order in the EHR."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from service.dtr.app.decision import Decision
from service.dtr.app.order_status import with_decision
from service.fhir.canonical import CRD_COVERAGE_INFORMATION

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def decision(status: str, number: str | None) -> Decision:
    return Decision("case", status, status, number, None, None, None, (), (), ())


def order(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"id": "1", "extension": [{"url": "x"}, {"url": CRD_COVERAGE_INFORMATION, "extension": list(parts)}]}


def test_an_approval_is_told_and_what_was_needed_is_no_longer() -> None:
    kept: list[dict[str, Any]] = [
        {"url": "coverage", "valueReference": {}},
        {"url": "coverage-assertion-id", "valueString": "a"},
    ]
    asked = [{"url": "pa-needed", "valueCode": "auth-needed"}, {"url": "questionnaire", "valueCanonical": "q"}]
    updated = with_decision(order(*kept, *asked), decision("approved", "PA1"), NOW)
    assert updated is not None
    assert updated["extension"][0] == {"url": "x"}
    assert updated["extension"][1]["extension"] == [
        *kept,
        {"url": "pa-needed", "valueCode": "satisfied"},
        {"url": "satisfied-pa-id", "valueString": "PA1"},
        {"url": "date", "valueDate": "2026-12-01"},
    ]


@pytest.mark.parametrize("told", [decision("pended", None), decision("denied", "PA1"), decision("approved", None)])
def test_nothing_else_changes_an_order(told: Decision) -> None:
    assert with_decision(order(), told, NOW) is None


def test_an_order_without_coverage_information_stays_as_it_is() -> None:
    assert with_decision({"id": "1"}, decision("approved", "PA1"), NOW) is None

"""An invented policy of data alone gets its package, filled from the chart, beside the real one."""

from __future__ import annotations

import pytest

from service.catalog.registry import HOME, load_registry
from service.dtr.versions import Version
from service.engine.evaluator import V8Engine
from service.fhir.parse import StructureCheck
from tests.unit.dtr.samples import (
    INITIAL,
    ROOT,
    VERSIONS,
    Json,
    Service,
    answers,
    draft,
    form_urls,
    held,
    order,
    packages,
    patient,
    request_for,
    resource,
    validate,
)

WEIGHT: Json = {
    "resourceType": "Observation",
    "id": "w",
    "status": "final",
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": "2026-11-01T08:00:00Z",
}


@pytest.mark.parametrize("version", VERSIONS)
async def test_second_policy(check: StructureCheck, engine: V8Engine, version: Version) -> None:
    second = ROOT / "tests/data/second_policy"
    service = Service(load_registry([HOME, second], check), check, evaluator=engine)
    form = service.registry.all()[1]
    [concept] = form.value_sets[0]["expansion"]["contains"][:1]
    coding = {"system": concept["system"], "code": concept["code"]}
    weight = WEIGHT | {"code": {"coding": [coding]}, "valueQuantity": {"value": 72.5, "code": "kg"}}
    body = request_for(
        resource("order", order("X0001")),
        resource("order", order(id="mr2")),
        *(resource("referenced", record) for record in (patient(), weight)),
    )
    answer = (await service.package(version, body)).json()
    validate(answer)
    [own] = form.questionnaires
    assert form_urls(answer) == [own, INITIAL]
    assert answers(draft(answer)) == {"weight": 72.5}
    assert "MedicationRequest/mr2" not in str(draft(answer))
    libraries = [held(package, "Library")[0]["name"] for package in packages(answer)]
    assert libraries == ["ZelvoraPrepopulation", "ImdelltraPrepopulation"]

"""What a chart says about a form, for the cards of hooks: the population logic of DTR, which CRD does not import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.dtr.populate import Chart, ChartLogic, populate
from service.engine.prepare import prepare
from service.ports import Clock, Evaluator, LoadedPolicy, Resource


@dataclass(frozen=True, slots=True)
class ChartReader:
    """crd.chart_view.ReadChart."""

    evaluator: Evaluator
    clock: Clock

    async def __call__(
        self, loaded: LoadedPolicy, questionnaire: Resource, records: Sequence[Resource], patient_id: str
    ) -> Sequence[Mapping[str, Any]] | None:
        """The form's items; None without the patient's own record, or where the logic failed."""
        chart = Chart(tuple(records), patient_id)
        if not chart.holds_patient or loaded.prepopulation is None:
            return None
        logic = ChartLogic(self.evaluator, prepare)
        filled = await populate(loaded, questionnaire, chart, logic=logic, origin="auto-server", now=self.clock.now())
        return None if filled.problems and not filled.answers else filled.items

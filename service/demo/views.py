"""A chart as a clinician reads it: rows of words and dates, no FHIR."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from service.demo.chart import Chart, age_on, person_name
from service.fhir.build import Json

# What a record's status means to a reader, where it says more than that the record stands.
_STATUS: Final = {"completed": "given"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a chart: what, when, and a word on its state."""

    text: str
    code: str
    when: str
    state: str


@dataclass(frozen=True, slots=True)
class OrderView:
    """The order: drug, billing code, amount, days and directions."""

    drug: str
    code: str
    amount: str
    start: str
    end: str
    directions: str
    status: str


@dataclass(frozen=True, slots=True)
class ChartView:
    """What the chart page shows."""

    name: str
    age: int
    birth_date: str
    gender: str
    address: str
    member_id: str
    plan: str
    payer: str
    prescriber: str
    clinic: str
    order: OrderView
    conditions: tuple[Row, ...]
    treatments: tuple[Row, ...]
    observations: tuple[Row, ...]


def chart_view(chart: Chart, today: date) -> ChartView:
    """The chart in words; `today` gives the age."""
    patient, coverage = chart.patient, chart.coverage
    address = patient["address"][0]
    return ChartView(
        name=person_name(patient),
        age=age_on(patient["birthDate"], today),
        birth_date=patient["birthDate"],
        gender=patient["gender"],
        address=", ".join([*address["line"], address["city"], f"{address['state']} {address['postalCode']}"]),
        member_id=coverage["subscriberId"],
        plan=coverage["class"][0]["name"],
        payer=chart.payer["name"],
        prescriber=person_name(chart.practitioner),
        clinic=chart.clinic["name"],
        order=_order(chart),
        conditions=_rows(chart, "Condition", "code", "onsetDateTime"),
        treatments=_rows(chart, "MedicationAdministration", "medicationCodeableConcept", "effectiveDateTime"),
        observations=_rows(chart, "Observation", "valueCodeableConcept", "effectiveDateTime"),
    )


def _order(chart: Chart) -> OrderView:
    order = chart.order
    start, end = chart.service_period
    amount = order["dispenseRequest"]["quantity"]
    return OrderView(
        drug=order["medicationCodeableConcept"]["text"],
        code=_codes(order["medicationCodeableConcept"]),
        amount=f"{amount['value']} {amount['unit']}",
        start=start,
        end=end,
        directions=order["dosageInstruction"][0]["text"],
        status=order["status"],
    )


def _rows(chart: Chart, kind: str, element: str, when: str) -> tuple[Row, ...]:
    rows = [
        Row(
            text=record[element]["text"],
            code=_codes(record[element]),
            when=record[when],
            state=_STATUS.get(record.get("status", ""), ""),
        )
        for record in chart.of(kind)
    ]
    return tuple(sorted(rows, key=lambda row: row.when, reverse=True))


def _codes(concept: Json) -> str:
    return ", ".join(coding["code"] for coding in concept.get("coding", ()))

"""ImdelltraPrepopulation: what a chart says fills the form, and nothing else does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

Evaluate = Callable[..., Awaitable[Mapping[str, Any]]]
Json = dict[str, Any]

SNOMED = "http://snomed.info/sct"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
SCLC, STAGE_3, STAGE_4, EXTENSIVE = "254632001", "67831000119107", "67841000119103", "683991000119103"
BIRTH_SEX = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex"
PATIENT: Json = {"resourceType": "Patient", "id": "p"}


def concept(code: str, system: str = SNOMED, **more: Any) -> Json:
    return {"coding": [{"system": system, "code": code}], **more}


def condition(code: str, system: str = SNOMED, *, named: str = "x", **more: Any) -> Json:
    status = {"clinicalStatus": concept("active", ""), "verificationStatus": concept("confirmed", "")}
    return {"resourceType": "Condition", "id": named, "code": concept(code, system)} | status | more


def given(when: str | None = "2026-02-01", *, code: str = "1736854", system: str = RXNORM, **more: Any) -> Json:
    effective = {} if when is None else {"effectiveDateTime": when}
    return {
        "resourceType": "MedicationAdministration",
        "id": "m",
        "status": "completed",
        "medicationCodeableConcept": concept(code, system, text="Drug"),
    } | effective | more  # fmt: skip


def disease_status(when: str | None = "2026-05-01", *, value: str = "271299001", **more: Any) -> Json:
    effective = {} if when is None else {"effectiveDateTime": when}
    return {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": concept("97509-4", "http://loinc.org"),
        "valueCodeableConcept": concept(value, text="Worse"),
    } | effective | more  # fmt: skip


@pytest.mark.parametrize("born", ["1958-02-03", "1958-02", "1958"])
async def test_birth_date_keeps_its_precision(chart: Evaluate, born: str) -> None:
    got = await chart("Birth Date", "Birth Date Evidence", records=[PATIENT | {"birthDate": born}])
    assert got["Birth Date"] == {"type": "Date", "value": born}
    assert got["Birth Date Evidence"] == [
        {"source": "Patient", "path": "birthDate", "shown": born, "reference": "Patient/p"}
    ]


async def test_empty_chart_fills_nothing(chart: Evaluate) -> None:
    names = (
        "Birth Date",
        "Extensive Stage SCLC",
        "Progression on Platinum",
        "Disease Progression",
        "Female of Reproductive Potential",
        "Platinum Agent",
        "Platinum Start",
        "Progression Date",
    )
    evidence = tuple(f"{name} Evidence" for name in names)
    got = await chart(*names, *evidence, records=[PATIENT])
    assert got == dict.fromkeys(names) | {name: [] for name in evidence}


@pytest.mark.parametrize("code", [EXTENSIVE, STAGE_4])
async def test_extensive_stage_code_fills_yes(chart: Evaluate, code: str) -> None:
    name = "Extensive Stage SCLC"
    got = await chart(name, f"{name} Evidence", records=[PATIENT, condition(code)])
    assert got[name] is True
    assert got[f"{name} Evidence"] == [
        {"source": "Condition", "path": "code", "shown": code, "reference": "Condition/x"}
    ]


async def test_small_cell_with_a_distant_metastasis_is_extensive(chart: Evaluate) -> None:
    name = "Extensive Stage SCLC"
    records = [PATIENT, condition(SCLC), condition("C79.31", ICD, named="brain")]
    got = await chart(name, f"{name} Evidence", records=records)
    assert got[name] is True
    assert {e["reference"] for e in got[f"{name} Evidence"]} == {"Condition/x", "Condition/brain"}


@pytest.mark.parametrize(
    "conditions",
    [
        [condition(SCLC)],
        [condition("C34.90", ICD)],
        [condition("C34.90", ICD), condition("C79.31", ICD, named="y")],
        [condition("C79.31", ICD)],
        [condition(STAGE_3)],
        [condition(EXTENSIVE, verificationStatus=concept("refuted", ""))],
        [condition(EXTENSIVE, verificationStatus=concept("entered-in-error", ""))],
        [condition(EXTENSIVE, verificationStatus=concept("provisional", ""))],
        [condition(EXTENSIVE, clinicalStatus=concept("resolved", ""))],
        [condition(EXTENSIVE, clinicalStatus=concept("remission", ""))],
        [condition(EXTENSIVE, abatementDateTime="2026-01")],
        [condition(EXTENSIVE, abatementString="long ago")],
        [condition(SCLC), condition("C79.31", ICD, named="y", clinicalStatus=concept("inactive", ""))],
        [condition(EXTENSIVE, system="http://example.org/other")],
    ],
)
async def test_stage_that_is_not_said_or_is_doubtful_fills_nothing(chart: Evaluate, conditions: list[Json]) -> None:
    name = "Extensive Stage SCLC"
    got = await chart(name, f"{name} Evidence", records=[PATIENT, *conditions])
    assert got == {name: None, f"{name} Evidence": []}


def staged(*words: str, code: str = "399588009", system: str = SNOMED, **more: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": "s",
        "status": "final",
        "code": concept(code, system),
        "valueCodeableConcept": {"coding": [{"display": word} for word in words]},
    } | more  # fmt: skip


def with_summary(text: str) -> Json:
    return condition(SCLC, stage=[{"summary": {"text": text}}])


@pytest.mark.parametrize(
    ("records", "reference", "path"),
    [
        ([condition(SCLC), staged("Extensive stage")], "Observation/s", "value"),
        ([condition(SCLC), staged("AJCC Stage IVB")], "Observation/s", "value"),
        ([condition(SCLC), staged("Stage 4", code="21908-9", system="http://loinc.org")], "Observation/s", "value"),
        ([condition(SCLC), staged("Extensive", status="amended")], "Observation/s", "value"),
        ([condition(SCLC), staged("Extensive", focus=[{"reference": "Condition/x"}])], "Observation/s", "value"),
        ([with_summary("Extensive-stage (VALSG)")], "Condition/x", "stage.summary"),
    ],
)
async def test_recorded_stages_fill_yes(chart: Evaluate, records: list[Json], reference: str, path: str) -> None:
    name = "Extensive Stage SCLC"
    got = await chart(name, f"{name} Evidence", records=[PATIENT, *records])
    assert got[name] is True
    assert [(e["reference"], e["path"]) for e in got[f"{name} Evidence"]] == [(reference, path)]


@pytest.mark.parametrize(
    "records",
    [
        [staged("Extensive stage")],
        [condition("C34.90", ICD), staged("Stage IV")],
        [condition(SCLC), staged("Limited stage")],
        [condition(SCLC), staged("Stage III")],
        [condition(SCLC), staged("not extensive")],
        [condition(SCLC), staged("No evidence of extensive stage")],
        [condition(SCLC), staged("Extensive", status="entered-in-error")],
        [condition(SCLC), staged("Extensive", status="preliminary")],
        [condition(SCLC), staged("Extensive", status="cancelled")],
        [condition(SCLC), staged("Extensive", code="97509-4", system="http://loinc.org")],
        [condition(SCLC), staged("Stage IV", focus=[{"reference": "Condition/y"}])],
        [condition(SCLC), {k: v for k, v in staged().items() if k != "valueCodeableConcept"} | {"valueString": "IV"}],
        [with_summary("Limited stage")],
        [with_summary("Extensive") | {"verificationStatus": concept("refuted", "")}],
    ],
)
async def test_stages_that_do_not_say_so_fill_nothing(chart: Evaluate, records: list[Json]) -> None:
    name = "Extensive Stage SCLC"
    got = await chart(name, f"{name} Evidence", records=[PATIENT, *records])
    assert got == {name: None, f"{name} Evidence": []}


@pytest.mark.parametrize(
    "words",
    [
        "Non-extensive",
        "Rule out extensive stage",
        "Extensive stage (suspected)",
        "Possible extensive stage",
        "Extensive stage?",
        "Limited vs. extensive stage",
        "Limited versus extensive",
        "Extensive stage ruled out",
        "Stage IV unlikely",
        "Stage IVA, unconfirmed",
        "Without signs of extensive disease",
        "Extensive disease excluded",
        "r/o stage IV",
    ],
)
async def test_a_stage_that_is_doubted_fills_neither_yes_nor_no(chart: Evaluate, words: str) -> None:
    name = "Extensive Stage SCLC"
    for record in ([condition(SCLC), staged(words)], [with_summary(words)]):
        got = await chart(name, f"{name} Evidence", records=[PATIENT, *record])
        assert got == {name: None, f"{name} Evidence": []}
    # Nor does it stand against what a code says.
    got = await chart(name, records=[PATIENT, condition(EXTENSIVE), staged(words)])
    assert got[name] is True


@pytest.mark.parametrize(
    ("records", "shown"),
    [
        ([condition(STAGE_3), condition(EXTENSIVE, named="y")], {"Condition/x", "Condition/y"}),
        ([condition(EXTENSIVE), staged("Limited stage")], {"Condition/x", "Observation/s"}),
        ([with_summary("Limited"), staged("Extensive")], {"Condition/x", "Observation/s"}),
        (
            [condition(SCLC), condition("C79.31", ICD, named="y"), staged("Stage II")],
            {"Condition/x", "Condition/y", "Observation/s"},
        ),
    ],
)
async def test_stages_in_conflict_are_shown_and_left_open(
    chart: Evaluate, records: list[Json], shown: set[str]
) -> None:
    name = "Extensive Stage SCLC"
    got = await chart(name, f"{name} Evidence", records=[PATIENT, *records])
    assert got[name] is None
    assert {e["reference"] for e in got[f"{name} Evidence"]} == shown


async def test_refuted_lower_stage_does_not_stand_against_extensive(chart: Evaluate) -> None:
    lower = condition(STAGE_3, named="y", verificationStatus=concept("refuted", ""))
    got = await chart("Extensive Stage SCLC", records=[PATIENT, condition(EXTENSIVE), lower])
    assert got["Extensive Stage SCLC"] is True


async def test_condition_without_statuses_counts(chart: Evaluate) -> None:
    bare = {"resourceType": "Condition", "id": "x", "code": concept(EXTENSIVE)}
    got = await chart("Extensive Stage SCLC", records=[PATIENT, bare])
    assert got["Extensive Stage SCLC"] is True


async def test_progression_on_platinum(chart: Evaluate) -> None:
    name = "Progression on Platinum"
    got = await chart(
        name,
        f"{name} Evidence",
        "Platinum Agent",
        "Platinum Start",
        "Platinum Start Evidence",
        "Progression Date",
        "Progression Date Evidence",
        records=[PATIENT, given(), disease_status()],
    )
    platinum = {
        "source": "MedicationAdministration",
        "path": "medication",
        "shown": "Drug (2026-02-01)",
        "reference": "MedicationAdministration/m",
    }
    worse = {
        "source": "Observation",
        "path": "value",
        "shown": "Worse (2026-05-01)",
        "reference": "Observation/o",
    }
    assert got == {
        name: True,
        f"{name} Evidence": [platinum, worse],
        "Platinum Agent": "Drug",
        "Platinum Start": {"type": "Date", "value": "2026-02-01"},
        "Platinum Start Evidence": [platinum],
        "Progression Date": {"type": "Date", "value": "2026-05-01"},
        "Progression Date Evidence": [worse | {"path": "effective", "shown": "2026-05-01"}],
    }


ORDER: Json = {
    "resourceType": "MedicationRequest",
    "id": "r",
    "status": "completed",
    "intent": "order",
    "authoredOn": "2026-02-01T09:00:00Z",
    "medicationCodeableConcept": {"text": "CARBOplatin AUC 5"},
}


def statement(**more: Any) -> Json:
    return {
        "resourceType": "MedicationStatement",
        "id": "t",
        "status": "completed",
        "medicationCodeableConcept": concept("309311", RXNORM),
        "effectivePeriod": {"start": "2026-02"},
    } | more  # fmt: skip


def procedure(text: str, **more: Any) -> Json:
    return {
        "resourceType": "Procedure",
        "id": "c",
        "status": "completed",
        "code": {"text": text},
        "performedDateTime": "2026-02-01",
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("record", "start"),
    [(statement(), "2026-02"), (procedure("Carboplatin infusion"), "2026-02-01")],
)
async def test_platinum_in_statements_and_procedures(chart: Evaluate, record: Json, start: str) -> None:
    names = ("Progression on Platinum", "Platinum Start", "Platinum Start Evidence")
    got = await chart(*names, records=[PATIENT, record, disease_status()])
    assert got["Progression on Platinum"] is True
    assert got["Platinum Start"] == {"type": "Date", "value": start}
    assert [e["source"] for e in got["Platinum Start Evidence"]] == [record["resourceType"]]


@pytest.mark.parametrize(
    "records",
    [
        [given(status="in-progress"), disease_status()],
        [given(when=None, effectivePeriod={"start": "2026-02-01"}), disease_status()],
        [given("2026-05-01"), disease_status("2026-05-01")],
        [given("2026-02"), disease_status("2026-03")],
        [given("2025"), disease_status("2026")],
        [given(code="309311"), disease_status()],
        [given(code="597195"), disease_status()],
        [given(medicationCodeableConcept={"text": "Cisplatin 50 mg"}), disease_status()],
        [given(), disease_status(when=None, effectivePeriod={"start": "2026-05-01"})],
        [given(), disease_status(when=None, effectiveInstant="2026-05-01T10:00:00Z")],
        [given(), disease_status(status="amended")],
        [given(), disease_status(focus=[{"reference": "Condition/x"}]), condition(SCLC)],
        [ORDER, disease_status()],
    ],
)
async def test_ways_of_recording_progression_on_platinum(chart: Evaluate, records: list[Json]) -> None:
    got = await chart("Progression on Platinum", records=[PATIENT, *records])
    assert got["Progression on Platinum"] is True


@pytest.mark.parametrize(
    "records",
    [
        [given()],
        [disease_status()],
        [given("2026-06-01"), disease_status("2026-05-01")],
        [given("2026"), disease_status("2026-05-01")],
        [given("2026-05-15"), disease_status("2026-05")],
        [given(when=None), disease_status()],
        [given(), disease_status(when=None)],
        [given(status="not-done"), disease_status()],
        [given(status="entered-in-error"), disease_status()],
        [given(status="unknown"), disease_status()],
        [statement(status="intended"), disease_status()],
        [statement(status="not-taken"), disease_status()],
        [statement(status="entered-in-error"), disease_status()],
        [statement(effectivePeriod={"start": "2026"}), disease_status()],
        [procedure("Carboplatin infusion", status="not-done"), disease_status()],
        [procedure("Carboplatin infusion", status="entered-in-error"), disease_status()],
        [procedure("Carboplatin infusion", status="preparation"), disease_status()],
        [procedure("Chemotherapy"), disease_status()],
        [given(code="1734340", medicationCodeableConcept=concept("1734340", RXNORM)), disease_status()],
        [given(), disease_status(status="entered-in-error")],
        [given(), disease_status(status="preliminary")],
        [given(), disease_status(value="359746009")],
        [given(), disease_status(value="268910001")],
        [given(), disease_status(focus=[{"reference": "Condition/y"}]), condition("C50.911", ICD, named="y")],
        [ORDER | {"status": "active"}, disease_status()],
        [ORDER | {"status": "cancelled"}, disease_status()],
        [ORDER | {"intent": "plan"}, disease_status()],
        [ORDER | {"doNotPerform": True}, disease_status()],
    ],
)
async def test_progression_on_platinum_not_shown(chart: Evaluate, records: list[Json]) -> None:
    name = "Progression on Platinum"
    got = await chart(name, f"{name} Evidence", "Disease Progression", records=[PATIENT, *records])
    assert got == {name: None, f"{name} Evidence": [], "Disease Progression": None}


@pytest.mark.parametrize(
    ("starts", "first"),
    [
        (["2026-02-01", "2026-01-05", "2026-03-01"], "2026-01-05"),
        (["2026-02-01", "2026-02-01"], "2026-02-01"),
        (["2026-02", "2026-02"], "2026-02"),
        (["2026-01", "2026-02-03"], "2026-01"),
        (["2026", "2026-02-03"], None),
    ],
)
async def test_platinum_start_is_the_surely_earliest(chart: Evaluate, starts: list[str], first: str | None) -> None:
    records = [PATIENT, *(given(start, id=f"m{n}") for n, start in enumerate(starts))]
    got = await chart("Platinum Start", records=records)
    assert got["Platinum Start"] == (None if first is None else {"type": "Date", "value": first})


@pytest.mark.parametrize(
    ("seen", "last"),
    [
        (["2026-05-01", "2026-07-01", "2026-06-01"], "2026-07-01"),
        (["2026-05", "2026-05-03"], None),
        (["2026-05", "2026-06-03"], "2026-06-03"),
    ],
)
async def test_progression_date_is_the_surely_latest(chart: Evaluate, seen: list[str], last: str | None) -> None:
    records = [PATIENT, given(), *(disease_status(when, id=f"o{n}") for n, when in enumerate(seen))]
    got = await chart("Progression Date", records=records)
    assert got["Progression Date"] == (None if last is None else {"type": "Date", "value": last})


async def test_platinum_by_reference_to_a_medication(chart: Evaluate) -> None:
    medication = {"resourceType": "Medication", "id": "cis", "code": concept("1736854", RXNORM)}
    for reference in ("Medication/cis", "https://ehr.example.org/fhir/Medication/cis"):
        use = given(medicationReference={"reference": reference})
        del use["medicationCodeableConcept"]
        got = await chart("Progression on Platinum", records=[PATIENT, use, medication, disease_status()])
        assert got["Progression on Platinum"] is True


TARLATAMAB = [
    ("J9026", "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"),
    ("J9026", "https://bluebutton.cms.gov/resources/codesystem/hcpcs"),
    ("55513-059-01", "http://hl7.org/fhir/sid/ndc"),
    ("5551305901", "http://hl7.org/fhir/sid/ndc"),
    ("55513-0077-01", "http://hl7.org/fhir/sid/ndc"),
    ("55513007701", "http://hl7.org/fhir/sid/ndc"),
]


@pytest.mark.parametrize(("code", "system"), TARLATAMAB)
async def test_progression_after_the_drug_was_given(chart: Evaluate, code: str, system: str) -> None:
    name = "Disease Progression"
    records = [PATIENT, given("2026-03-01", code=code, system=system), disease_status("2026-05-01")]
    got = await chart(name, f"{name} Evidence", "Progression on Platinum", records=records)
    assert got[name] is True
    assert [e["reference"] for e in got[f"{name} Evidence"]] == ["MedicationAdministration/m", "Observation/o"]
    assert got["Progression on Platinum"] is None


async def test_the_drug_by_name(chart: Evaluate) -> None:
    named = given("2026-03-01", medicationCodeableConcept={"text": "IMDELLTRA 10 mg"})
    got = await chart("Disease Progression", records=[PATIENT, named, disease_status()])
    assert got["Disease Progression"] is True


@pytest.mark.parametrize(
    "records",
    [
        [disease_status()],
        [given("2026-05-01", code="J9026", system=TARLATAMAB[0][1]), disease_status("2026-05-01")],
        [given("2026-06-01", code="J9026", system=TARLATAMAB[0][1]), disease_status("2026-05-01")],
        [given("2026-03-01", code="J9026", system=TARLATAMAB[0][1]), disease_status("2026")],
        [given("2026-03-01", code="J9026", system=TARLATAMAB[0][1]), disease_status(value="359746009")],
        [given("2026-03-01", code="J9026", system=TARLATAMAB[0][1], status="not-done"), disease_status()],
    ],
)
async def test_disease_progression_not_shown(chart: Evaluate, records: list[Json]) -> None:
    got = await chart("Disease Progression", "Disease Progression Evidence", records=[PATIENT, *records])
    assert got == {"Disease Progression": None, "Disease Progression Evidence": []}


def born_as(*codes: str) -> Json:
    return PATIENT | {"extension": [{"url": BIRTH_SEX, "valueCode": code} for code in codes]}


async def test_recorded_birth_sex_male_rules_reproductive_potential_out(chart: Evaluate) -> None:
    name = "Female of Reproductive Potential"
    got = await chart(name, f"{name} Evidence", records=[born_as("M") | {"gender": "female"}])
    assert got[name] is False
    assert got[f"{name} Evidence"] == [
        {
            "source": "Patient",
            "path": "extension(us-core-birthsex)",
            "shown": "M",
            "reference": "Patient/p",
        }
    ]


def operated(code: str = "236886002", **more: Any) -> Json:
    return {
        "resourceType": "Procedure",
        "id": "h",
        "status": "completed",
        "code": concept(code),
    } | more  # fmt: skip


@pytest.mark.parametrize(
    ("record", "reference"),
    [
        (operated(), "Procedure/h"),
        (operated("116140006"), "Procedure/h"),
        (operated("265056007"), "Procedure/h"),
        (operated("29827000"), "Procedure/h"),
        (operated() | {"code": {"text": "Bilateral Oophorectomy"}}, "Procedure/h"),
        (
            operated() | {"code": {"coding": [{"display": "Bilateral salpingo-oophorectomy (procedure)"}]}},
            "Procedure/h",
        ),
        (condition("Z90.710", ICD), "Condition/x"),
        (condition("Z90.722", ICD), "Condition/x"),
        (condition("Z78.0", ICD), "Condition/x"),
        (condition("76498008"), "Condition/x"),
    ],
)
async def test_records_that_rule_reproductive_potential_out(chart: Evaluate, record: Json, reference: str) -> None:
    name = "Female of Reproductive Potential"
    got = await chart(name, f"{name} Evidence", records=[born_as("F"), record])
    assert got[name] is False
    assert [e["reference"] for e in got[f"{name} Evidence"]] == [reference]


@pytest.mark.parametrize(
    "record",
    [
        operated(status="not-done"),
        operated(status="entered-in-error"),
        operated(status="in-progress"),
        operated() | {"code": {"text": "Counselling about hysterectomy"}},
        operated() | {"code": {"text": "Unilateral oophorectomy"}},
        condition("Z90.712", ICD),
        condition("Z90.710", ICD, verificationStatus=concept("refuted", "")),
        condition("76498008", verificationStatus=concept("entered-in-error", "")),
        condition("76498008", system="http://example.org/other"),
    ],
)
async def test_records_that_do_not_rule_it_out(chart: Evaluate, record: Json) -> None:
    name = "Female of Reproductive Potential"
    got = await chart(name, f"{name} Evidence", records=[born_as("F"), record])
    assert got == {name: None, f"{name} Evidence": []}


@pytest.mark.parametrize(
    "patient",
    [
        born_as("F"),
        born_as("UNK"),
        born_as("M", "F"),
        PATIENT | {"gender": "male"},
        PATIENT | {"gender": "female", "birthDate": "1930-01-01"},
        PATIENT | {"extension": [{"url": "http://example.org/other", "valueCode": "M"}]},
        PATIENT | {"extension": [{"url": BIRTH_SEX}]},
    ],
)
async def test_reproductive_potential_is_not_guessed(chart: Evaluate, patient: Json) -> None:
    name = "Female of Reproductive Potential"
    got = await chart(name, f"{name} Evidence", records=[patient])
    assert got == {name: None, f"{name} Evidence": []}

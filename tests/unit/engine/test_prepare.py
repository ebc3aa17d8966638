"""What CQL sees of the records: one patient's, with every Medication where it is looked for."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from service.engine.prepare import Dropped, Prepared, Record, prepare
from service.errors import InvalidResource

Json = dict[str, Any]
Evaluate = Callable[..., Awaitable[Mapping[str, Any]]]
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
SNOMED = "http://snomed.info/sct"
PATIENT: Json = {"resourceType": "Patient", "id": "p"}
UUID = "7a5c6b1e-2f0d-4c1a-9d58-0e6a3c2b1f00"
CISPLATIN: Json = {
    "resourceType": "Medication",
    "id": "cis",
    "code": {"coding": [{"system": RXNORM, "code": "1736854"}]},
}
PROGRESSION: Json = {
    "resourceType": "Observation",
    "id": "o",
    "status": "final",
    "subject": {"reference": "Patient/p"},
    "code": {"coding": [{"system": "http://loinc.org", "code": "97509-4"}]},
    "valueCodeableConcept": {"coding": [{"system": SNOMED, "code": "271299001"}]},
    "effectiveDateTime": "2026-05-01",
}


def condition(subject: Any, **more: Any) -> Json:
    coded = {"coding": [{"system": SNOMED, "code": "683991000119103"}]}
    return {"resourceType": "Condition", "id": "c", "code": coded, "subject": subject} | more


def administration(reference: str, **more: Any) -> Json:
    return {
        "resourceType": "MedicationAdministration",
        "id": "m",
        "status": "completed",
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2026-02-01",
        "medicationReference": {"reference": reference},
    } | more


def kept(prepared: Prepared) -> list[str]:
    return [f"{r['resourceType']}/{r.get('id', '')}" for r in prepared.records]


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/p"},
        {"reference": "Patient/p/_history/3"},
        {"reference": "https://ehr.example.org/fhir/Patient/p"},
    ],
)
def test_the_patients_own_record_is_kept(subject: Json) -> None:
    assert kept(prepare([condition(subject), PATIENT], "p")) == ["Patient/p", "Condition/c"]


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Patient/q"},
        {"reference": "Patient/pp"},
        {"reference": "Group/p"},
        {"reference": "#p"},
        {"reference": f"urn:uuid:{UUID}"},
        {"display": "Somebody"},
        "Patient/p",
        None,
    ],
)
def test_anybody_elses_record_is_left_out_and_named_without_its_content(subject: Any) -> None:
    prepared = prepare([PATIENT, condition(subject)], "p")
    assert kept(prepared) == ["Patient/p"]
    assert prepared.dropped == (Dropped("Condition/c", "it is about somebody else"),)


def test_known_address_of_the_patient_is_compared_whole() -> None:
    patient = Record(PATIENT, "https://a.example.org/fhir/Patient/p")
    ours = condition({"reference": "https://a.example.org/fhir/Patient/p"})
    theirs = condition({"reference": "https://b.example.org/fhir/Patient/p"}, id="d")
    assert kept(prepare([patient, ours, theirs], "p")) == ["Patient/p", "Condition/c"]


def test_patient_known_by_urn_uuid_only() -> None:
    patient = Record({"resourceType": "Patient"}, f"urn:uuid:{UUID}")
    prepared = prepare([patient, condition({"reference": f"urn:uuid:{UUID}"})], UUID)
    assert kept(prepared) == [f"Patient/{UUID}", "Condition/c"]
    assert prepared.records[1]["subject"] == {"reference": f"Patient/{UUID}"}


def test_subject_by_identifier() -> None:
    number = {"system": "https://payer.example.org/member", "value": "DEMO-1"}
    patient = PATIENT | {"identifier": [number]}
    other = {"identifier": number | {"value": "DEMO-2"}}
    records = [patient, condition({"identifier": number}), condition(other, id="d")]
    assert kept(prepare(records, "p")) == ["Patient/p", "Condition/c"]


def test_records_without_subject() -> None:
    without = condition(None)
    del without["subject"]
    prepared = prepare([PATIENT, without, CISPLATIN, {"resourceType": "Practitioner", "id": "d"}], "p")
    assert kept(prepared) == ["Patient/p", "Medication/cis", "Practitioner/d"]
    assert prepared.dropped == (Dropped("Condition/c", "it does not say whom it is about"),)


@pytest.mark.parametrize(
    "malformed", [None, "text", [], {}, {"resourceType": 3}, {"resourceType": "x"}, {**PATIENT, "id": 3}]
)
def test_malformed_record_is_left_out(malformed: Any) -> None:
    prepared = prepare([PATIENT, malformed], "p")
    assert kept(prepared) == ["Patient/p"]
    assert prepared.dropped == (Dropped("record 2", "it is not a FHIR resource"),)


@pytest.mark.parametrize("records", [[], [{**PATIENT, "id": "q"}], [PATIENT, PATIENT | {"gender": "male"}]])
def test_not_exactly_one_patient(records: list[Json]) -> None:
    with pytest.raises(InvalidResource):
        prepare(records, "p")


def test_other_patient_and_repeated_records_are_left_out() -> None:
    mine = condition({"reference": "Patient/p"})
    other = PATIENT | {"id": "q"}
    prepared = prepare([PATIENT, other, mine, copy.deepcopy(mine), copy.deepcopy(PATIENT)], "p")
    assert kept(prepared) == ["Patient/p", "Condition/c"]
    assert prepared.dropped == (Dropped("Patient/q", "it is another Patient"),)


def test_received_records_are_not_altered() -> None:
    records = [PATIENT, administration("#cis", contained=[CISPLATIN])]
    before = copy.deepcopy(records)
    prepare(records, "p")
    assert records == before


async def test_foreign_condition_does_not_count(chart: Evaluate) -> None:
    for subject, want in (("Patient/p", True), ("Patient/q", None)):
        prepared = prepare([PATIENT, condition({"reference": subject})], "p")
        got = await chart("Extensive Stage SCLC", records=list(prepared.records))
        assert got["Extensive Stage SCLC"] is want


@pytest.mark.parametrize(
    "records",
    [
        [administration("#cis", contained=[CISPLATIN])],
        [
            administration(f"urn:uuid:{UUID}"),
            Record({k: v for k, v in CISPLATIN.items() if k != "id"}, f"urn:uuid:{UUID}"),
        ],
        [administration(f"urn:uuid:{UUID}"), Record(CISPLATIN, f"urn:uuid:{UUID}")],
        [
            administration("https://a.example.org/Medication/cis"),
            Record(CISPLATIN, "https://a.example.org/Medication/cis"),
        ],
        [administration("Medication/cis/_history/2"), Record(CISPLATIN, "https://a.example.org/Medication/cis")],
        [administration("https://a.example.org/fhir/Medication/cis"), CISPLATIN],
    ],
)
async def test_medication_is_matched_however_it_is_referred_to(chart: Evaluate, records: list[Any]) -> None:
    prepared = prepare([PATIENT, PROGRESSION, *records], "p")
    got = await chart("Progression on Platinum", records=list(prepared.records))
    assert got["Progression on Platinum"] is True


async def test_two_servers_may_use_one_id_for_two_medications(chart: Evaluate) -> None:
    etoposide = {**CISPLATIN, "code": {"coding": [{"system": RXNORM, "code": "1734340"}]}}
    a, b = "https://a.example.org/Medication/cis", "https://b.example.org/Medication/cis"
    for target, want in ((a, None), (b, True), ("Medication/cis", True)):
        use = Record(administration(target), "https://b.example.org/MedicationAdministration/m")
        prepared = prepare([PATIENT, PROGRESSION, Record(etoposide, a), Record(CISPLATIN, b), use], "p")
        got = await chart("Progression on Platinum", records=list(prepared.records))
        assert got["Progression on Platinum"] is want, target


def test_contained_medications_of_two_containers_stay_apart() -> None:
    first = administration("#1", contained=[CISPLATIN | {"id": "1"}])
    second = administration("#1", contained=[CISPLATIN | {"id": "1"}], id="n")
    prepared = prepare([PATIENT, first, second], "p")
    uses = [r for r in prepared.records if r["resourceType"] == "MedicationAdministration"]
    medications = {f"Medication/{r['id']}" for r in prepared.records if r["resourceType"] == "Medication"}
    assert {use["medicationReference"]["reference"] for use in uses} == medications
    assert len(medications) == 2

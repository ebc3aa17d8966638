"""The charts: valid FHIR, told relative to today, with numbers that hold."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from fhir.resources.R4B import get_fhir_model_class

from service.demo.stories import Setting, load_chart, load_clinic, load_stories, typed_answers
from service.fhir.build import Json
from service.fhir.bundle import references
from service.settings import Settings

TODAY = date(2026, 11, 22)
STORIES = load_stories()


def setting(today: date = TODAY) -> Setting:
    return Setting(today, "DEMO-1", Settings())


def chart(story_id: str, today: date = TODAY) -> tuple[Json, ...]:
    story = next(story for story in STORIES if story.id == story_id)
    return load_chart(story, setting(today))


def test_there_is_one_story_for_each_thing_to_show() -> None:
    assert [story.id for story in STORIES] == [
        "approves-at-once",
        "male",
        "minor",
        "other-cancer",
        "missing-progression",
        "reproductive-potential",
        "renewal",
    ]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.id)
def test_every_record_is_valid_and_refers_to_what_is_there(story: object) -> None:
    resources = (*load_clinic(setting()), *chart(getattr(story, "id", "")))
    held = {f"{r['resourceType']}/{r['id']}" for r in resources}
    for resource in resources:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        assert {named["reference"] for _, named in references(resource)} <= held


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.id)
def test_member_ids_agree_and_the_payer_is_ours(story: object) -> None:
    resources = chart(getattr(story, "id", ""))
    patient = next(r for r in resources if r["resourceType"] == "Patient")
    coverage = next(r for r in resources if r["resourceType"] == "Coverage")
    assert patient["identifier"][0]["value"] == coverage["identifier"][0]["value"] == coverage["subscriberId"]
    assert coverage["payor"][0]["identifier"] == {"system": "https://payer.example.org/payer-id", "value": "PAYER01"}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.id)
def test_each_patient_has_one_medical_record_number(story: object) -> None:
    """CRD 2.0.1 profile-patient: identifier:MRIdentifier 1..1."""
    patient = next(r for r in chart(getattr(story, "id", "")) if r["resourceType"] == "Patient")
    kinds = [each["type"]["coding"][0]["code"] for each in patient["identifier"]]
    assert sorted(kinds) == ["MB", "MR"]


@pytest.mark.parametrize("today", [date(2026, 4, 30), TODAY, date(2031, 2, 28)])
def test_no_story_goes_stale(today: date) -> None:
    minor = next(r for r in chart("minor", today) if r["resourceType"] == "Patient")
    order = next(r for r in chart("minor", today) if r["resourceType"] == "MedicationRequest")
    start = date.fromisoformat(order["dispenseRequest"]["validityPeriod"]["start"])
    born = date.fromisoformat(minor["birthDate"])
    assert start > today
    assert born.replace(year=born.year + 18) > start
    story = next(story for story in STORIES if story.id == "minor")
    assert typed_answers(story.answers, setting(today))["birth-date"] == minor["birthDate"]


@pytest.mark.parametrize(
    ("today", "history"),
    [
        (date(2026, 11, 1), date(2026, 4, 2)),
        (date(2027, 3, 1), date(2026, 5, 1)),
        (date(2027, 3, 31), date(2026, 5, 1)),
        (date(2027, 10, 31), date(2026, 12, 1)),
        (date(2027, 11, 1), date(2027, 1, 1)),
    ],
)
def test_the_earlier_request_stays_the_same_for_a_month_and_after_the_policy_began(
    today: date, history: date
) -> None:
    assert setting(today).history == history
    assert history + timedelta(days=365) <= setting(today).renewal
    assert setting(today).renewal > today


def test_provider_identifiers_have_a_valid_check_digit() -> None:
    npis = [
        held["value"]
        for resource in load_clinic(setting())
        for held in resource.get("identifier", ())
        if held["system"] == "http://hl7.org/fhir/sid/us-npi"
    ]
    assert len(npis) == 3
    for npi in npis:
        digits = [int(digit) for digit in reversed(f"80840{npi}")]
        doubled = [sum(divmod(2 * digit, 10)) if place % 2 else digit for place, digit in enumerate(digits)]
        assert sum(doubled) % 10 == 0

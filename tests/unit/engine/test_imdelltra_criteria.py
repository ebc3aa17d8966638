"""ImdelltraCriteria against the contract's tables: three values, each with its evidence and its doubts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from itertools import product
from typing import Any

import pytest

Evaluate = Callable[..., Awaitable[Mapping[str, Any]]]
ANSWERS = (True, False, None)


def patient(birth_date: str | None = None) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p"} | ({} if birth_date is None else {"birthDate": birth_date})


def response(**answers: bool | str | None) -> dict[str, Any]:
    """Items by linkId (underscores stand for hyphens); None leaves the item out."""
    items = [
        {
            "linkId": name.replace("_", "-"),
            "answer": [{"valueBoolean" if isinstance(value, bool) else "valueDate": value}],
        }
        for name, value in answers.items()
        if value is not None
    ]
    return {"resourceType": "QuestionnaireResponse", "id": "r", "status": "completed", "item": items}


def claim(*codes: str, system: str = "http://hl7.org/fhir/sid/icd-10-cm") -> dict[str, Any]:
    diagnoses = [
        {"sequence": n, "diagnosisCodeableConcept": {"coding": [{"system": system, "code": code}]}}
        for n, code in enumerate(codes, 1)
    ]
    return {"resourceType": "Claim", "id": "c", "diagnosis": diagnoses}


def answered(link_id: str, value: bool) -> dict[str, str]:
    return {"source": "QuestionnaireResponse", "path": link_id, "shown": "Yes" if value else "No"}


def birth(source: str, shown: str) -> dict[str, str]:
    path = "birth-date" if source == "QuestionnaireResponse" else "birthDate"
    return {"source": source, "path": path, "shown": shown}


@pytest.mark.parametrize(
    ("define", "link_id"),
    [
        ("Extensive Stage SCLC", "es-sclc"),
        ("Progression on Platinum", "progression-on-platinum"),
        ("Step-up Dosing", "step-up-dosing"),
        ("Neurotoxicity Monitoring", "neurotoxicity-monitoring"),
    ],
)
@pytest.mark.parametrize("answer", ANSWERS)
async def test_single_answer_decides(criteria: Evaluate, define: str, link_id: str, answer: bool | None) -> None:
    got = await criteria(
        define,
        f"{define} Evidence",
        f"{define} Conflicts",
        records=[patient(), response(**{link_id: answer}), claim("C34.90")],
    )
    assert got == {
        define: answer,
        f"{define} Evidence": [] if answer is None else [answered(link_id, answer)],
        f"{define} Conflicts": [],
    }


@pytest.mark.parametrize("records", [[], [response()], [{"resourceType": "QuestionnaireResponse", "id": "r"}]])
async def test_nothing_answered_is_unknown_everywhere(criteria: Evaluate, records: list[Any]) -> None:
    names = (
        "Age 18 or Older",
        "Extensive Stage SCLC",
        "Progression on Platinum",
        "Step-up Dosing",
        "No Progression or Toxicity",
        "Neurotoxicity Monitoring",
        "Contraception",
    )
    both = [f"{name} {what}" for name in names for what in ("Evidence", "Conflicts")]
    got = await criteria(*names, *both, records=[patient(), *records])
    assert got == dict.fromkeys(names) | {name: [] for name in both}


@pytest.mark.parametrize(("progression", "toxicity"), list(product(ANSWERS, ANSWERS)))
async def test_no_progression_or_toxicity(
    criteria: Evaluate, progression: bool | None, toxicity: bool | None
) -> None:
    either = progression is True or toxicity is True
    both = progression is False and toxicity is False
    name = "No Progression or Toxicity"
    got = await criteria(
        name,
        f"{name} Evidence",
        records=[patient(), response(disease_progression=progression, unacceptable_toxicity=toxicity)],
    )
    assert got[name] is (False if either else True if both else None)
    shown = {e["path"]: e["shown"] for e in got[f"{name} Evidence"]}
    wanted = {"disease-progression": progression, "unacceptable-toxicity": toxicity}
    assert shown == {path: "Yes" if v else "No" for path, v in wanted.items() if v is not None}


@pytest.mark.parametrize(("potential", "counseling"), list(product(ANSWERS, ANSWERS)))
async def test_contraception(criteria: Evaluate, potential: bool | None, counseling: bool | None) -> None:
    met = potential is False or counseling is True
    unmet = potential is True and counseling is False
    got = await criteria(
        "Contraception",
        "Contraception Evidence",
        records=[
            patient(),
            response(female_of_reproductive_potential=potential, contraception_counseling=counseling),
        ],
    )
    assert got["Contraception"] is (True if met else False if unmet else None)
    count = (potential is not None) + (counseling is not None)
    assert len(got["Contraception Evidence"]) == count


@pytest.mark.parametrize(
    ("codes", "want", "conflicts"),
    [
        (("C34.90",), True, []),
        (("C34",), True, []),
        ((" c34.11 ",), True, []),
        (("C3490",), True, []),
        (("C50.911",), None, ["C50.911"]),
        (("C50.911", "C34.90"), True, []),
        (("C50.911", "E11.9"), None, ["C50.911", "E11.9"]),
        ((), True, []),
    ],
)
async def test_diagnosis_may_contradict_extensive_stage(
    criteria: Evaluate, codes: tuple[str, ...], want: bool | None, conflicts: list[str]
) -> None:
    name = "Extensive Stage SCLC"
    got = await criteria(name, f"{name} Conflicts", records=[patient(), response(es_sclc=True), claim(*codes)])
    assert got[name] is want
    assert got[f"{name} Conflicts"] == [{"source": "Claim", "path": "diagnosis", "shown": c} for c in conflicts]


@pytest.mark.parametrize("answer", [False, None])
async def test_other_diagnosis_contradicts_only_a_yes(criteria: Evaluate, answer: bool | None) -> None:
    name = "Extensive Stage SCLC"
    got = await criteria(name, f"{name} Conflicts", records=[patient(), response(es_sclc=answer), claim("C50.911")])
    assert got == {name: answer, f"{name} Conflicts": []}


async def test_codes_of_other_systems_do_not_contradict(criteria: Evaluate) -> None:
    other = claim("254632001", system="http://snomed.info/sct")
    got = await criteria("Extensive Stage SCLC", records=[patient(), response(es_sclc=True), other])
    assert got["Extensive Stage SCLC"] is True


async def test_diagnosis_without_a_coding_is_passed_over(criteria: Evaluate) -> None:
    mixed = claim("C50.911")
    mixed["diagnosis"].insert(0, {"sequence": 9, "diagnosisCodeableConcept": {"text": "lung cancer"}})
    got = await criteria("Extensive Stage SCLC", records=[patient(), response(es_sclc=True), mixed])
    assert got["Extensive Stage SCLC"] is None


@pytest.mark.parametrize(
    ("born", "on", "want"),
    [
        ("1958-02-03", "2026-12-04", True),
        ("2008-12-03", "2026-12-04", True),
        ("2008-12-04", "2026-12-04", True),
        ("2008-12-05", "2026-12-04", False),
        # Partial dates count only where every day that they may stand for gives one answer.
        ("2007", "2026-12-04", True),
        ("2008", "2026-12-04", None),
        ("2009", "2026-12-04", False),
        ("2008-11", "2026-12-04", True),
        ("2008-12", "2026-12-04", None),
        ("2009-01", "2026-12-04", False),
        ("2008-12-04", "2026-12", None),
        ("2008-11-30", "2026-12", True),
        ("2009-01-01", "2026-12", False),
        # Born on 29 February: the 18th birthday is 28 February in a year without that day.
        ("2008-02-29", "2026-02-27", False),
        ("2008-02-29", "2026-02-28", True),
        ("2008-02-29", "2026-03-01", True),
        # Impossible: after the service date, or more than 130 years before it.
        ("2026-12-05", "2026-12-04", None),
        ("2026-12-04", "2026-12-04", False),
        ("2027", "2026-12-04", None),
        ("2026", "2026-12-04", None),
        ("1896-12-04", "2026-12-04", True),
        ("1896-12-03", "2026-12-04", None),
        ("1896", "2026-12-04", None),
        ("1897", "2026-12-04", True),
    ],
)
@pytest.mark.parametrize("source", ["QuestionnaireResponse", "Patient"])
async def test_age_by_either_source(criteria: Evaluate, source: str, born: str, on: str, want: bool | None) -> None:
    records = [patient(), response(birth_date=born)] if source == "QuestionnaireResponse" else [patient(born)]
    got = await criteria("Age 18 or Older", "Age 18 or Older Evidence", records=records, on=on)
    assert got["Age 18 or Older"] is want
    assert got["Age 18 or Older Evidence"] == [birth(source, born)]


@pytest.mark.parametrize(
    ("answer", "recorded", "want"),
    [
        ("1958-02-03", "1958-02-03", True),
        ("1958-02-03", "1958", True),
        ("1958", "1958-02-03", True),
        ("2008", "2008-01-01", None),
        ("2010-01-01", "2010-01-01", False),
    ],
)
async def test_agreeing_birth_dates_use_the_answer(
    criteria: Evaluate, answer: str, recorded: str, want: bool | None
) -> None:
    name = "Age 18 or Older"
    got = await criteria(
        name,
        f"{name} Evidence",
        f"{name} Conflicts",
        records=[patient(recorded), response(birth_date=answer)],
    )
    assert got == {
        name: want,
        f"{name} Evidence": [birth("QuestionnaireResponse", answer)],
        f"{name} Conflicts": [],
    }


@pytest.mark.parametrize(
    ("answer", "recorded"), [("1958-02-03", "1958-02-04"), ("1958", "1959-02-03"), ("1958-02-03", "2012-02-03")]
)
async def test_disagreeing_birth_dates_are_unknown(criteria: Evaluate, answer: str, recorded: str) -> None:
    name = "Age 18 or Older"
    got = await criteria(name, f"{name} Conflicts", records=[patient(recorded), response(birth_date=answer)])
    assert got[name] is None
    assert got[f"{name} Conflicts"] == [birth("QuestionnaireResponse", answer), birth("Patient", recorded)]


@pytest.mark.parametrize("born", ["2027-01-01", "1890-01-01"])
async def test_impossible_birth_date_is_listed(criteria: Evaluate, born: str) -> None:
    got = await criteria("Age 18 or Older Conflicts", records=[patient(born)])
    assert got["Age 18 or Older Conflicts"] == [birth("Patient", born)]


async def test_age_without_a_service_date_is_unknown(criteria: Evaluate) -> None:
    got = await criteria("Age 18 or Older", records=[patient("1958-02-03")], on=None)
    assert got["Age 18 or Older"] is None

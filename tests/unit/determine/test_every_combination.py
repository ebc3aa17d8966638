"""Every combination of answers (met, unmet, missing) on both forms decides exactly as the contract's tables say."""

from __future__ import annotations

from itertools import product
from typing import Any, Final

from service.app.parts import Rules
from service.cases.bundle import request_bundle
from service.cases.run import Bench, determine_case
from service.cases.table import Given
from service.policy.decision import RULES, Outcome
from service.policy.finding import Status

_ANSWERS: Final = (True, False, None)
_WHEN_TRUE: Final = {True: Status.MET, False: Status.UNMET, None: Status.UNKNOWN}
_BIRTHS: Final = {Status.MET: "1958-02-03", Status.UNMET: "2012-01-01", Status.UNKNOWN: None}
_BASE: Final[dict[str, Any]] = {"serviced": "2026-12-04", "created": "2026-12-01", "quantity": 61, "unit": "unit"}


def contraception(potential: bool | None, advised: bool | None) -> Status:
    if potential is False:
        return Status.MET
    if potential is True and advised is not None:
        return Status.MET if advised else Status.UNMET
    return Status.UNKNOWN


def no_progression_or_toxicity(progression: bool | None, toxicity: bool | None) -> Status:
    if progression is True or toxicity is True:
        return Status.UNMET
    return Status.MET if progression is False and toxicity is False else Status.UNKNOWN


def given(form: str, birth: str | None, answers: dict[str, bool | None], on_file: str | None = None) -> Given:
    said: dict[str, Any] = {link_id: value for link_id, value in answers.items() if value is not None}
    if birth is not None:
        said["birth-date"] = birth
    return Given.model_validate({**_BASE, "form": form, "answers": said, "on_file_until": on_file})


async def expect(rules: Rules, case: Given, expected: dict[str, Status]) -> None:
    loaded = next(loaded for loaded in rules.registry.all() if loaded.policy.ref.id == "imdelltra")
    bench = Bench(rules.registry, rules.determiner, rules.check, rules.settings)
    line = await determine_case(bench, loaded, case)
    found = {str(finding.criterion.id): finding.status for finding in line.findings}
    assert found == expected, case
    everything = set(expected.values()) == {Status.MET}
    assert line.outcome is (Outcome.APPROVED if everything else Outcome.PENDED), case
    assert line.decision.by is RULES
    for finding in line.findings:
        noted = [
            note for note in line.notes if finding.criterion.text in note and str(finding.criterion.citation) in note
        ]
        assert len(noted) == (0 if finding.status is Status.MET else 1), case


async def test_the_initial_form(rules: Rules) -> None:
    questions = ("es-sclc", "progression-on-platinum", "step-up-dosing", "neurotoxicity-monitoring")
    count = 0
    for age, answers, potential, advised in product(Status, product(_ANSWERS, repeat=4), _ANSWERS, _ANSWERS):
        said = dict(zip(questions, answers, strict=True))
        both = {"female-of-reproductive-potential": potential, "contraception-counseling": advised}
        expected = {
            "age": age,
            **{link_id: _WHEN_TRUE[value] for link_id, value in said.items()},
            "contraception": contraception(potential, advised),
        }
        await expect(rules, given("initial", _BIRTHS[age], said | both), expected)
        count += 1
    assert count == 3**7


async def test_the_renewal_form(rules: Rules) -> None:
    asked = (
        "es-sclc", "disease-progression", "unacceptable-toxicity", "neurotoxicity-monitoring",
        "female-of-reproductive-potential", "contraception-counseling",
    )  # fmt: skip
    count = 0
    for age, answers in product(Status, product(_ANSWERS, repeat=6)):
        said = dict(zip(asked, answers, strict=True))
        expected = {
            "age": age,
            "es-sclc": _WHEN_TRUE[said["es-sclc"]],
            "no-progression-or-toxicity": no_progression_or_toxicity(
                said["disease-progression"], said["unacceptable-toxicity"]
            ),
            "neurotoxicity-monitoring": _WHEN_TRUE[said["neurotoxicity-monitoring"]],
            "contraception": contraception(
                said["female-of-reproductive-potential"], said["contraception-counseling"]
            ),
        }
        await expect(rules, given("renewal", _BIRTHS[age], said, on_file="2027-01-31"), expected)
        count += 1
    assert count == 3**7


def test_the_requests_are_what_providers_send(rules: Rules) -> None:
    """The compact cases are whole PAS Bundles: the structure check finds nothing."""
    loaded = next(loaded for loaded in rules.registry.all() if loaded.policy.ref.id == "imdelltra")
    bundle = request_bundle(given("initial", "1958-02-03", {"es-sclc": True}), loaded, rules.settings)
    assert rules.check.check(bundle, expected=frozenset({"Bundle"})) == ()

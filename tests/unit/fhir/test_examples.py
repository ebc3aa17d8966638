"""The guides' examples pass; broken ones never do, and never crash; other checkers see little that we miss."""

import json
from collections import Counter
from random import Random
from typing import Any

import fhirkit
import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from service.fhir.json import decode, encode
from service.fhir.parse import StructureCheck
from service.fhir.tables import Tables
from tests.unit.fhir.mutations import LAWLESS, SENTINEL, mutate, mutate_blindly

# Examples that break R4 themselves: an empty string, and a hash that is not base64.
MALFORMED = {
    "sdc-4.0.0/Questionnaire-demographics.json",
    "us-core-3.1.1/DiagnosticReport-cardiology-report.json",
}
DA_VINCI = ("crd-", "dtr-", "pas-")


def read(body: bytes) -> Any:
    return decode(body, max_bytes=10_000_000, max_depth=200)


@pytest.fixture(scope="module")
def da_vinci(examples: dict[str, bytes]) -> list[bytes]:
    return [body for name, body in examples.items() if name.startswith(DA_VINCI) and name not in MALFORMED]


def test_every_example_passes_but_the_malformed_ones(examples: dict[str, bytes], check: StructureCheck) -> None:
    rejected = {name for name, body in examples.items() if check.check(read(body))}
    assert len(examples) > 500
    assert rejected == MALFORMED


def test_every_example_is_written_with_the_digits_it_was_read_with(examples: dict[str, bytes]) -> None:
    for body in examples.values():
        assert _with_number_texts(encode(read(body))) == _with_number_texts(body)


def test_fhirkit_has_the_same_opinion_of_the_examples(examples: dict[str, bytes]) -> None:
    """A second opinion that these documents are valid, so that our accepting them proves something."""
    disagreed = {
        name
        for name, body in examples.items()
        if name.startswith(DA_VINCI) and fhirkit.validate(body.removeprefix(b"\xef\xbb\xbf"))
    }
    assert disagreed == set()


@pytest.mark.parametrize("kind", LAWLESS)
def test_a_broken_document_has_a_fault_and_no_fault_repeats_a_value(
    kind: str, da_vinci: list[bytes], check: StructureCheck, tables: Tables
) -> None:
    random = Random(kind)
    broken = 0
    for _ in range(150):
        document = read(random.choice(da_vinci))
        if mutate(document, kind, random, tables):
            broken += 1
            faults = check.check(document)
            assert faults, f"{kind} went unseen"
            assert not [fault for fault in faults if SENTINEL in fault.problem + fault.expression]
    assert broken > 50


def test_other_checkers_see_little_that_we_miss(da_vinci: list[bytes], check: StructureCheck) -> None:
    """Of 1,500 blind changes, what fhirkit and R4B reject and we accept is counted, bounded, and ours is the most."""
    random = Random(1)
    seen: Counter[str] = Counter()
    for _ in range(1500):
        document = read(random.choice(da_vinci))
        mutate_blindly(document, random)
        ours = bool(check.check(document))
        kit = bool(fhirkit.validate(encode(document)))
        seen["ours"] += ours
        seen["fhirkit"] += kit
        seen["only fhirkit"] += kit and not ours
        seen["only ours"] += ours and not kit
    print(dict(seen))
    assert seen["ours"] > seen["fhirkit"]
    assert seen["only fhirkit"] <= 0.01 * seen["fhirkit"]


def test_r4b_models_see_little_that_we_miss(da_vinci: list[bytes], check: StructureCheck) -> None:
    random = Random(2)
    small = [body for body in da_vinci if len(body) < 8000]
    seen: Counter[str] = Counter()
    for _ in range(300):
        document = read(random.choice(small))
        mutate_blindly(document, random)
        ours = bool(check.check(document))
        models = _rejected_by_r4b(document)
        seen["ours"] += ours
        seen["R4B"] += models
        seen["only R4B"] += models and not ours
    print(dict(seen))
    assert seen["ours"] > seen["R4B"]
    assert seen["only R4B"] <= 0.02 * seen["R4B"]


def _with_number_texts(body: bytes) -> Any:
    return json.loads(body, parse_float=str, parse_int=str)


def _rejected_by_r4b(document: Any) -> bool:
    try:
        get_fhir_model_class(document["resourceType"]).model_validate(document)
    except (ValidationError, KeyError, TypeError, ValueError, AttributeError):
        return True
    return False

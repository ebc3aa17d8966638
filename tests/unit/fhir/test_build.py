"""What we author has no empty elements and one value[x]."""

from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from fhir.resources.R4B import get_fhir_model_class

from service.fhir import build
from service.fhir.parse import StructureCheck

URL = "http://example.org/extension"


def test_prune_drops_what_is_empty_and_keeps_false_zero_and_text() -> None:
    value: dict[str, Any] = {
        "a": None,
        "b": [],
        "c": {},
        "d": [{"e": None}, None],
        "f": False,
        "g": 0,
        "h": "",
        "i": [{"j": 1}],
    }
    assert build.prune(value) == {"f": False, "g": 0, "h": "", "i": [{"j": 1}]}


def test_small_types() -> None:
    assert build.coding("s", "c") == {"system": "s", "code": "c"}
    assert build.coding("s", "c", "d") == {"system": "s", "code": "c", "display": "d"}
    assert build.code_concept("s", "c") == {"coding": [{"system": "s", "code": "c"}]}
    assert build.concept(text="t") == {"text": "t"}
    assert build.identifier("s", "v", kind=build.concept(text="t")) == {
        "type": {"text": "t"},
        "system": "s",
        "value": "v",
    }
    assert build.period("2026-01-01") == {"start": "2026-01-01"}
    assert build.quantity(Decimal("1.50"), unit="mg") == {"value": Decimal("1.50"), "unit": "mg"}
    assert build.reference("Patient/1", kind="Patient") == {"reference": "Patient/1", "type": "Patient"}
    assert build.reference(logical=build.identifier("s", "v")) == {"identifier": {"system": "s", "value": "v"}}


def test_a_reference_to_nothing_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="Reference"):
        build.reference()


def test_an_extension_has_exactly_one_value() -> None:
    assert build.extension(URL, valueCode="a") == {"url": URL, "valueCode": "a"}
    assert build.extension(URL, valueBoolean=False) == {"url": URL, "valueBoolean": False}
    for wrong in ({}, {"valueCode": "a", "valueString": "b"}, {"code": "a"}, {"valuePeriod": {"start": None}}):
        with pytest.raises(ValueError, match="value"):
            build.extension(URL, **wrong)


def test_a_nested_extension_leaves_absent_parts_out_and_needs_one() -> None:
    assert build.nested_extension(URL, None, build.extension("a", valueCode="b")) == {
        "url": URL,
        "extension": [{"url": "a", "valueCode": "b"}],
    }
    with pytest.raises(ValueError, match="parts"):
        build.nested_extension(URL, None)


def test_parameters_hold_a_value_a_resource_or_parts() -> None:
    nested = build.parameter("outer", parts=[build.parameter("inner", valueString="x")])
    built = build.parameters(None, nested, build.parameter("r", resource={"resourceType": "Patient"}))
    assert built == {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "outer", "part": [{"name": "inner", "valueString": "x"}]},
            {"name": "r", "resource": {"resourceType": "Patient"}},
        ],
    }
    for wrong in ({}, {"valueString": "a", "resource": {}}, {"valueString": "a", "valueCode": "b"}):
        with pytest.raises(ValueError, match="parameter"):
            build.parameter("n", **wrong)


def test_a_bundle_echoes_its_resources_untouched() -> None:
    echoed: dict[str, Any] = {
        "resourceType": "Patient",
        "name": [{"given": [None, "A"], "_given": [{"id": "1"}, None]}],
    }
    built = build.bundle("collection", [build.entry("urn:uuid:1", echoed)], timestamp="2026-01-01T00:00:00Z", id=None)
    assert built["entry"][0]["resource"] is echoed
    assert built["type"] == "collection"
    assert "id" not in built
    assert "entry" not in build.bundle("searchset", [], total=0)
    assert build.bundle("searchset", [], total=0)["total"] == 0


def test_a_narrative_is_escaped_well_formed_xhtml(check: StructureCheck) -> None:
    text = 'a < b & "c" <script>x</script>\x00\n\nsecond line'
    narrative = build.narrative(text)
    div = ElementTree.fromstring(narrative["div"])
    assert [child.text for child in div] == ['a < b & "c" <script>x</script>', "second line"]
    resource = {"resourceType": "Basic", "code": {"text": "x"}, "text": narrative}
    assert check.check(resource) == ()
    get_fhir_model_class("Basic").model_validate(resource)
    with pytest.raises(ValueError, match="text"):
        build.narrative(" \n ")

"""What a translated library declares, and which ELM is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.engine import elm, lint
from service.engine.elm import Include, Retrieve, ValueSetRef

Json = dict[str, Any]
CQL = Path(__file__).resolve().parents[3] / "cql"
VALUE_SETS = "https://payer.example.org/fhir/ValueSet"


def translated(name: str) -> Json:
    document: Json = json.loads((CQL / "elm" / f"{name}.json").read_text())
    return document


def test_what_the_criteria_declare() -> None:
    criteria = translated("ImdelltraCriteria")
    assert (elm.name(criteria), elm.version(criteria)) == ("ImdelltraCriteria", "1.0.0")
    assert elm.parameters(criteria) == {"Service Date"}
    assert {"Age 18 or Older", "Age 18 or Older Evidence", "Age 18 or Older Conflicts"} <= elm.defines(criteria)
    assert not {"Patient", "Boolean Answer"} & elm.defines(criteria)
    assert elm.value_set_refs(criteria) == ()
    assert elm.includes(criteria) == ()
    assert set(elm.retrieves(criteria)) == {
        Retrieve("Patient", None, None),
        Retrieve("QuestionnaireResponse", None, None),
        Retrieve("Claim", None, None),
    }


def test_what_the_prepopulation_declares() -> None:
    prepopulation = translated("ImdelltraPrepopulation")
    assert ValueSetRef(f"{VALUE_SETS}/tarlatamab", "1.0.0") in elm.value_set_refs(prepopulation)
    assert Retrieve("Condition", "code", f"{VALUE_SETS}/small-cell-lung-cancer") in elm.retrieves(prepopulation)
    assert Retrieve("MedicationAdministration", None, None) in elm.retrieves(prepopulation)
    assert len(elm.retrieves(prepopulation)) == len(set(elm.retrieves(prepopulation)))


def test_prepopulation_never_fills_the_prescribers_word() -> None:
    names = " ".join(elm.defines(translated("ImdelltraPrepopulation"))).lower()
    assert not [word for word in ("step-up", "monitoring", "counsel", "contracept", "toxicity") if word in names]


def test_library_that_declares_nothing() -> None:
    empty: Json = {"library": {}}
    assert (elm.name(empty), elm.version(empty)) == ("", "")
    assert elm.defines(empty) == elm.parameters(empty) == frozenset()
    assert (elm.retrieves(empty), elm.value_set_refs(empty), elm.includes(empty)) == ((), (), ())


def test_includes() -> None:
    include = {"localIdentifier": "H", "path": "FHIRHelpers", "version": "4.0.1"}
    assert elm.includes({"library": {"includes": {"def": [include]}}}) == (Include("FHIRHelpers", "4.0.1"),)


@pytest.mark.parametrize("name", ["ImdelltraCriteria", "ImdelltraPrepopulation"])
def test_our_own_libraries_have_no_fault(name: str) -> None:
    assert lint.faults(translated(name)) == ()


def with_expression(expression: Json) -> Json:
    return {"library": {"statements": {"def": [{"name": "X", "expression": expression}]}}}


SILENT_NULL = (
    "HighBoundary", "LowBoundary", "PointFrom", "ProperContains", "ProperIn", "ToLong", "Descendents", "InCodeSystem",
)  # fmt: skip


@pytest.mark.parametrize("kind", SILENT_NULL)
def test_types_that_would_be_silently_null_are_refused_at_any_depth(kind: str) -> None:
    inner = {"type": kind, "locator": "3:1-3:9"}
    found = lint.faults(with_expression({"type": "If", "then": {"type": "Not", "operand": inner}}))
    assert found == (f"{kind} at 3:1-3:9 is not evaluated by the engine (it would be null)",)


def test_long_literals_are_refused() -> None:
    found = lint.faults(with_expression({"type": "Literal", "valueType": "{urn:hl7-org:elm-types:r1}Long"}))
    assert found == ("a literal of {urn:hl7-org:elm-types:r1}Long is not supported",)


def test_elm_with_translation_errors_is_refused() -> None:
    note = {"type": "CqlToElmError", "startLine": 4, "message": "text"}
    document: Json = {"library": {"annotation": [note | {"errorSeverity": "error"}]}}
    assert lint.faults(document) == ("the translator reported an error at line 4",)
    assert lint.faults({"library": {"annotation": [note | {"errorSeverity": "warning"}]}}) == ()


@pytest.mark.parametrize("document", [{}, {"library": []}, {"library": None}])
def test_document_that_is_no_library_is_refused(document: Json) -> None:
    assert lint.faults(document) == ("it has no library",)

"""The value sets beside the CQL: valid FHIR, complete, each code with its source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from service.engine import elm

Json = dict[str, Any]
CQL = Path(__file__).resolve().parents[3] / "cql"
FILES = sorted((CQL / "valuesets").glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_value_set_is_whole(file: Path) -> None:
    value_set: Json = json.loads(file.read_text())
    get_fhir_model_class("ValueSet").model_validate(value_set)
    assert value_set["url"] == f"https://payer.example.org/fhir/ValueSet/{file.stem}"
    assert value_set["id"] == file.stem
    assert value_set["purpose"].startswith("Source of the codes: ")
    listed = [
        {"system": include["system"], **concept}
        for include in value_set["compose"]["include"]
        for concept in include["concept"]
    ]
    assert value_set["expansion"]["contains"] == listed
    assert value_set["expansion"]["total"] == len(listed) == len({(c["system"], c["code"]) for c in listed})


def test_cql_and_folder_name_the_same_value_sets() -> None:
    declared = {
        f"{ref.url}|{ref.version}"
        for library in (CQL / "elm").glob("Imdelltra*.json")
        for ref in elm.value_set_refs(json.loads(library.read_text()))
    }
    present = {f"{v['url']}|{v['version']}" for v in (json.loads(file.read_text()) for file in FILES)}
    assert declared == present

"""How drugs are named: every spelling of HCPCS and NDC, and words where there is no code."""

from __future__ import annotations

import pytest

from service.fhir.canonical import HCPCS, HCPCS_SYSTEMS, NDC, RXNORM
from service.form.naming import code_of, drug_code, named, ndc_forms
from service.policy.model import DrugCode


@pytest.mark.parametrize("system", sorted(HCPCS_SYSTEMS))
def test_every_spelling_of_the_hcpcs_system_is_one(system: str) -> None:
    found = named([{"coding": [{"system": system, "code": "j9026 "}]}])
    assert found.codes == {DrugCode(HCPCS, "J9026")}
    assert found.by_code


@pytest.mark.parametrize("code", ["55513-059-01", "55513-0059-01", "55513005901", "5551305901"])
@pytest.mark.parametrize("system", [NDC, "urn:oid:2.16.840.1.113883.6.69"])
def test_every_form_of_an_ndc_is_among_the_policys(code: str, system: str) -> None:
    found = drug_code(system, code)
    assert found in ndc_forms("55513-059-01")


@pytest.mark.parametrize("code", ["55513-059-02", "55513-58-01", "0055513059", "5551305902"])
def test_another_package_is_not(code: str) -> None:
    assert drug_code(NDC, code) not in ndc_forms("55513-059-01")


def test_a_billing_code_alone_decides() -> None:
    both = named([{"coding": [{"system": RXNORM, "code": "1"}, {"system": HCPCS, "code": "J9026"}], "text": "words"}])
    assert both.codes == {DrugCode(HCPCS, "J9026")}
    assert both.names == ("words",)
    ingredient = named([{"coding": [{"system": RXNORM, "code": "1"}]}])
    assert not ingredient.by_code
    assert ingredient.codes == {DrugCode(RXNORM, "1")}


def test_unknown_systems_leave_their_words() -> None:
    found = named([{"coding": [{"system": "urn:local", "code": "9", "display": "Imdelltra"}]}], names=["more", ""])
    assert not found.codes
    assert set(found.names) == {"Imdelltra", "more"}


def test_the_code_shown_is_the_one_that_decides() -> None:
    concept = {"coding": [{"system": "urn:local", "code": "9"}, {"system": HCPCS, "code": "J9026"}]}
    assert code_of(concept) == ("J9026", HCPCS)
    assert code_of({"text": "words"}) == (None, None)
    assert code_of({"coding": [{"system": "urn:local", "code": "9"}]}) == ("9", None)

"""The ledger of requirements: marks name statements that exist, and the page is the one the tests make."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conformance.ledger import LEDGER, TABLE, Statement, proofs, statements, unknown, written


@pytest.fixture(scope="module")
def known() -> list[Statement]:
    if not TABLE.exists():
        if os.environ.get("CI"):
            pytest.fail("../shared/ig/requirements.tsv is not there, and CI must have it")
        pytest.skip("SKIPPED FOR WANT OF ../shared/ig/requirements.tsv")
    return statements()


def test_every_marked_key_is_a_statement_of_its_guide(known: list[Statement]) -> None:
    assert unknown(known, proofs()) == []


def test_a_key_that_no_guide_has_is_told(known: list[Statement], tmp_path: Path) -> None:
    folder = tmp_path / "tests" / "crd"
    folder.mkdir(parents=True)
    (folder / "test_x.py").write_text('@pytest.mark.requirement("nothing-1")\ndef test_a():\n    pass\n')
    assert unknown(known, proofs(tmp_path / "tests")) == [("CRD", "nothing-1")]


def test_a_mark_may_name_its_guide(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_x.py").write_text('@pytest.mark.requirement("PAS spec-1")\nasync def test_a():\n    pass\n')
    assert proofs(folder) == {("PAS", "spec-1"): ["tests/test_x.py::test_a"]}


def test_a_statement_without_a_test_is_open() -> None:
    rows = [Statement("DTR", "oper-1", "SHALL", True), Statement("DTR", "oper-2", "SHALL", True)]
    page = written(rows, {("DTR", "oper-1"): ["tests/test_x.py::test_a"]})
    assert "| DTR | 2 | 1 | 1 |" in page
    assert "| oper-2 | SHALL | open |" in page


def test_the_page_is_the_one_that_the_tests_make(known: list[Statement]) -> None:
    """`python -m conformance.ledger` writes it anew."""
    assert LEDGER.read_text(encoding="utf-8") == written(known, proofs())

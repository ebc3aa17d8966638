"""The ledger of requirements: marks and reasons name statements that exist, and the page is the one they make."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from conformance.ledger import (
    LEDGER,
    TABLE,
    Count,
    Ledger,
    Statement,
    earlier,
    proofs,
    read,
    reasons,
    written,
)

ROWS: Final = [
    Statement("DTR", "oper-1", "SHALL", True),
    Statement("DTR", "oper-2", "SHALL NOT", True),
    Statement("DTR", "oper-3", "SHALL/MAY", True),
    Statement("DTR", "oper-4", "SHOULD", True),
    Statement("DTR", "oper-5", "SHALL", False),
    Statement("DTR 2.0.1", "old", "SHALL", True, "says so"),
]
PROOFS: Final = {("DTR", "oper-1"): ["tests/test_x.py::test_a"]}
REASONS: Final = {("DTR", "oper-2"): "no such role"}


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    if not TABLE.exists():
        if os.environ.get("CI"):
            pytest.fail("../shared/ig/requirements.tsv is not there, and CI must have it")
        pytest.skip("SKIPPED FOR WANT OF ../shared/ig/requirements.tsv")
    return read()


def _tests(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "test_x.py").write_text(text)
    return folder


def test_every_marked_key_and_every_reason_is_for_a_statement_of_its_guide(ledger: Ledger) -> None:
    assert ledger.unknown() == []


def test_no_statement_has_both_a_test_and_a_reason_why_there_is_none(ledger: Ledger) -> None:
    assert ledger.contradicted() == []


def test_every_shall_on_a_server_has_a_test_or_a_reason_why_it_does_not_apply(ledger: Ledger) -> None:
    assert ledger.open_shalls() == []


def test_the_page_is_the_one_that_the_tests_make(ledger: Ledger) -> None:
    """`python -m conformance.ledger` writes it anew."""
    assert LEDGER.read_text(encoding="utf-8") == written(ledger)


def test_how_the_statements_stand_is_printed(ledger: Ledger, record_property: Callable[[str, object], None]) -> None:
    """At the end of the run (tests/conftest.py)."""
    for one in ledger.counts():
        assert one.tested + one.not_applicable + one.open == one.shall
        record_property("ledger", (one.guide, one.shall, one.tested, one.not_applicable, one.open))


def test_each_guide_has_the_statements_that_the_issue_counts(ledger: Ledger) -> None:
    asked = [row.guide for row in ledger.known if row.server]
    assert [asked.count(guide) for guide in ("CRD", "DTR", "PAS")] == [144, 114, 98]


def test_a_key_that_no_guide_has_is_told(tmp_path: Path) -> None:
    marked = proofs(
        _tests(tmp_path / "tests" / "dtr", '@pytest.mark.requirement("oper-9")\ndef test_a():\n    pass\n')
    )
    assert Ledger(ROWS, marked, {}).unknown() == [("DTR", "oper-9")]
    assert Ledger(ROWS, PROOFS, {("DTR", "oper-9"): "why"}).unknown() == [("DTR", "oper-9")]


def test_a_reason_for_what_is_not_asked_of_a_server_is_told() -> None:
    assert Ledger(ROWS, PROOFS, {("DTR", "oper-5"): "why"}).unknown() == [("DTR", "oper-5")]
    assert Ledger(ROWS, {("DTR", "oper-5"): ["a test"]}, {}).unknown() == []


def test_a_test_and_a_reason_for_one_key_is_told() -> None:
    assert Ledger(ROWS, PROOFS, REASONS | {("DTR", "oper-1"): "why"}).contradicted() == [("DTR", "oper-1")]


def test_a_shall_with_neither_is_open_and_a_should_or_a_clients_shall_is_not_missed() -> None:
    ledger = Ledger(ROWS, PROOFS, REASONS)
    assert ledger.open_shalls() == [("DTR", "oper-3"), ("DTR 2.0.1", "old")]
    assert Count("DTR", 3, 1, 1, 1) in ledger.counts()
    assert Count("DTR 2.0.1", 1, 0, 0, 1) in ledger.counts()


def test_a_mark_may_name_its_guide_and_version_and_may_be_on_a_parameter(tmp_path: Path) -> None:
    folder = _tests(
        tmp_path / "tests",
        '@pytest.mark.requirement("PAS spec-1", "CRD 2.0.1 no-expiry")\n'
        '@pytest.mark.parametrize("a", [pytest.param(1, marks=pytest.mark.requirement("DTR oper-1"))])\n'
        "async def test_a():\n    pass\n",
    )
    there = ["tests/test_x.py::test_a"]
    assert proofs(folder) == {("PAS", "spec-1"): there, ("CRD 2.0.1", "no-expiry"): there, ("DTR", "oper-1"): there}


def test_reasons_and_statements_of_the_earlier_version_are_read(tmp_path: Path) -> None:
    (tmp_path / "crd.toml").write_text('[not-applicable]\n"found-1" = "why"\n')
    (tmp_path / "crd-2.0.1.toml").write_text(
        '[statement.no-expiry]\nconformance = "SHALL NOT"\nsays = "no date"\nsource = "crd.md 1.6"\n'
        '[not-applicable]\nno-expiry = "because"\n'
    )
    assert earlier(tmp_path) == [Statement("CRD 2.0.1", "no-expiry", "SHALL NOT", True, "no date")]
    assert reasons(tmp_path) == {("CRD", "found-1"): "why", ("CRD 2.0.1", "no-expiry"): "because"}


def test_the_page_shows_tests_reasons_and_what_is_open() -> None:
    page = written(Ledger(ROWS, PROOFS | {("DTR", "oper-5"): ["tests/test_x.py::test_b"]}, REASONS))
    assert "| DTR | 3 | 1 | 1 | 1 |" in page
    assert "| oper-1 | SHALL | tests/test_x.py::test_a |" in page
    assert "| oper-2 | SHALL NOT | not applicable: no such role |" in page
    assert "| oper-3 | SHALL/MAY | open |" in page
    assert "| old | SHALL: says so | open |" in page
    clients = page.partition("Asked of a client")[2]
    assert "| oper-5 | SHALL | tests/test_x.py::test_b |" in clients

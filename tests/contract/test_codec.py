"""A case and an assertion come back from their JSON exactly as they were."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given

from service.policy.case import Case
from service.store.audit import holds, next_entry
from service.store.codec import (
    UnknownFormat,
    read_assertion,
    read_case,
    read_json,
    write_assertion,
    write_case,
    write_json,
)
from tests.contract.cases import NOW, any_case, assertion, case


@given(any_case())
def test_every_case_comes_back(made: Case) -> None:
    assert read_case(write_case(made)) == made


def test_an_assertion_comes_back_with_its_digits() -> None:
    text = write_assertion(assertion(1))
    assert read_assertion(text) == assertion(1)
    assert "1.50" in text


def test_a_newer_format_is_refused() -> None:
    text = write_case(case(1)).replace('"format":2', '"format":3')
    with pytest.raises(UnknownFormat):
        read_case(text)
    with pytest.raises(UnknownFormat):
        read_assertion(write_assertion(assertion(1)).replace('"format":2', '"format":3'))


_LATER_IN_LINES = ("previous", "issuedAt", "granted", "carried", "assertion")


def test_a_case_of_the_first_format_is_read() -> None:
    later = ("revision", "urgency", "due", "asked", "replaces", "replacedBy", "heldBy", "claimUrl")
    document = {name: value for name, value in read_json(write_case(case(1))).items() if name not in later}
    [line] = document["lines"]
    document["lines"] = [{name: line[name] for name in line if name not in _LATER_IN_LINES}]
    assert read_case(write_json({**document, "format": 1})) == case(1)


def test_times_are_written_in_utc_and_need_a_zone() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    assert write_case(case(1, received_at=tokyo)) == write_case(case(1))
    with pytest.raises(ValueError, match="zone"):
        write_case(case(1, received_at=datetime(2026, 12, 1)))  # noqa: DTZ001 the time without zone is the point


def test_a_chain_of_entries_holds_until_one_is_changed_removed_or_moved() -> None:
    first = next_entry(None, case(1).id, NOW, {"decision": "pended"})
    second = next_entry(first, case(1).id, NOW, {"decision": "approved"})
    third = next_entry(second, case(1).id, NOW, {"decision": "cancelled"})
    assert holds([first, second, third])
    assert second.previous == first.hash
    assert not holds([])
    assert not holds([second, third])
    assert not holds([first, third])
    assert not holds([second, first, third])
    assert not holds([first, replace(second, document='{"decision":"denied"}'), third])
    assert not holds([replace(first, case_id=case(2).id)])

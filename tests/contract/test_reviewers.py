"""Accounts, sessions and attempts of reviewers, alike in every adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from service.policy.decision import Clinician
from service.policy.reviewer import Account, Person, Role, Session
from service.store.reviewers import MemoryReviewers, SqlReviewers
from tests.contract.cases import acceptance, case
from tests.contract.conftest import NOW, AnyStore, _empty_database, opened
from tests.doubles import FrozenClock

AnyReviewers = MemoryReviewers | SqlReviewers
RITA = Account(Person("rita", "Rita", Role.REVIEWER), "hash-1")
CORA = Account(Person("cora", "Cora", Role.CLINICIAN, Clinician("Cora", "1003000126", "207RH0003X")), "hash-2")
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def reviewers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[AnyReviewers]:
    if request.param == "memory":
        yield MemoryReviewers()
        return
    async with opened(_empty_database(request, tmp_path_factory.mktemp("db")), FrozenClock(NOW)) as store:
        yield store.reviewers()


async def test_accounts_come_back_as_they_were_saved(reviewers: AnyReviewers) -> None:
    for account in (RITA, CORA):
        await reviewers.save_account(account)
    assert await reviewers.account("cora") == CORA
    assert await reviewers.account("nobody") is None
    assert list(await reviewers.accounts()) == [CORA, RITA]


async def test_saving_an_account_again_replaces_it_and_ends_its_sessions(reviewers: AnyReviewers) -> None:
    await reviewers.save_account(RITA)
    await reviewers.save_account(CORA)
    for digest, login in (("d-1", "rita"), ("d-2", "cora")):
        await reviewers.open_session(Session(digest, login, NOW, NOW), before=NOW)
    disabled = replace(RITA, disabled_at=NOW)
    await reviewers.save_account(disabled)
    assert await reviewers.account("rita") == disabled
    assert await reviewers.session("d-1") is None
    assert await reviewers.session("d-2") == (Session("d-2", "cora", NOW, NOW), CORA)


async def test_a_session_is_found_touched_and_closed(reviewers: AnyReviewers) -> None:
    await reviewers.save_account(RITA)
    await reviewers.open_session(Session("d-1", "rita", NOW, NOW), before=NOW)
    await reviewers.touch_session("d-1", NOW + MINUTE)
    assert await reviewers.session("d-1") == (Session("d-1", "rita", NOW, NOW + MINUTE), RITA)
    await reviewers.close_session("d-1")
    assert await reviewers.session("d-1") is None


async def test_old_sessions_are_forgotten_when_another_opens(reviewers: AnyReviewers) -> None:
    await reviewers.save_account(RITA)
    await reviewers.open_session(Session("old", "rita", NOW, NOW), before=NOW)
    await reviewers.open_session(Session("new", "rita", NOW + MINUTE, NOW), before=NOW + MINUTE)
    assert await reviewers.session("old") is None
    assert await reviewers.session("new") is not None


async def test_attempts_are_counted_by_subject_within_the_window(reviewers: AnyReviewers) -> None:
    assert await reviewers.count_attempt({"a": "1", "b": "2"}, NOW, NOW) == {"a": 1, "b": 1}
    assert await reviewers.count_attempt({"a": "3"}, NOW + MINUTE, NOW) == {"a": 2}
    assert await reviewers.count_attempt({"a": "4"}, NOW + MINUTE, NOW + MINUTE) == {"a": 2}
    await reviewers.forget_attempts("a")
    assert await reviewers.count_attempt({"a": "5"}, NOW + MINUTE, NOW) == {"a": 1}


async def test_cases_are_found_by_when_they_were_received(store: AnyStore) -> None:
    times = [NOW + timedelta(days=days) for days in (0, 1, 2)]
    for number, at in enumerate(times, start=1):
        await store.accept(acceptance(case(number, received_at=at), f"sha256:{number}"))
    found = await store.cases_received(times[0], times[2])
    assert [one.received_at for one in found] == times[:2]

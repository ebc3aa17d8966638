"""What every Store promises, on every adapter."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta

import pytest

from service.policy.case import ClientId, MemberId
from service.policy.dates import DatePeriod
from service.policy.model import PolicyRef
from service.ports import Exchange, Store
from service.store.codec import read_json
from tests.contract.cases import EHR, MEMBER, NOW, acceptance, approved_line, assertion, case, pended_line
from tests.contract.conftest import AnyStore
from tests.doubles import FrozenClock


def test_an_adapter_is_a_store(store: AnyStore) -> None:
    as_port: Store = store
    assert as_port is store


async def test_what_was_accepted_is_found_again(store: AnyStore) -> None:
    accepted = acceptance(case(1, approved_line(date(2026, 12, 4), "A-1")))
    assert await store.accept(accepted) == accepted.reply
    assert await store.case(accepted.case.id) == (accepted.case, accepted.request)
    assert await store.reply_to(EHR, "sha256:1") == accepted.reply
    assert await store.cases_of(MEMBER) == [(accepted.case, accepted.request)]


async def test_what_was_not_accepted_is_not_found(store: AnyStore) -> None:
    assert await store.case(case(1).id) is None
    assert await store.reply_to(EHR, "sha256:1") is None
    assert await store.cases_of(MEMBER) == []
    assert await store.authorizations(MEMBER, "policy-1") == []
    assert await store.assertion("assertion-1") is None
    assert await store.assertion_for(EHR, "order-1", "coverage-1") is None
    assert not await store.verify_audit(case(1).id)


async def test_a_repetition_gets_the_first_reply_and_leaves_nothing(store: AnyStore) -> None:
    first, second = acceptance(case(1)), acceptance(case(2))
    await store.accept(first)
    assert await store.accept(second) == first.reply
    assert await store.case(second.case.id) is None
    assert await store.audit(second.case.id) == []
    assert len(await store.cases_of(MEMBER)) == 1


async def test_another_client_or_content_is_another_case(store: AnyStore) -> None:
    await store.accept(acceptance(case(1)))
    other_client = acceptance(case(2, client=ClientId("ehr-2")))
    other_content = acceptance(case(3), "sha256:2")
    assert await store.accept(other_client) == other_client.reply
    assert await store.accept(other_content) == other_content.reply
    assert await store.reply_to(ClientId("ehr-2"), "sha256:2") is None


async def test_a_reply_about_another_case_is_refused_whole(store: AnyStore) -> None:
    wrong = acceptance(case(1), reply=acceptance(case(2)).reply)
    with pytest.raises(ValueError, match="reply"):
        await store.accept(wrong)
    assert await store.reply_to(EHR, "sha256:1") is None


async def test_identical_submissions_at_once_end_with_one_case(store: AnyStore) -> None:
    replies = await asyncio.gather(*(store.accept(acceptance(case(number))) for number in range(1, 13)))
    assert len(set(replies)) == 1
    [(kept, _)] = await store.cases_of(MEMBER)
    assert kept.id == replies[0].case_id


async def test_cases_of_a_member_come_newest_first(store: AnyStore) -> None:
    for number, minutes in ((1, 5), (2, 9), (3, 5), (4, 0)):
        later = case(number, received_at=NOW + timedelta(minutes=minutes))
        await store.accept(acceptance(later, f"sha256:{number}"))
    await store.accept(acceptance(case(5, member=MemberId("M-2")), "sha256:5"))
    await store.accept(acceptance(case(6, member=None), "sha256:6"))
    assert [int(found.id[-2:]) for found, _ in await store.cases_of(MEMBER)] == [2, 3, 1, 4]


async def test_authorizations_of_one_policy_and_member_latest_end_first(store: AnyStore) -> None:
    starts = {"A-1": date(2025, 12, 4), "A-2": date(2027, 1, 1), "A-3": date(2026, 1, 1)}
    for number, (name, start) in enumerate(starts.items()):
        await store.accept(acceptance(case(number, approved_line(start, name)), f"sha256:{number}"))
    other = PolicyRef("policy-2", "1", "sha256:2")
    await store.accept(acceptance(case(7, approved_line(NOW.date(), "B-1", policy=other)), "sha256:7"))
    elsewhere = case(8, approved_line(NOW.date(), "C-1"), member=MemberId("M-2"))
    await store.accept(acceptance(elsewhere, "sha256:8"))
    await store.accept(acceptance(case(9, pended_line()), "sha256:9"))
    found = await store.authorizations(MEMBER, "policy-1")
    assert [authorization.number for authorization in found] == ["A-2", "A-3", "A-1"]
    assert found[0].period == DatePeriod(date(2027, 1, 1), date(2027, 12, 31))
    assert found[0].member == MEMBER


async def test_received_text_of_any_length_and_character_is_kept(store: AnyStore) -> None:
    odd = MemberId("M\x00\u2028'\"; -- \U0001f600" + "x" * 50_000)
    accepted = acceptance(case(1, approved_line(date(2026, 12, 4), "A-1"), member=odd))
    await store.accept(accepted)
    assert await store.case(accepted.case.id) == (accepted.case, accepted.request)
    assert [found for found, _ in await store.cases_of(odd)] == [accepted.case]
    [authorization] = await store.authorizations(odd, "policy-1")
    assert authorization.member == odd
    shown = assertion(1, order_key=odd, coverage_key=odd, order_reference=odd)
    await store.save_assertions([shown])
    assert await store.assertion_for(EHR, odd, odd) == shown
    assert await store.first_use(odd, odd, odd, NOW)
    assert not await store.first_use(odd, odd, odd, NOW)


async def test_an_audit_entry_is_written_with_the_case(store: AnyStore) -> None:
    accepted = acceptance(case(1))
    await store.accept(accepted)
    [entry] = await store.audit(accepted.case.id)
    assert (entry.sequence, entry.at) == (1, accepted.case.decided_at)
    assert read_json(entry.document) | accepted.audit == read_json(entry.document)
    assert "72.50" in entry.document
    assert await store.verify_audit(accepted.case.id)


async def test_the_newest_assertion_of_an_order_and_coverage(store: AnyStore) -> None:
    made = [
        assertion(1, made_at=NOW + timedelta(minutes=2)),
        assertion(2, made_at=NOW + timedelta(minutes=2), policy_id="policy-1", questionnaire=None),
        assertion(3, made_at=NOW),
        assertion(4, made_at=NOW + timedelta(hours=1), client=ClientId("ehr-2")),
        assertion(5, made_at=NOW + timedelta(hours=1), order_key="order-2"),
        assertion(6, made_at=NOW + timedelta(hours=1), coverage_key="coverage-2"),
    ]
    await store.save_assertions([])
    await store.save_assertions(made)
    assert await store.assertion_for(EHR, "order-1", "coverage-1") == made[1]
    assert [await store.assertion(one.id) for one in made] == made


async def test_an_id_that_nobody_can_have_is_unknown(store: AnyStore) -> None:
    assert await store.assertion("assertion\x00" + "x" * 5000) is None


async def test_assertions_alike_are_of_one_client_content_and_coverage_and_not_too_old(store: AnyStore) -> None:
    made = [
        assertion(1, order_key="a", content_key="asked"),
        assertion(2, order_key="b", content_key="asked", made_at=NOW + timedelta(minutes=2)),
        assertion(3, order_key="c", content_key="asked", made_at=NOW + timedelta(minutes=2)),
        assertion(4, order_key="d", content_key="asked", made_at=NOW - timedelta(seconds=1)),
        assertion(5, order_key="e", content_key="other"),
        assertion(6, order_key="f", content_key="asked", client=ClientId("ehr-2")),
        assertion(7, order_key="g", content_key="asked", coverage_key="coverage-2"),
        assertion(8, order_key="h"),
    ]
    await store.save_assertions(made)
    assert await store.assertions_alike(EHR, "asked", "coverage-1", NOW) == [made[2], made[1], made[0]]
    assert await store.assertions_alike(EHR, "", "coverage-1", NOW) == []
    changed = assertion(2, order_key="b", content_key="other")
    await store.save_assertions([changed])
    assert await store.assertions_alike(EHR, "asked", "coverage-1", NOW) == [made[2], made[0]]
    assert changed in await store.assertions_alike(EHR, "other", "coverage-1", NOW)


async def test_of_assertions_alike_the_newest_fifty_are_found(store: AnyStore) -> None:
    made = [
        assertion(n, order_key=f"order-{n}", content_key="asked", made_at=NOW + timedelta(minutes=n))
        for n in range(60)
    ]
    await store.save_assertions(made)
    assert await store.assertions_alike(EHR, "asked", "coverage-1", NOW) == made[:9:-1]


async def test_the_parts_of_a_key_do_not_run_together(store: AnyStore) -> None:
    await store.save_assertions([assertion(1, order_key="ab", coverage_key="c")])
    assert await store.assertion_for(EHR, "a", "bc") is None
    assert await store.first_use("ab", "c", "d", NOW)
    assert await store.first_use("a", "bc", "d", NOW)


async def test_a_token_is_used_first_once_until_it_expires(store: AnyStore, clock: FrozenClock) -> None:
    expires = clock.now() + timedelta(minutes=5)
    assert await store.first_use("issuer", "1", "/path", expires)
    assert not await store.first_use("issuer", "1", "/path", expires)
    assert await store.first_use("issuer", "1", "/other", expires)
    assert await store.first_use("issuer", "2", "/path", expires)
    assert await store.first_use("other", "1", "/path", expires)
    clock.advance(timedelta(minutes=5))
    assert not await store.first_use("issuer", "1", "/path", expires)
    clock.advance(timedelta(seconds=1))
    assert await store.first_use("issuer", "1", "/path", expires + timedelta(hours=1))


async def test_of_first_uses_at_once_one_is_first(store: AnyStore, clock: FrozenClock) -> None:
    expires = clock.now() + timedelta(minutes=5)
    answers = await asyncio.gather(*(store.first_use("issuer", "1", "/path", expires) for _ in range(12)))
    assert sorted(answers) == [False] * 11 + [True]


async def test_access_tokens_are_found_by_digest(store: AnyStore, clock: FrozenClock) -> None:
    soon, later = clock.now() + timedelta(minutes=5), clock.now() + timedelta(hours=1)
    await store.save_access_token("d1", EHR, frozenset({"system/Claim.cu", "system/*.rs"}), soon)
    assert await store.access_token("d1") == (EHR, frozenset({"system/Claim.cu", "system/*.rs"}), soon)
    assert await store.access_token("d2") is None
    clock.advance(timedelta(minutes=6))
    await store.save_access_token("d2", EHR, frozenset(), later)
    assert await store.access_token("d1") is None
    assert await store.access_token("d2") == (EHR, frozenset(), later)


async def test_an_assertion_that_is_said_again_replaces_what_was_said(store: AnyStore) -> None:
    again = assertion(1, made_at=NOW + timedelta(minutes=2), questionnaire=None, shown={"pa-needed": "satisfied"})
    await store.save_assertions([assertion(2), assertion(1)])
    await store.save_assertions([again])
    assert await store.assertion("assertion-1") == again
    assert await store.assertion_for(EHR, "order-1", "coverage-1") == again
    assert await store.assertion("assertion-2") == assertion(2)


async def test_an_assertion_id_stays_with_its_order_and_coverage(store: AnyStore) -> None:
    await store.save_assertions([assertion(1)])
    for foreign in ({"client": ClientId("ehr-2")}, {"order_key": "order-2"}, {"coverage_key": "coverage-2"}):
        with pytest.raises(ValueError, match="belongs to one"):
            await store.save_assertions([assertion(3), assertion(1, **foreign)])
        assert await store.assertion("assertion-1") == assertion(1)
        assert await store.assertion("assertion-3") is None


async def test_feedback_and_exchanges_are_kept(store: AnyStore) -> None:
    exchange = Exchange("x-1", "crd", EHR, NOW, NOW + timedelta(seconds=1), 200, b"\x00in", b"out\xff")
    await store.save_feedback(EHR, "order-sign-crd", b'{"feedback":[]}', NOW)
    await store.log_exchange(exchange)
    await store.log_exchange(replace(exchange, id="x-2"), replace(exchange, id="x-3"))
    assert await store.ready()

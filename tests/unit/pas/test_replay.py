"""A stored case decided again says whether the result is the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from service.determine.obstacles import House
from service.pas.replay import Replayed, replay
from service.pas.ruling import read_basis
from service.policy.case import CaseId, MemberId
from service.policy.membership import Membership, OpenPeriod, Presented, Verdict
from service.policy.model import DrugCode
from service.ports import CaseChange, Evaluation, Evaluator
from service.store.codec import read_json
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import cancelled, info, update
from tests.unit.pas.payer import Payer, response_of

Json = dict[str, Any]


async def replayed(payer: Payer, response: Json) -> list[Replayed]:
    found = await replay(CaseId(response["id"]), payer.dependencies)
    assert found is not None
    return found


class Contrary:
    """The engine, but what held does not hold any more."""

    def __init__(self, engine: Evaluator) -> None:
        self.engine = engine

    async def evaluate(self, evaluation: Evaluation) -> Mapping[str, Any]:
        found = await self.engine.evaluate(evaluation)
        return {name: False if value is True else value for name, value in found.items()}


class Directory:
    """A member of a plan that excludes nothing, until it does."""

    def __init__(self) -> None:
        self.excluded: frozenset[DrugCode] = frozenset()

    async def find(self, presented: Presented, on: date) -> Verdict | None:
        return Membership(MemberId("M000123"), "basic", OpenPeriod(None, None), self.excluded, ())


async def test_the_same_evidence_and_policy_give_the_same_result_later(payer: Payer) -> None:
    unmet = b.response({**b.ANSWERS, "es-sclc": False})
    for request in (b.bundle(), b.bundle({b.RESPONSE: unmet}), b.bundle({b.COVERAGE: b.coverage(status="draft")})):
        response = response_of(await payer.submit(request))
        payer.clock.advance(timedelta(days=400))
        assert await replayed(payer, response) == [Replayed(1)]


async def test_another_result_is_said_without_saying_what(payer: Payer) -> None:
    response = response_of(await payer.submit(b.bundle()))
    payer.evaluate_with(Contrary(payer.dependencies.determiner.evaluator))
    (one,) = await replayed(payer, response)
    assert not one.same
    assert {"line 1: decision", "line 1: period", "line 1: criteria"} <= set(one.differences)
    assert not any("1958" in text for text in one.differences)


async def test_what_our_records_said_then_counts_and_not_what_they_say_now(payer: Payer) -> None:
    directory = Directory()
    payer.dependencies = replace(payer.dependencies, members=directory)
    response = response_of(await payer.submit(b.bundle()))
    assert response["outcome"] == "complete"
    directory.excluded = frozenset({DrugCode(b.HCPCS, "J9026")})
    assert await replayed(payer, response) == [Replayed(1)]


async def test_a_renewal_is_replayed_with_the_authorizations_of_then(payer: Payer) -> None:
    answers = {
        name: b.ANSWERS[name] for name in b.ANSWERS if name not in ("progression-on-platinum", "step-up-dosing")
    }
    answers |= {"disease-progression": False, "unacceptable-toxicity": False}
    form = b.response(answers, b.FORM.replace("initial", "renewal"))
    later = b.claim(b.item(servicedPeriod={"start": "2027-08-01", "end": "2027-08-20"}))
    renewal = b.bundle({b.CLAIM: later, b.RESPONSE: form})
    early = response_of(await payer.submit(renewal, client="early"))
    await payer.submit(b.bundle())
    due = response_of(await payer.submit(renewal))
    assert "preAuthRef" not in early
    assert "preAuthRef" in due
    assert await replayed(payer, early) == [Replayed(1)]
    assert await replayed(payer, due) == [Replayed(1)]


async def test_of_an_update_what_the_rules_decided_is_replayed(payer: Payer) -> None:
    await payer.submit(b.bundle({b.CLAIM: b.claim(b.item(1), b.item(2))}))
    fewer = info(b.item(2, quantity={"value": 9, "unit": "unit"}), "changed")
    response = response_of(await payer.submit(update(b.item(1), fewer)))
    assert await replayed(payer, response) == [Replayed(1)]
    gone = response_of(await payer.submit(update(cancelled(b.item(1)), cancelled(b.item(2)), number=3)))
    assert await replayed(payer, gone) == []


async def test_a_policy_that_is_not_loaded_any_more_is_named(payer: Payer) -> None:
    response = response_of(await payer.submit(b.bundle()))
    case_id = CaseId(response["id"])
    found = await payer.store.case(case_id)
    assert found is not None
    (entry,) = await payer.store.audit(case_id)
    old = entry.document.replace('"version":"2026-04-01"', '"version":"2025-01-01"')
    record = payer_json(old)
    await payer.store.save(CaseChange(found[0], 1, record))
    first, second = await replayed(payer, response)
    assert first.same
    assert not second.same
    assert second.why_not is not None
    assert "imdelltra 2025-01-01" in second.why_not


def payer_json(text: str) -> Json:
    record: Json = read_json(text)
    return record


async def test_every_request_is_replayed_that_a_case_was_decided_on(payer: Payer) -> None:
    """A later entry with a request of its own, as an attachment leaves it."""
    unmet = b.bundle({b.RESPONSE: b.response({**b.ANSWERS, "es-sclc": False})})
    pended = response_of(await payer.submit(unmet))
    approved = response_of(await payer.submit(b.bundle(), client="other"))
    found = await payer.store.case(CaseId(pended["id"]))
    other = await payer.store.case(CaseId(approved["id"]))
    (entry,) = await payer.store.audit(CaseId(approved["id"]))
    assert found is not None
    assert other is not None
    held = await payer.store.save(CaseChange(found[0], 1, {"kind": "held"}))
    await payer.store.save(CaseChange(held, 2, payer_json(entry.document), request=other[1]))
    assert await replayed(payer, pended) == [Replayed(1), Replayed(3)]


async def test_what_is_not_there_is_not_replayed(payer: Payer) -> None:
    assert await replay(CaseId("nothing"), payer.dependencies) is None
    refused = response_of(await payer.submit(b.bundle({b.INSURER: b.insurer("OTHER")})))
    assert await replayed(payer, refused) == []


async def test_the_settings_of_then_count(payer: Payer) -> None:
    """What the payer has changed its mind about since makes no other result of what was decided."""
    old = b.response() | {"authored": "2026-04-30T10:00:00Z"}
    approved = response_of(await payer.submit(b.bundle()))
    too_old = response_of(await payer.submit(b.bundle({b.RESPONSE: old}, identifier={"value": "2"})))
    assert (approved["outcome"], too_old["outcome"]) == ("complete", "partial")
    settings = payer.settings.model_copy(
        update={
            "trust_presented_coverage": False,
            "response_max_age_days": 900,
            "payer_id": "OTHER",
            "member_system": "urn:other",
            "administrative_denials": True,
        }
    )
    house = House(("urn:other", "OTHER"), trusts_presented_coverage=False)
    determiner = replace(payer.dependencies.determiner, house=house, response_max_age_days=900)
    payer.dependencies = replace(payer.dependencies, settings=settings, determiner=determiner)
    assert await replayed(payer, approved) == [Replayed(1)]
    assert await replayed(payer, too_old) == [Replayed(1)]


def test_a_record_of_before_tells_of_one_setting_only() -> None:
    basis = read_basis({"onFile": {}, "membership": None, "administrative": True})
    assert basis.terms == {"administrative_denials": True}

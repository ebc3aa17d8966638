"""What DTR asks of $next-question beyond the questions: nothing kept, nothing decided, nothing demanded."""

from __future__ import annotations

from typing import Any

import pytest

from service.dtr.versions import Version
from service.ports import Evaluation
from tests.unit.dtr import samples
from tests.unit.dtr.samples import VERSIONS, EvaluatorDouble, Json, Service, answers, walk
from tests.unit.dtr.test_adaptive import ALL, after, answered, asked, completed, contained, opened

each_version = pytest.mark.parametrize("version", VERSIONS)
SECRET = {"birth-date": {"valueDate": "1951-09-17"}, "platinum-agent": {"valueString": "secret agent seven"}}


class NothingAsked(EvaluatorDouble):
    async def evaluate(self, evaluation: Evaluation) -> Any:
        raise AssertionError("the chart's logic is not run between questions")


@pytest.mark.requirement("sec-10")
@each_version
async def test_nothing_of_an_adaptive_form_is_kept(
    service: Service, version: Version, stores: list[samples.StoreDouble]
) -> None:
    """Not in any store, nor in the process: a form that was begun elsewhere is continued as one begun here."""
    seen = await completed(service, version, ALL | SECRET)
    assert answers(seen[-1])["platinum-agent"] == "secret agent seven"
    kept = "".join(str(vars(store)) for store in stores)
    assert len(stores) > len(seen)
    assert "1951" not in kept
    assert "secret" not in kept
    elsewhere = Service(service.registry, service.check)
    assert await after(elsewhere, version, answered(seen[-2], ALL | SECRET)) == seen[-1]


@pytest.mark.requirement("spec-45")
@each_version
async def test_a_form_completed_again_for_the_same_order_stands_alone(service: Service, version: Version) -> None:
    """Nothing of the earlier completion is in the later one, nor in what it is asked."""
    earlier = (await completed(service, version, ALL | SECRET))[-1]
    start = await opened(service, version)
    assert answers(start) == {}
    assert "secret" not in str(await after(service, version, start))
    changed = ALL | {"es-sclc": {"valueBoolean": True}, "platinum-agent": {"valueString": "Cisplatin"}}
    later = (await completed(service, version, changed))[-1]
    assert (earlier["status"], later["status"]) == ("completed", "completed")
    assert answers(later)["platinum-agent"] == "Cisplatin"
    assert answers(later)["es-sclc"] is True
    assert "secret" not in str(later)


@pytest.mark.requirement("spec-42")
@pytest.mark.requirement("spec-43")
@each_version
@pytest.mark.parametrize("met", [True, False])
async def test_a_completed_form_tells_no_decision(service: Service, version: Version, met: bool) -> None:
    """Decisions are made of requests ($submit) alone, so neither CRD's nor PAS's forms answer with one."""
    given = ALL | {link_id: {"valueBoolean": met} for link_id, value in ALL.items() if "valueBoolean" in value}
    for response in await completed(service, version, given):
        assert "ext-coverage-information" not in str(response)
        assert "satisfied-pa-id" not in str(response)
        assert {e["url"].rpartition("/")[2] for e in response["extension"]} <= {
            "qr-context",
            "qr-coverage",
            "intendedUse",
        }


@pytest.mark.requirement("conf-10")
@each_version
async def test_answers_without_anything_optional_complete_the_form(service: Service, version: Version) -> None:
    """No text, no origin, no authored, extensions of the client's own, and an item text that differs."""
    response = await after(service, version, await opened(service, version))
    steps = 0
    while response["status"] == "in-progress":
        bare = answered(response, ALL)
        bare.pop("authored", None)
        bare["extension"] = [{"url": "https://vendor.example.org/x", "valueString": "kept"}]
        for item in walk(bare):
            item["text"] = "as the vendor words it"
        response = await after(service, version, bare)
        steps += 1
        assert steps < 12
    assert {k: next(iter(v.values())) for k, v in ALL.items()} == answers(response)
    assert response["extension"] == [{"url": "https://vendor.example.org/x", "valueString": "kept"}]


@pytest.mark.requirement("spec-38")
@each_version
async def test_the_next_question_waits_for_nothing_but_itself(service: Service, version: Version) -> None:
    """No logic over the chart and no look-up stands between two questions, so seconds are never near."""
    start = await opened(service, version)
    service.evaluator = NothingAsked()
    seen = await completed_from(service, version, start)
    assert seen[-1]["status"] == "completed"


async def completed_from(service: Service, version: Version, start: Json) -> list[Json]:
    seen = [await after(service, version, start)]
    while seen[-1]["status"] == "in-progress":
        seen.append(await after(service, version, answered(seen[-1], ALL)))
        assert len(seen) < 12
    return seen


@pytest.mark.requirement("spec-17")
@each_version
async def test_a_question_that_an_answer_makes_needless_is_not_asked(service: Service, version: Version) -> None:
    """2.0.1 has no enableWhen in an adaptive form: there the question itself is absent."""
    given = ALL | {
        "progression-on-platinum": {"valueBoolean": False},
        "female-of-reproductive-potential": {"valueBoolean": False},
    }
    last = (await completed(service, version, given))[-1]
    there = {i["linkId"]: i for i in walk(contained(last))}
    for link_id in ("progression-date", "contraception-counseling"):
        assert (link_id in there) is (version == "2.2.0")
        assert link_id not in there or there[link_id]["enableWhen"]
    assert "es-sclc" in asked(last)

"""The check of hook answers against CRD 2.2.1's logical models: our golden answers pass, broken ones do not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from conformance.hook_models import card_faults, kind_of, response_faults
from conformance.judge import GUIDES
from service.catalog.registry import HOME

Json = dict[str, Any]
PACKAGE = GUIDES / "crd-2.2.1.tgz"
GOLDEN = HOME / "tests" / "golden" / "crd"

pytestmark = pytest.mark.skipif(not PACKAGE.exists(), reason="NO GUIDE PACKAGES: hook answers have no model here")


def answer(name: str = "order-sign-medication-2.2") -> Json:
    found: Json = json.loads((GOLDEN / name / "response.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", sorted(folder.name for folder in GOLDEN.iterdir()))
def test_golden_answers_fit_the_model(name: str) -> None:
    assert response_faults(answer(name), PACKAGE) == []


@pytest.mark.parametrize(
    "break_it",
    [
        lambda body: body["cards"][0].pop("uuid"),
        lambda body: body["cards"][0].update(indicator="grave"),
        lambda body: body["cards"][0].update(notAnElement=1),
        lambda body: body["cards"][0].update(links={}),
        lambda body: body["cards"][0]["source"].pop("topic"),
        lambda body: body["systemActions"][0].update(type="create"),
        lambda body: body["systemActions"][0].update(resourceId="x"),
        lambda body: body.pop("cards"),
    ],
)
def test_a_broken_answer_is_told(break_it: Callable[[Json], object]) -> None:
    body = copy.deepcopy(answer())
    break_it(body)
    assert response_faults(body, PACKAGE)


def launching() -> Json:
    """The first card as one that opens an app."""
    card: Json = copy.deepcopy(answer()["cards"][0])
    card["links"] = [{"label": "Open", "url": "https://x", "type": "smart", "appContext": "{}"}]
    card["suggestions"] = [{"label": "I do", "uuid": card["uuid"]}]
    card["selectionBehavior"] = "any"
    return card


@pytest.mark.parametrize("name", sorted(folder.name for folder in GOLDEN.iterdir() if folder.name.endswith("2.2")))
def test_golden_cards_fit_the_model_of_their_kind(name: str) -> None:
    for card in [*answer(name)["cards"], launching()]:
        assert card_faults(card, PACKAGE) == []


@pytest.mark.parametrize(
    ("kind", "break_it"),
    [
        ("launchSMART", lambda card: card.pop("suggestions")),
        ("launchSMART", lambda card: card["suggestions"][0].update(actions=[{"type": "create", "description": "x"}])),
        ("externalReference", lambda card: card["links"][0].update(type="absolute")),
    ],
)
def test_a_card_of_another_kind_is_told(kind: str, break_it: Callable[[Json], object]) -> None:
    card = launching()
    break_it(card)
    assert kind_of(card) == kind
    assert card_faults(card, PACKAGE)

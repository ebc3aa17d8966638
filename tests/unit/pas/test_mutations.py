"""Broken requests: an answer or a ServiceError, never another exception, and never an approval that was not due."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import InvalidResource, MissingElement, ServiceError, TooLarge, UnresolvedReference
from service.fhir.json import encode
from service.pas.routes import SHAPES
from service.pas.shape import Version
from service.pas.submit import Submit
from tests.unit.fhir.mutations import mutate_blindly
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import cancelled, info, update
from tests.unit.pas.payer import CLINIC, Payer, action_of, code_of, response_of
from tests.unit.pas.stories import STORIES
from tests.unit.pas.test_response import assert_bundle

Json = dict[str, Any]
CLEAN = (InvalidResource, MissingElement, UnresolvedReference, TooLarge)
VERSIONS: tuple[Version, ...] = ("2.0.1", "2.2.1")
MANY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# Requests that lack something which no loss or repetition elsewhere can make up for.
NOT_DUE = ("pended-unmet", "pended-unknown", "pended-coverage", "pended-other-service", "error-wrong-payer")


def point_anywhere(bundle: Json, random: Random) -> None:
    """Turn one reference to another entry, to itself, to a contained resource or to nothing: cycles included."""
    places = [found for found in objects(bundle) if isinstance(found.get("reference"), str)]
    if not places:
        return
    urls = [entry.get("fullUrl") for entry in bundle["entry"] if isinstance(entry, dict)]
    random.choice(places)["reference"] = random.choice([*urls, "#", "#x", "Patient/1", "urn:uuid:nowhere", ""])


def repeat_entry(bundle: Json, random: Random) -> None:
    entry = copy.deepcopy(random.choice(bundle["entry"]))
    if random.random() < 0.5 and isinstance(entry, dict):
        entry["fullUrl"] = "urn:uuid:00000000-0000-4000-8000-0000000000ff"
    bundle["entry"].insert(random.randrange(len(bundle["entry"]) + 1), entry)


def drop_entry(bundle: Json, random: Random) -> None:
    if len(bundle["entry"]) > 1:
        del bundle["entry"][random.randrange(len(bundle["entry"]))]


def nest_deeply(bundle: Json, random: Random) -> None:
    deep: Json = {"url": "urn:x", "valueBoolean": True}
    for _ in range(random.choice([3, 60, 90, 300])):
        deep = {"url": "urn:x", "extension": [deep]}
    target = random.choice(bundle["entry"])
    if isinstance(target, dict) and isinstance(target.get("resource"), dict):
        target["resource"]["extension"] = [deep]


def damage(bundle: Json, random: Random) -> None:
    """Drop, rename or retype one member: nothing that could turn a "no" into a "yes"."""
    found = random.choice(objects(bundle))
    if not found:
        return
    name = random.choice(list(found))
    match random.randrange(3):
        case 0:
            del found[name]
        case 1:
            found[name + "X"] = found.pop(name)
        case _:
            found[name] = random.choice([None, {}, [], "", 0, -1, 1.5, "nonsense", [found[name]], {"a": 1}])


REDIRECT: tuple[Callable[[Json, Random], None], ...] = (point_anywhere, repeat_entry, drop_entry, nest_deeply)
CHANGES = (mutate_blindly, mutate_blindly, mutate_blindly, *REDIRECT)
DAMAGES = (damage, damage, damage, *REDIRECT)


def objects(node: Any) -> list[Json]:
    """Every JSON object at any depth."""
    if isinstance(node, dict):
        return [node] + [found for child in node.values() for found in objects(child)]
    return [found for child in node for found in objects(child)] if isinstance(node, list) else []


def mutated(bundle: Json, seed: int, changes: tuple[Callable[[Json, Random], None], ...] = CHANGES) -> Json:
    """The bundle after one to three changes; what cannot be changed further is left."""
    random = Random(seed)
    changed: Json = json.loads(encode(bundle))
    for _ in range(random.randrange(1, 4)):
        if isinstance(changed.get("entry"), list) and changed["entry"]:
            random.choice(changes)(changed, random)
    return changed


def answer(payer: Payer, bundle: Json, version: Version) -> Json | None:
    """The answer, or None for a clean refusal. Any other exception fails the test."""
    try:
        reply = asyncio.run(Submit(payer.dependencies, SHAPES[version])(encode(bundle), CLINIC))
    except ServiceError as refused:
        if not isinstance(refused, CLEAN):
            raise
        return None
    found: Json = json.loads(reply.body)
    return found


@MANY
@given(story=st.sampled_from(sorted(STORIES)), seed=st.integers(0, 2**32), version=st.sampled_from(VERSIONS))
def test_a_broken_request_is_answered_or_refused(
    new_payer: Callable[[], Payer], story: str, seed: int, version: Version
) -> None:
    found = answer(new_payer(), mutated(STORIES[story](), seed), version)
    if found is not None:
        assert_bundle(found)


@MANY
@given(story=st.sampled_from(NOT_DUE), seed=st.integers(0, 2**32))
def test_breaking_a_request_never_gets_it_approved(new_payer: Callable[[], Payer], story: str, seed: int) -> None:
    found = answer(new_payer(), mutated(STORIES[story](), seed, DAMAGES), "2.2.1")
    if found is not None:
        assert "A1" not in {code_of(item) for item in response_of(found).get("item", [])}


@MANY
@given(unmet=st.booleans(), seed=st.integers(0, 2**32), version=st.sampled_from(VERSIONS))
def test_a_broken_update_is_answered_or_refused_and_gets_nothing_new(
    new_payer: Callable[[], Payer], unmet: bool, seed: int, version: Version
) -> None:
    payer = new_payer()
    doubt = {b.RESPONSE: b.response({**b.ANSWERS, "es-sclc": False})}
    old = response_of(asyncio.run(payer.submit(b.bundle(doubt if unmet else {}), version)))
    fewer = info(b.item(1, quantity={"value": 9, "unit": "unit"}), "changed")
    found = answer(payer, mutated(update(fewer, cancelled(b.item(2)), changed=doubt), seed, DAMAGES), version)
    if found is None:
        return
    assert_bundle(found)
    numbers = {action_of(item).get("number") for item in response_of(found).get("item", [])} - {None}
    assert numbers <= {old.get("preAuthRef")}


@MANY
@given(seed=st.integers(0, 2**32))
def test_a_broken_inquiry_is_answered_or_refused(new_payer: Callable[[], Payer], seed: int) -> None:
    payer = new_payer()
    asyncio.run(payer.submit(b.bundle()))
    try:
        found = asyncio.run(payer.inquire(mutated(b.bundle(), seed)))
    except ServiceError as refused:
        if not isinstance(refused, CLEAN):
            raise
    else:
        assert found["resourceType"] == "Parameters"

"""Whose word counts: the directory's, the presented Coverage's, a caller's without a token; what is said at start."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.app.compose import create_app
from service.app.parts import Rules, database_url
from service.crd import routes as crd
from service.dtr import routes as dtr
from service.pas import routes as pas
from service.pas.dependencies import PasDependencies
from service.policy.case import MemberId
from service.policy.enrollment import Batch, Checkpoint, MemberRecord
from service.settings import Settings
from service.store.sql import open_store
from tests.unit.crd.world import request, said

OPEN = "DEVELOPMENT ACCESS IS ON: CALLERS ON THIS MACHINE NEED NO TOKEN. NO REAL PATIENTS"
LOUD = "THE PRESENTED COVERAGE IS BELIEVED WHERE NO MEMBER DIRECTORY IS LOADED"


class Idle:
    """An engine that is never asked."""

    async def warm(self, _logic: Any) -> None: ...

    def close(self) -> None: ...


def opened(rules: Rules, settings: Settings, folder: Path) -> FastAPI:
    engine: Any = Idle()
    return create_app(settings, folder, rules=replace(rules, settings=settings, engine=engine))


@pytest.mark.parametrize(
    ("settings", "trusting", "open_to_all"),
    [
        (Settings(trust_presented_coverage=True), 1, 0),
        (Settings(), 0, 0),
        (Settings(demo=True, trust_presented_coverage=True), 0, 1),
    ],
    ids=["trusting", "strict", "demo"],
)
async def test_what_is_believed_without_proof_is_said_once_at_start(
    rules: Rules,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    settings: Settings,
    trusting: int,
    open_to_all: int,
) -> None:
    caplog.set_level(logging.WARNING)
    app = opened(rules, settings, tmp_path)
    async with app.router.lifespan_context(app):
        pass
    said_at_start = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert (said_at_start.count(LOUD), said_at_start.count(OPEN)) == (trusting, open_to_all)


@pytest.mark.parametrize("demo", [False, True])
async def test_every_guide_is_given_the_directory_outside_the_demo(
    rules: Rules, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo: bool
) -> None:
    given: list[Any] = []
    for routes in (crd, dtr, pas):
        build: Any = routes.build

        def noted(dependencies: Any, *more: Any, _build: Any = build) -> Any:
            given.append(dependencies)
            return _build(dependencies, *more)

        monkeypatch.setattr(routes, "build", noted)
    app = opened(rules, Settings(demo=demo, trust_presented_coverage=demo), tmp_path)
    async with app.router.lifespan_context(app):
        pass
    assert {type(dependencies) for dependencies in given} == {
        crd.CrdDependencies,
        dtr.DtrDependencies,
        PasDependencies,
    }
    assert all((dependencies.members is None) is demo for dependencies in given)


async def test_the_demo_asks_no_directory(rules: Rules, tmp_path: Path) -> None:
    settings = Settings(demo=True, trust_presented_coverage=True)
    store = open_store(database_url(settings, tmp_path))
    somebody = MemberRecord(MemberId("M-9"), None, None, True)
    await store.members().save(Batch((somebody,), (), Checkpoint("sha256:x")))
    await store.close()
    app = opened(rules, settings, tmp_path)
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        answer = await client.post("/cds-services/order-sign-crd", json=request())
    assert said(answer.json())["covered"] == ["conditional"]

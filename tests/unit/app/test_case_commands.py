"""case verify and case replay, from the command line to a SQLite file and back."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.__main__ import app
from service.app import parts
from service.app.case_commands import _nobody
from service.app.compose import create_app
from service.app.parts import build_rules
from service.catalog.archive import pack, unpack
from service.catalog.registry import HOME, recall
from service.fhir.json import encode
from service.pas.codes import load_codes
from service.pas.dependencies import PasDependencies
from service.pas.submit import Submit
from service.pas.v221 import V221
from service.policy.case import ClientId
from service.ports import RandomIds, SystemClock
from service.settings import Settings
from service.store.sql import open_store
from tests.unit.pas import bundles as b

RUN = CliRunner()


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder; the presented coverage is trusted."""
    monkeypatch.setenv("PA_TRUST_PRESENTED_COVERAGE", "true")
    monkeypatch.setenv("PA_DATABASE_URL", f"sqlite:///{tmp_path / 'cases.db'}")
    return tmp_path


@pytest.fixture
def case_id(data: Path) -> str:
    """The id of a case that was approved."""
    return asyncio.run(_submit(Settings()))


async def _submit(settings: Settings) -> str:
    rules = build_rules(settings, trusts_coverage=True)
    store = open_store(settings.database_url)
    dependencies = PasDependencies(
        settings=settings,
        registry=rules.registry,
        determiner=rules.determiner,
        store=store,
        clock=SystemClock(),
        ids=RandomIds(),
        access=_nobody,
        check=rules.check,
        codes=load_codes(),
    )
    try:
        reply = await Submit(dependencies, V221)(encode(b.bundle()), ClientId("clinic"))
    finally:
        await store.close()
        rules.engine.close()
    return reply.case_id


def test_a_trail_holds_until_somebody_changes_it(case_id: str, data: Path) -> None:
    said = RUN.invoke(app, ["case", "verify", case_id, "--data", str(data)])
    assert (said.exit_code, said.stdout) == (0, "The audit trail holds: 1 entry.\n")
    with sqlite3.connect(data / "cases.db") as database:
        database.execute("DROP TRIGGER audit_no_update")
        database.execute("UPDATE audit SET document = replace(document, 'approved', 'denied')")
    database.close()
    said = RUN.invoke(app, ["case", "verify", case_id, "--data", str(data)])
    assert said.exit_code == 1
    assert "does NOT hold" in said.stderr


def test_a_case_is_decided_again(case_id: str, data: Path) -> None:
    said = RUN.invoke(app, ["case", "replay", case_id, "--data", str(data)])
    assert (said.exit_code, said.stdout) == (0, "Entry 1: the same result.\n")


def test_a_case_of_the_demo_is_decided_again_without_it(
    case_id: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The demo trusts the presented coverage; the command line is told nothing of that."""
    monkeypatch.delenv("PA_TRUST_PRESENTED_COVERAGE")
    monkeypatch.setenv("PA_PAYER_ID", "SOMEBODY-ELSE")
    said = RUN.invoke(app, ["case", "replay", case_id, "--data", str(data)])
    assert (said.exit_code, said.stdout) == (0, "Entry 1: the same result.\n")


def test_another_result_is_exit_1(case_id: str, data: Path) -> None:
    with sqlite3.connect(data / "cases.db") as database:
        [(request,)] = database.execute("SELECT request FROM submissions")
        other = bytes(request).replace(b'"1958-02-03"', b'"2018-02-03"')
        database.execute("UPDATE submissions SET request = ?", (other,))
    database.close()
    said = RUN.invoke(app, ["case", "replay", case_id, "--data", str(data)])
    assert said.exit_code == 1
    assert "ANOTHER result: line 1" in said.stdout
    assert "the stored request" in said.stdout


def test_a_request_that_was_changed_is_told_though_the_result_is_the_same(case_id: str, data: Path) -> None:
    with sqlite3.connect(data / "cases.db") as database:
        [(request,)] = database.execute("SELECT request FROM submissions")
        other = bytes(request).replace(b'"value":61', b'"value":91')
        assert other != bytes(request)
        database.execute("UPDATE submissions SET request = ?", (other,))
    database.close()
    said = RUN.invoke(app, ["case", "replay", case_id, "--data", str(data)])
    assert (said.exit_code, said.stdout) == (1, "Entry 1: ANOTHER result: the stored request.\n")
    said = RUN.invoke(app, ["case", "verify", case_id, "--data", str(data)])
    assert said.exit_code == 1
    assert "does NOT hold" in said.stderr


DATA_FILES = [
    path.relative_to(HOME).as_posix()
    for pattern in ("policies/*.toml", "questionnaires/*.json", "cql/*.cql", "cql/*.json", "cql/*/*.json")
    for path in sorted(HOME.glob(pattern))
]


@pytest.mark.parametrize("name", DATA_FILES)
def test_a_policy_file_with_one_byte_more_is_another_policy(
    case_id: str, data: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not replayed as if nothing had happened: the revision that decided is named, or the file is refused."""
    for folder in ("policies", "questionnaires", "cql"):
        shutil.copytree(HOME / folder, data / folder)
    (data / name).write_bytes((data / name).read_bytes() + b"\n")
    monkeypatch.setattr(parts, "HOME", data)
    said = RUN.invoke(app, ["case", "replay", case_id, "--data", str(data)])
    assert said.exit_code == 1
    refused = name.endswith(".cql") and name in said.stderr
    assert refused or "not loaded any more: imdelltra 2026-04-01" in said.stdout


def _kept(change: Callable[[bytes], bytes] = bytes) -> None:
    """The revisions are kept as the service does it when it starts; `change` is what happens to them then."""

    async def keep() -> None:
        settings = Settings()
        rules = build_rules(settings, trusts_coverage=True)
        store = open_store(settings.database_url)
        archives = {digest: change(packed) for digest, packed in rules.registry.archives.items()}
        await store.policy_revisions().keep(archives, SystemClock().now())
        await store.close()
        rules.engine.close()

    asyncio.run(keep())


def _edited(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy's files are edited in place: an approval of today would be for half the time."""
    for folder in ("policies", "questionnaires", "cql"):
        shutil.copytree(HOME / folder, data / folder)
    (manifest,) = (data / "policies").glob("*.toml")
    text = manifest.read_text()
    assert "approval_months = 12" in text
    manifest.write_text(text.replace("approval_months = 12", "approval_months = 6"))
    monkeypatch.setattr(parts, "HOME", data)


def _edited_files(packed: bytes) -> bytes:
    return pack(replace(file, content=file.content + b"\n") for file in unpack(packed))


def test_a_case_is_decided_again_by_the_revision_of_then_though_its_files_are_gone(
    case_id: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kept()
    _edited(data, monkeypatch)
    said = RUN.invoke(app, ["case", "replay", case_id, "--data", str(data)])
    assert (said.exit_code, said.stdout) == (0, "Entry 1: the same result.\n")


@pytest.mark.parametrize("change", [lambda packed: packed[: len(packed) // 2], lambda _: pack([]), _edited_files])
def test_kept_files_that_are_not_what_decided_are_told(
    case_id: str, data: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]
) -> None:
    _kept(change)
    _edited(data, monkeypatch)
    said = RUN.invoke(app, ["case", "replay", case_id, "--data", str(data)])
    assert said.exit_code == 1
    assert "What is kept of a policy revision" in said.stderr


async def test_the_service_keeps_the_files_of_its_policies_before_it_decides(data: Path) -> None:
    settings = Settings()
    service = create_app(settings, data)
    async with service.router.lifespan_context(service):
        store = open_store(settings.database_url)
        rules = build_rules(settings, trusts_coverage=True)
        for loaded in rules.registry.all():
            files = await store.policy_revisions().files(loaded.policy.ref.digest)
            assert files is not None
            assert recall(loaded.policy.ref.digest, files) == loaded
        await store.close()
        rules.engine.close()


@pytest.mark.parametrize("command", ["verify", "replay"])
def test_a_case_that_is_not_there_is_exit_1(data: Path, command: str) -> None:
    said = RUN.invoke(app, ["case", command, "nothing", "--data", str(data)])
    assert (said.exit_code, said.stderr) == (1, "There is no such case.\n")

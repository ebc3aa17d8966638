"""The files that hold patient data are their owner's alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.app.parts import database_url
from service.catalog.registry import HOME
from service.settings import Settings
from service.store.sql import open_store
from tests.contract.cases import MEMBER, acceptance, case


@pytest.fixture
def _lax() -> Iterator[None]:
    """The mask of a system that gives everybody everything."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_lax")
async def test_a_new_database_and_its_folder_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    store = open_store(database_url(Settings(), folder))
    await store.accept(acceptance(case(1)))
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}
    await store.close()
    assert modes == {"data": 0o700, "service.db": 0o600, "service.db-wal": 0o600, "service.db-shm": 0o600}


async def test_a_database_that_is_there_keeps_what_its_operator_gave_it(tmp_path: Path) -> None:
    file = tmp_path / "service.db"
    file.touch()
    file.chmod(0o640)
    await open_store(f"sqlite:///{file}").close()
    assert file.stat().st_mode & 0o777 == 0o640


def test_the_most_talkative_log_holds_no_row(tmp_path: Path) -> None:
    """Database drivers write statements and rows where they are asked to tell everything."""
    script = f"""
import asyncio, logging
from service import log
from service.store.sql import open_store
from tests.contract.cases import MEMBER, acceptance, case
async def main():
    logging.getLogger("sqlalchemy").setLevel(logging.DEBUG)
    log.set_up(logging.DEBUG)
    store = open_store("sqlite:///{tmp_path}/talkative.db")
    await store.accept(acceptance(case(1)))
    assert await store.cases_of(MEMBER)
    await store.close()
    logging.getLogger("service.test").debug("the end")
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=HOME, capture_output=True, text=True, check=True)
    assert "the end" in done.stderr
    assert not any(secret in done.stderr for secret in (MEMBER, "1958-02-03", "72.50", "INSERT"))

"""Every Store adapter, freshly made for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from service.store.memory import MemoryStore
from service.store.sql import SqlStore, open_store
from tests.contract.postgresql import programs, running_server
from tests.doubles import FrozenClock

NOW = datetime(2026, 12, 1, 15, 30, 0, 123456, tzinfo=UTC)
AnyStore = MemoryStore | SqlStore


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOW)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a running server; without PostgreSQL the tests are skipped, in CI they fail."""
    found = programs()
    if found is None:
        missing = "POSTGRESQL IS NOT INSTALLED (Debian: apt-get install postgresql): nothing was tested on it"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with running_server(found) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database."""
    return _empty_database(request, tmp_path)


@pytest.fixture
async def sql(database: str, clock: FrozenClock) -> AsyncIterator[SqlStore]:
    async with opened(database, clock) as store:
        yield store


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FrozenClock) -> AsyncIterator[AnyStore]:
    if request.param == "memory":
        yield MemoryStore(clock)
        return
    async with opened(_empty_database(request, tmp_path), clock) as made:
        yield made


@asynccontextmanager
async def opened(url: str, clock: FrozenClock) -> AsyncIterator[SqlStore]:
    """A SqlStore that is closed at the end."""
    store = open_store(url, clock)
    try:
        yield store
    finally:
        await store.close()


def _empty_database(request: pytest.FixtureRequest, folder: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{folder / 'store.db'}"
    server: str = request.getfixturevalue("postgresql")
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
    # A schema of its own is all that a test sees, and is made much faster than a database.
    return f"{server}&options=-csearch_path%3D{name}"

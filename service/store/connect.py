"""Connections to SQLite and PostgreSQL on which a commit means "on disk", and the schema's migration."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from service.errors import InvalidPolicy

WRITES: Final = "writes"
"""Execution option of connections that write: their transaction takes SQLite's write lock at its start."""

# How long a writer waits for another process's transaction, milliseconds.
_BUSY_MS: Final = 30_000
# Any number that no other program locks on in this database.
_MIGRATION_LOCK: Final = 3_802_615_447


def open_engine(url: str, *, connections: int) -> Engine:
    """An engine for a SQLite file or a PostgreSQL database; InvalidPolicy for anything else.

    Errors never show parameters: they are patient data.
    """
    target = _target(url)
    if target.get_backend_name() == "sqlite":
        _keep_private(Path(target.database or ""))
        engine = create_engine(target, hide_parameters=True, pool_size=connections, max_overflow=0)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = create_engine(
        target,
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_size=connections,
        max_overflow=0,
        pool_pre_ping=True,
    )
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def migrate(writer: Engine) -> None:
    """Brings the schema up to date; of several processes that start together, one does it and the others wait."""
    # A package path, not a file path: it holds wherever the service is installed.
    config = Config()
    config.set_main_option("script_location", "service.store:migrations")
    with writer.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _target(url: str) -> URL:
    try:
        target = make_url(url)
    except ArgumentError:
        # The text may hold a password, so it is not repeated.
        raise InvalidPolicy(
            "PA_DATABASE_URL is not a database URL, for example sqlite:////var/lib/pa/pa.db."
        ) from None
    backend = target.get_backend_name()
    if backend == "sqlite" and target.database not in {None, "", ":memory:"}:
        return target.set(drivername="sqlite")
    if backend in {"postgresql", "postgres"}:
        return target.set(drivername="postgresql+psycopg")
    raise InvalidPolicy("PA_DATABASE_URL must name a SQLite file or a PostgreSQL database.")


def _keep_private(file: Path) -> None:
    """A new database is readable by its owner alone: it is full of patient data. SQLite's -wal and -shm follow it."""
    if file.parent.is_dir() and not file.exists():
        file.touch(mode=0o600)


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver begins transactions late and behind our back; _begin_sqlite does it instead.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: in WAL mode the default of many builds loses the last commits on a power cut.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later fails at once when another writer came between.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    row = connection.execute("SHOW synchronous_commit").fetchone()
    if row[0] == "off":
        connection.execute("SET synchronous_commit = on")
    connection.commit()

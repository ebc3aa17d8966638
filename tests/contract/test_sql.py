"""What the databases add: durability, several processes, a trail that cannot be changed, and their failures."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import traceback
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.errors import InvalidPolicy, StoreFailed
from service.policy.case import ClientId
from service.ports import Exchange
from service.store import rows
from service.store.sql import SqlStore, open_store
from service.store.tables import access_tokens, audit, exchanges, feedback, metadata, used_tokens
from tests.contract.cases import EHR, MEMBER, NOW, acceptance, assertion, case
from tests.contract.conftest import opened
from tests.doubles import FrozenClock

ROOT = Path(__file__).parents[2]


async def test_two_stores_on_one_database_share_submissions(database: str, sql: SqlStore, clock: FrozenClock) -> None:
    async with opened(database, clock) as other:
        replies = await asyncio.gather(
            *((sql, other)[number % 2].accept(acceptance(case(number))) for number in range(20))
        )
        assert len(set(replies)) == 1
        assert len(await sql.cases_of(MEMBER)) == len(await other.cases_of(MEMBER)) == 1
        expires = clock.now() + timedelta(minutes=1)
        first = await asyncio.gather(*((sql, other)[n % 2].first_use("i", "1", "/", expires) for n in range(20)))
        assert first.count(True) == 1


def test_processes_that_start_and_accept_at_once_end_with_one_case(database: str) -> None:
    started = [_worker(database, number) for number in (1, 2, 3)]
    ended = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], ended
    assert len({out for out, _ in ended}) == 1


async def test_an_accepted_request_survives_kill_9(database: str, clock: FrozenClock) -> None:
    process = _worker(database, 1, then="time.sleep(600)")
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    assert said.startswith("accepted"), "the worker did not get so far"
    async with opened(database, clock) as reader:
        expected = acceptance(case(1))
        assert await reader.case(expected.case.id) == (expected.case, expected.request)
        assert await reader.reply_to(EHR, "sha256:1") == expected.reply
        assert await reader.verify_audit(expected.case.id)


def _worker(database: str, number: int, then: str = "pass") -> subprocess.Popen[str]:
    script = f"""
import asyncio, time
from service.store.sql import open_store
from tests.contract.cases import acceptance, case
async def main():
    store = open_store({database!r})
    reply = await store.accept(acceptance(case({number})))
    print("accepted", reply.case_id, flush=True)
    {then}
    await store.close()
asyncio.run(main())
"""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_data_outlives_the_store_and_a_second_migration(database: str, clock: FrozenClock) -> None:
    async with opened(database, clock) as store:
        await store.accept(acceptance(case(1)))
        await store.save_assertions([assertion(1)])
    async with opened(database, clock) as store:
        assert [found for found, _ in await store.cases_of(MEMBER)] == [case(1)]
        assert await store.assertion("assertion-1") == assertion(1)


async def test_of_look_ups_made_together_each_gets_its_own_answer(sql: SqlStore) -> None:
    await sql.save_assertions([assertion(1), assertion(2, order_key="order-2")])
    given_up = asyncio.ensure_future(sql.assertion("assertion-1"))
    others = [
        asyncio.ensure_future(found)
        for found in (sql.assertion("assertion-2"), sql.assertion("assertion-3"), sql.authorizations(MEMBER, "p"))
    ]
    await asyncio.sleep(0)
    given_up.cancel()
    assert await asyncio.gather(*others) == [assertion(2, order_key="order-2"), None, []]
    assert given_up.cancelled()


async def test_a_failure_reaches_every_look_up_made_together(sql: SqlStore) -> None:
    with sql._engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE assertions RENAME TO gone"))
    together = (sql.assertion("assertion-1"), sql.assertion_for(EHR, "order-1", "coverage-1"))
    failures = await asyncio.gather(*together, return_exceptions=True)
    assert [type(failure) for failure in failures] == [StoreFailed, StoreFailed]


async def test_the_migrations_make_the_tables_that_the_code_expects(sql: SqlStore) -> None:
    with sql._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []


async def test_accept_is_all_or_nothing(sql: SqlStore) -> None:
    await sql.accept(acceptance(case(1)))
    same_id_other_content = acceptance(case(1), "sha256:2")
    with pytest.raises(StoreFailed):
        await sql.accept(same_id_other_content)
    assert await sql.reply_to(EHR, "sha256:2") is None
    assert len(await sql.audit(case(1).id)) == 1


@pytest.mark.parametrize("change", [sa.update(audit).values(document="{}"), sa.delete(audit)])
async def test_the_database_refuses_to_change_audit_entries(sql: SqlStore, change: sa.Executable) -> None:
    await sql.accept(acceptance(case(1)))
    with pytest.raises(sa.exc.DBAPIError, match="never changed"), sql._writing_engine.begin() as connection:
        connection.execute(change)
    assert await sql.verify_audit(case(1).id)


@pytest.mark.parametrize(
    "values", [{"document": "{}"}, {"at": NOW + timedelta(days=1)}, {"sequence": 2}, {"previous_hash": "sha256:1"}]
)
async def test_an_audit_entry_changed_behind_our_back_is_noticed(sql: SqlStore, values: dict[str, object]) -> None:
    await sql.accept(acceptance(case(1)))
    with sql._writing_engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(sa.text("DROP TRIGGER audit_no_update"))
        else:
            connection.execute(sa.text("DROP TRIGGER audit_no_change ON audit"))
        connection.execute(sa.update(audit).values(**values))
    assert not await sql.verify_audit(case(1).id)


async def test_expired_tokens_leave_the_tables(sql: SqlStore, clock: FrozenClock) -> None:
    for number in range(5):
        await sql.first_use("i", str(number), "/", clock.now() + timedelta(minutes=1))
        await sql.save_access_token(str(number), EHR, frozenset(), clock.now() + timedelta(minutes=1))
    clock.advance(timedelta(minutes=2))
    await sql.first_use("i", "new", "/", clock.now())
    await sql.save_access_token("new", EHR, frozenset(), clock.now())
    assert _count(sql, used_tokens) == _count(sql, access_tokens) == 1


async def test_feedback_and_exchanges_are_in_their_tables(sql: SqlStore) -> None:
    await sql.save_feedback(EHR, "order-sign-crd", b'{"feedback":[]}', NOW)
    exchange = Exchange("x-1", "crd", EHR, NOW, NOW + timedelta(seconds=1), 200, b"\x00in", b"out\xff")
    await sql.log_exchange(exchange, replace(exchange, id="x-2", kind="crd-metric-data"))
    with sql._engine.connect() as connection:
        said = connection.execute(sa.select(feedback)).one()
        kept, measured = connection.execute(sa.select(exchanges).order_by(exchanges.c.position)).all()
    assert (kept.kind, measured.kind) == ("crd", "crd-metric-data")
    assert (said.client, said.service, said.feedback, said.at) == (EHR, "order-sign-crd", b'{"feedback":[]}', NOW)
    assert (kept.request, kept.response, kept.requested_at) == (b"\x00in", b"out\xff", NOW)


async def test_instants_of_any_zone_are_one_instant(sql: SqlStore) -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    await sql.save_access_token("d1", EHR, frozenset(), tokyo)
    found = await sql.access_token("d1")
    assert found is not None
    assert (found[2], found[2].tzinfo) == (NOW, UTC)
    with pytest.raises(StoreFailed):
        await sql.save_access_token("d2", EHR, frozenset(), NOW.replace(tzinfo=None))


async def test_a_failure_does_not_tell_what_was_stored(sql: SqlStore, caplog: pytest.LogCaptureFixture) -> None:
    private = "PRIVATE-1958-02-03"
    exchange = Exchange(
        private, "crd", ClientId("a-client-of-ours"), NOW, NOW, 200, private.encode(), private.encode()
    )
    await sql.log_exchange(exchange)
    with pytest.raises(StoreFailed) as raised:
        await sql.log_exchange(exchange)
    assert private not in "".join(traceback.format_exception(raised.value))
    with pytest.raises(sa.exc.IntegrityError) as inside, sql._writing_engine.begin() as connection:
        rows.save_exchanges(connection, [exchange])
    assert "a-client-of-ours" not in str(inside.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert private not in caplog.text


async def test_ready_is_false_without_the_tables(sql: SqlStore) -> None:
    assert await sql.ready()
    with sql._writing_engine.begin() as connection:
        metadata.drop_all(connection)
    assert not await sql.ready()


async def test_a_writer_on_sqlite_locks_before_it_reads(tmp_path: Path, clock: FrozenClock) -> None:
    async with opened(f"sqlite:///{tmp_path / 'store.db'}", clock) as store:
        with store._writing_engine.begin(), store._engine.connect() as other:
            other.exec_driver_sql("PRAGMA busy_timeout = 0")
            with pytest.raises(sa.exc.OperationalError, match="locked"):
                rows.first_use(other, "key", NOW, NOW)


async def test_sqlite_waits_for_the_disk(tmp_path: Path, clock: FrozenClock) -> None:
    async with opened(f"sqlite:///{tmp_path / 'store.db'}", clock) as store:
        with store._engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


async def test_postgresql_waits_for_the_disk_though_its_default_does_not(postgresql: str, clock: FrozenClock) -> None:
    async with opened(f"{postgresql}&options=-csynchronous_commit%3Doff", clock) as store:
        with store._engine.connect() as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://u:secret@h/db"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(InvalidPolicy, match="PA_DATABASE_URL") as raised:
        open_store(url)
    assert "secret" not in raised.value.text


def _count(store: SqlStore, table: sa.Table) -> int:
    with store._engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()

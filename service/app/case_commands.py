"""The command line of a case's audit trail: case verify, case replay."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer
from starlette.requests import Request

from service.app.parts import build_rules, database_url
from service.errors import InvalidPolicy, ServiceError, StoreFailed
from service.pas.codes import load_codes
from service.pas.dependencies import PasDependencies
from service.pas.replay import Replayed, replay
from service.policy.case import CaseId
from service.ports import Caller, RandomIds, SystemClock
from service.settings import Settings
from service.store.sql import SqlStore, open_store

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True, help="Check a case's audit trail, and decide a case again from what is stored."
)

Data = Annotated[Path, typer.Option(help="Folder of the SQLite file.")]
Id = Annotated[str, typer.Argument(help="The case's id: that of its ClaimResponse.", metavar="ID")]
_DATA: Final = Path(".data")
_UNKNOWN: Final = "There is no such case."


@app.command()
def verify(case_id: Id, data: Data = _DATA) -> None:
    """Check that nothing in a case's audit trail was changed or removed; exit 1 otherwise."""

    async def run(store: SqlStore) -> tuple[int, bool]:
        entries = await store.audit(CaseId(case_id))
        return len(entries), await store.verify_audit(CaseId(case_id))

    count, holds = _with_store(Settings(), data, run)
    if not count:
        raise _stop(_UNKNOWN)
    if not holds:
        raise _stop(f"The audit trail does NOT hold: one of its {count} entries was changed, removed or moved.")
    typer.echo(f"The audit trail holds: {count} {'entry' if count == 1 else 'entries'}.")


@app.command("replay")
def replay_case(case_id: Id, data: Data = _DATA) -> None:
    """Decide a case again on the stored request and policy version; exit 1 when the result is not the same."""
    settings = Settings()
    try:
        rules = build_rules(settings, trusts_coverage=settings.trust_presented_coverage or settings.demo)
    except InvalidPolicy as error:
        raise _stop(error.text) from None

    async def run(store: SqlStore) -> list[Replayed] | None:
        dependencies = PasDependencies(
            settings=settings,
            registry=rules.registry,
            determiner=rules.determiner,
            store=store,
            clock=SystemClock(),
            ids=RandomIds(),
            access=_nobody,
            check=rules.check,
            codes=load_codes(settings.x12_codes),
        )
        return await replay(CaseId(case_id), dependencies)

    try:
        replayed = _with_store(settings, data, run)
    except ServiceError as error:
        raise _stop(error.text) from None
    finally:
        rules.engine.close()
    if replayed is None:
        raise _stop(_UNKNOWN)
    if not replayed:
        typer.echo("The rules decided no line of this case: nothing to replay.")
    for one in replayed:
        typer.echo(f"Entry {one.entry}: {_told(one)}")
    if not all(one.same for one in replayed):
        raise typer.Exit(1)


async def _nobody(request: Request, scope: str) -> Caller:  # noqa: ARG001 - the port's parameters
    raise RuntimeError("the command line answers no calls")


def _told(one: Replayed) -> str:
    if one.why_not is not None:
        return f"cannot be replayed: {one.why_not}."
    return "the same result." if one.same else f"ANOTHER result: {'; '.join(one.differences)}."


def _with_store(settings: Settings, data: Path, run: Callable[[SqlStore], Awaitable[T]]) -> T:
    async def whole() -> T:
        store = open_store(database_url(settings, data))
        try:
            return await run(store)
        finally:
            await store.close()

    try:
        return asyncio.run(whole())
    except (InvalidPolicy, StoreFailed) as error:
        raise _stop(error.text) from None


def _stop(text: str) -> typer.Exit:
    typer.echo(text, err=True)
    return typer.Exit(1)

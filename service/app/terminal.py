"""What the commands that work on the store share: where it is, one connection for one command, and how to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from service.app.parts import database_url
from service.errors import InvalidPolicy, StoreFailed
from service.settings import Settings
from service.store.sql import SqlStore, open_store

T = TypeVar("T")

Data = Annotated[Path, typer.Option(help="Folder of the SQLite file.")]
DATA: Final = Path(".data")


def with_store(
    settings: Settings, data: Path, work: Callable[[SqlStore], Awaitable[T]], *, failed: str | None = None
) -> T:
    """Opens the store, does the work, closes it. `failed` is what to say when the database could not do it."""

    async def run() -> T:
        store = open_store(database_url(settings, data))
        try:
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except InvalidPolicy as error:
        raise stop(error.text) from None
    except StoreFailed as error:
        raise stop(failed or error.text) from None


def stop(text: str) -> typer.Exit:
    """Says it on standard error; the exit that the command raises, with code 1."""
    typer.echo(text, err=True)
    return typer.Exit(1)

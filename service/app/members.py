"""The command line of the member directory: members import, members plans, members status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from service.app.parts import policy_roots, structure_check
from service.app.terminal import DATA, Data, T, stop, with_store
from service.catalog.registry import load_registry
from service.errors import InvalidPolicy
from service.members.importing import BadLine, Watch, digest_of, import_file
from service.members.lines import LineReader
from service.members.plans import load_benefits
from service.policy.enrollment import Checkpoint, Counts
from service.settings import Settings
from service.store.members import SqlMembers

app = typer.Typer(no_args_is_help=True, help="Load members, coverages, plans and waivers; say what is loaded.")


@app.command("import")
def import_members(
    file: Annotated[Path, typer.Argument(help="FHIR Patients and Coverages, one a line.", metavar="FILE.ndjson")],
    data: Data = DATA,
    again: Annotated[bool, typer.Option(help="Also when this very file has been imported before.")] = False,
) -> None:
    """Add or replace members and coverages; exit 1 if a line is bad. Start it again after an interruption."""
    settings = Settings()
    reader = LineReader(
        settings.member_system, settings.coverage_system, (settings.payer_id_system, settings.payer_id)
    )

    async def run(directory: SqlMembers) -> Checkpoint:
        digest = digest_of(file)
        before = None if again else await directory.checkpoint(digest)
        if before is not None and before.done:
            typer.echo("This file has been imported before; --again imports it once more.")
            return before
        begun = before or Checkpoint(digest)
        if begun.lines:
            typer.echo(f"Going on after line {begun.lines}.")
        with typer.progressbar(length=file.stat().st_size, label="Importing") as bar:
            bar.update(begun.offset)
            return await import_file(file, begun, directory, reader, Watch(_tell, bar.update))

    try:
        reached = _with_directory(settings, data, run)
    except OSError:
        raise stop(f"{file} cannot be read.") from None
    typer.echo(f"{reached.lines} lines read, {reached.bad} of them bad.")
    if reached.bad:
        raise typer.Exit(1)


@app.command("plans")
def import_plans(
    file: Annotated[Path, typer.Argument(help="Plans and waivers; see docs/operations.md.", metavar="FILE.toml")],
    data: Data = DATA,
) -> None:
    """Replace all plans and waivers by those of the file."""
    settings = Settings()
    try:
        registry = load_registry(policy_roots(settings), structure_check())
        benefits = load_benefits(file, frozenset(loaded.policy.ref.id for loaded in registry.all()))
    except InvalidPolicy as error:
        raise stop(error.text) from None
    _with_directory(settings, data, lambda directory: directory.replace_benefits(benefits))
    typer.echo(f"{len(benefits.plans)} plans and {len(benefits.waivers)} waivers loaded.")


@app.command("status")
def status(data: Data = DATA) -> None:
    """Print how much is loaded."""
    counts: Counts = _with_directory(Settings(), data, lambda directory: directory.counts())
    typer.echo(f"members              {counts.members}")
    typer.echo(f"coverages            {counts.coverages}")
    typer.echo(f"  of nobody loaded   {counts.unowned}")
    typer.echo(f"plans                {counts.plans}")
    typer.echo(f"  excluded codes     {counts.excluded}")
    typer.echo(f"waivers              {counts.waivers}")


def _with_directory(settings: Settings, data: Path, work: Callable[[SqlMembers], Awaitable[T]]) -> T:
    failed = "The database could not do it. What was saved before is kept: start it again."
    return with_store(settings, data, lambda store: work(store.members()), failed=failed)


def _tell(line: BadLine) -> None:
    typer.echo(f"line {line.number}: {line.reason}", err=True)

"""The command line of the calls that are kept for disputes: call list, call show (CRD 2.2.1 found-37, found-38)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from service.app.terminal import DATA, Data, stop, with_store
from service.policy.case import ClientId
from service.settings import Settings
from service.store.calls import MOST, CallSearch

app = typer.Typer(no_args_is_help=True, help="Find what a client sent and was answered. It shows patient data.")

Id = Annotated[str, typer.Argument(help="The call's id, from call list.", metavar="ID")]
Since = Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, by UTC.")]
Until = Annotated[
    datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, by UTC; without it the first day.")
]
Client = Annotated[str | None, typer.Option(help="A client's id in PA_CLIENTS.")]
About = Annotated[
    str, typer.Option(help="A text in what was sent or answered: a coverage-assertion-id, an order's id.")
]


@app.command("list")
def list_calls(
    since: Since, until: Until = None, client: Client = None, about: About = "", data: Data = DATA
) -> None:
    """One line a call: when, status, kind, client and id."""
    search = CallSearch(
        since=since.replace(tzinfo=UTC),
        until=(until or since).replace(tzinfo=UTC) + timedelta(days=1),
        client=ClientId(client) if client else None,
        about=about,
    )
    found = with_store(Settings(), data, lambda store: store.calls().find(search))
    for one in found:
        at = one.requested_at.isoformat(timespec="seconds")
        typer.echo(f"{at} {one.status} {one.kind} {one.client} {one.id}")
    if len(found) == MOST:
        typer.echo(f"These are the first {MOST}; ask for fewer days for the rest.", err=True)


@app.command()
def show(call_id: Id, data: Data = DATA) -> None:
    """A call as it was sent, without its access token, and its answer."""
    found = with_store(Settings(), data, lambda store: store.calls().call(call_id))
    if found is None:
        raise stop("There is no such call.")
    typer.echo(f"{found.kind} of {found.client}, status {found.status}")
    for title, at, body in (
        ("Sent", found.requested_at, found.request),
        ("Answered", found.answered_at, found.response),
    ):
        typer.echo(f"\n{title} {at.isoformat(timespec='milliseconds')}\n{body.decode(errors='replace')}")

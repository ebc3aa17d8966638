"""The command line of a case's audit trail: case verify, case replay."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from starlette.requests import Request

from service.app.parts import build_rules
from service.app.terminal import DATA, Data, stop, with_store
from service.catalog.registry import recall
from service.errors import InvalidPolicy, ServiceError
from service.pas.codes import load_codes
from service.pas.dependencies import PasDependencies
from service.pas.replay import Replayed, replay
from service.policy.case import CaseId
from service.policy.model import PolicyRef
from service.ports import Caller, LoadedPolicy, RandomIds, SystemClock
from service.settings import Settings
from service.store.sql import SqlStore

app = typer.Typer(
    no_args_is_help=True, help="Check a case's audit trail, and decide a case again from what is stored."
)

Id = Annotated[str, typer.Argument(help="The case's id: that of its ClaimResponse.", metavar="ID")]
_UNKNOWN: Final = "There is no such case."


@app.command()
def verify(case_id: Id, data: Data = DATA) -> None:
    """Check that nothing of a case and its audit trail was changed or removed behind our back; exit 1 otherwise."""

    async def run(store: SqlStore) -> tuple[int, bool]:
        entries = await store.audit(CaseId(case_id))
        return len(entries), await store.verify_audit(CaseId(case_id))

    count, holds = with_store(Settings(), data, run)
    if not count:
        raise stop(_UNKNOWN)
    if not holds:
        raise stop(
            f"The audit trail does NOT hold: one of its {count} entries was changed, removed or moved, or what is "
            "stored of the case (request, answer, decision, attachments) is not what they vouch for."
        )
    typer.echo(f"The audit trail holds: {count} {'entry' if count == 1 else 'entries'}.")


@app.command("replay")
def replay_case(case_id: Id, data: Data = DATA) -> None:
    """Decide a case again on the stored request and policy version; exit 1 when the result is not the same."""
    settings = Settings()
    try:
        rules = build_rules(settings, trusts_coverage=settings.trust_presented_coverage or settings.demo)
    except InvalidPolicy as error:
        raise stop(error.text) from None

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

        async def from_store(ref: PolicyRef) -> LoadedPolicy | None:
            files = await store.policy_revisions().files(ref.digest)
            return None if files is None else recall(ref.digest, files)

        return await replay(CaseId(case_id), dependencies, from_store)

    try:
        replayed = with_store(settings, data, run)
    except ServiceError as error:
        raise stop(error.text) from None
    finally:
        rules.engine.close()
    if replayed is None:
        raise stop(_UNKNOWN)
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

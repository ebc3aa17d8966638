"""The command line of reviewers' accounts: reviewer add, reviewer list, reviewer disable; and the demo's accounts."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from service.app.terminal import DATA, Data, T, stop, with_store
from service.errors import BusinessRule
from service.policy.decision import Clinician
from service.policy.reviewer import Account, Person, Role, is_npi
from service.ports import SystemClock
from service.review.passwords import Passwords
from service.settings import Settings
from service.store.reviewers import SqlReviewers

app = typer.Typer(no_args_is_help=True, help="Accounts of the people who review cases.")

_LOGIN: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
# A code of the Health Care Provider Taxonomy (NUCC): ten characters, the last an X.
_SPECIALTY: Final = re.compile(r"[0-9A-Z]{9}X")
# Made-up people. The NPI is the one of the guides' example Practitioner; the specialty stands in US Core's examples
# (internal medicine, hematology and oncology).
_DEMO_CLINICIAN: Final = Clinician("Demo Clinician", "1003000126", "207RH0003X")
_DEMO: Final = (
    Person("demo-clinician", _DEMO_CLINICIAN.name, Role.CLINICIAN, _DEMO_CLINICIAN),
    Person("demo-reviewer", "Demo Reviewer", Role.REVIEWER),
    Person("demo-auditor", "Demo Auditor", Role.AUDITOR),
)


@app.command("add")
def add(  # noqa: PLR0913 - each is an option of the command
    login: Annotated[str, typer.Argument(help="Small letters, digits, dot, hyphen, underscore.")],
    name: Annotated[str, typer.Option(help="The person's name, as decisions are recorded.")],
    role: Annotated[Role, typer.Option(help="Clinicians deny too; auditors only look.")] = Role.REVIEWER,
    npi: Annotated[str | None, typer.Option(help="A clinician's NPI.")] = None,
    specialty: Annotated[str | None, typer.Option(help="A clinician's NUCC taxonomy code.")] = None,
    replace_account: Annotated[bool, typer.Option("--replace", help="Also when the account exists.")] = False,
    data: Data = DATA,
) -> None:
    """Make an account. The password is asked for on the terminal, else read from standard input."""
    person = _person(login, name, role, npi, specialty)

    async def run(reviewers: SqlReviewers) -> bool:
        if not replace_account and await reviewers.account(login) is not None:
            return False
        await reviewers.save_account(Account(person, Passwords().hash(password)))
        return True

    try:
        password = _password()
        made = _with_reviewers(Settings(), data, run)
    except BusinessRule as error:
        raise stop(error.text) from None
    if not made:
        raise stop("There is an account of that name already; --replace gives it a new name, role and password.")
    typer.echo(f"{login} can sign in as {role.value}.")


@app.command("list")
def list_accounts(data: Data = DATA) -> None:
    """Print all accounts."""
    for account in _with_reviewers(Settings(), data, lambda reviewers: reviewers.accounts()):
        person = account.person
        licence = f"NPI {person.clinician.npi} {person.clinician.specialty}" if person.clinician else ""
        state = f"disabled {account.disabled_at:%Y-%m-%d}" if account.disabled_at else "enabled"
        typer.echo(f"{person.login:<24}{person.role.value:<12}{state:<22}{person.name}  {licence}".rstrip())


@app.command("disable")
def disable(login: Annotated[str, typer.Argument(help="The account.")], data: Data = DATA) -> None:
    """Close an account and end its sessions. What it decided stays on record under its name."""

    async def run(reviewers: SqlReviewers) -> bool:
        account = await reviewers.account(login)
        if account is not None and account.disabled_at is None:
            await reviewers.save_account(replace(account, disabled_at=SystemClock().now()))
        return account is not None

    if not _with_reviewers(Settings(), data, run):
        raise stop("There is no such account.")
    typer.echo(f"{login} can sign in no more.")


def add_demo_accounts(settings: Settings, data: Path) -> Mapping[str, str]:
    """Gives the demo's accounts new random passwords; login -> password, for the terminal and nothing else."""
    made = {person.login: secrets.token_urlsafe(12) for person in _DEMO}

    async def run(reviewers: SqlReviewers) -> None:
        passwords = Passwords()
        for person in _DEMO:
            await reviewers.save_account(Account(person, passwords.hash(made[person.login])))

    _with_reviewers(settings, data, run)
    return made


def _person(login: str, name: str, role: Role, npi: str | None, specialty: str | None) -> Person:
    if not _LOGIN.fullmatch(login) or not name.strip():
        raise stop("Give a login of small letters, digits, dot, hyphen or underscore, and a name.")
    if role is not Role.CLINICIAN:
        if npi or specialty:
            raise stop("NPI and specialty belong to the role clinician.")
        return Person(login, name.strip(), role)
    if not (npi and is_npi(npi)):
        raise stop("A clinician needs --npi with ten digits and a valid check digit.")
    if not (specialty and _SPECIALTY.fullmatch(specialty)):
        raise stop("A clinician needs --specialty, a taxonomy code of ten characters such as 207RH0003X.")
    return Person(login, name.strip(), role, Clinician(name.strip(), npi, specialty))


def _password() -> str:
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    return sys.stdin.readline().rstrip("\r\n")


def _with_reviewers(settings: Settings, data: Path, work: Callable[[SqlReviewers], Awaitable[T]]) -> T:
    failed = "The database could not do it; nothing was changed."
    return with_store(settings, data, lambda store: work(store.reviewers()), failed=failed)

"""The command line of reviewers' accounts, and the demo's accounts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.app.reviewers import add_demo_accounts, app
from service.policy.reviewer import Account
from service.review.passwords import Passwords
from service.settings import Settings
from service.store.sql import open_store

PASSWORD = "a long enough password"
CLINICIAN = ("--role", "clinician", "--npi", "1003000126", "--specialty", "207RH0003X")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PA_DATABASE_URL", raising=False)


def run(data: Path, *words: str, password: str = PASSWORD) -> Result:
    return CliRunner().invoke(app, [*words, "--data", str(data)], input=f"{password}\n")


def accounts(data: Path) -> dict[str, Account]:
    async def read() -> dict[str, Account]:
        store = open_store(f"sqlite:///{data / 'service.db'}")
        try:
            return {account.person.login: account for account in await store.reviewers().accounts()}
        finally:
            await store.close()

    return asyncio.run(read())


def matches(account: Account, password: str) -> bool:
    return asyncio.run(Passwords().match(account.password_hash, password))


def test_an_account_is_made_listed_and_closed(tmp_path: Path) -> None:
    assert run(tmp_path, "add", "cora", "--name", "Cora Clinician", *CLINICIAN).exit_code == 0
    assert run(tmp_path, "add", "rita", "--name", "Rita").exit_code == 0
    assert run(tmp_path, "disable", "rita").exit_code == 0
    made = accounts(tmp_path)
    assert matches(made["cora"], PASSWORD)
    assert made["rita"].disabled_at is not None
    listed = run(tmp_path, "list").stdout
    assert "Cora Clinician  NPI 1003000126 207RH0003X" in listed
    assert "disabled" in listed
    assert PASSWORD not in listed


def test_an_account_is_replaced_only_on_purpose(tmp_path: Path) -> None:
    assert run(tmp_path, "add", "rita", "--name", "Rita").exit_code == 0
    assert run(tmp_path, "add", "rita", "--name", "Rita", password="another long password").exit_code == 1
    assert matches(accounts(tmp_path)["rita"], PASSWORD)
    assert (
        run(tmp_path, "add", "rita", "--name", "Rita", "--replace", password="another long password").exit_code == 0
    )
    assert matches(accounts(tmp_path)["rita"], "another long password")


@pytest.mark.parametrize(
    "words",
    [
        ("Rita!", "--name", "Rita"),
        ("rita", "--name", " "),
        ("rita", "--name", "Rita", "--npi", "1003000126"),
        ("cora", "--name", "Cora", "--role", "clinician"),
        ("cora", "--name", "Cora", "--role", "clinician", "--npi", "1003000127", "--specialty", "207RH0003X"),
        ("cora", "--name", "Cora", "--role", "clinician", "--npi", "1003000126", "--specialty", "oncology"),
    ],
)
def test_what_is_no_account_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert run(tmp_path, "add", *words).exit_code == 1
    assert accounts(tmp_path) == {}


def test_a_short_password_makes_no_account(tmp_path: Path) -> None:
    made = run(tmp_path, "add", "rita", "--name", "Rita", password="short")
    assert made.exit_code == 1
    assert accounts(tmp_path) == {}


def test_nobody_is_disabled_who_is_not_there(tmp_path: Path) -> None:
    assert run(tmp_path, "disable", "ghost").exit_code == 1


def test_the_demo_has_one_account_of_each_role_with_a_new_password_each_time(tmp_path: Path) -> None:
    first = add_demo_accounts(Settings(), tmp_path)
    second = add_demo_accounts(Settings(), tmp_path)
    made = accounts(tmp_path)
    assert {made[login].person.role.value for login in second} == {"clinician", "reviewer", "auditor"}
    for login, password in second.items():
        assert matches(made[login], password)
        assert not matches(made[login], first[login])

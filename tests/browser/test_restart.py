"""With keys for its sessions, another process goes on where one stopped: the form, its tokens, and leaving."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from service.catalog.registry import HOME
from tests.browser.conftest import User, started, stopped
from tests.browser.patients import write_patients
from tests.browser.test_drafts import save
from tests.browser.test_form import opened


def process(folder: Path, name: str, **settings: str) -> tuple[subprocess.Popen[bytes], str]:
    command = [sys.executable, "-m", "tests.browser.serve", str(folder / "patients")]
    command += ["serve", "--demo", "--port", "0", "--data", str(folder)]
    keys = {"PA_SESSION_KEYS": str(folder / "keys")}
    return started(command, folder / name, HOME, {**os.environ, **keys, **settings})


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Two processes over one database and one key. The second knows the EHR that the first one is."""
    write_patients(tmp_path / "patients")
    (tmp_path / "keys").write_text(base64.b64encode(os.urandom(32)).decode())
    first, address = process(tmp_path, "first")
    second, other = process(tmp_path, "second", PA_PUBLIC_URL=address)
    try:
        yield address, other
    finally:
        for each, log in ((first, "first"), (second, "second")):
            stopped(each, tmp_path / log)


def test_another_process_goes_on_with_the_form_and_ends_it(two: tuple[str, str], users: Any) -> None:
    address, other = two
    user: User = users()
    user.address = address
    opened(user, "male")
    path = urlsplit(user.page.url).path
    user.answer("step-up-dosing", "true")
    assert save(user).startswith("Saved")
    user.page.goto(other + path)
    user.page.wait_for_selector("html[data-ready]", timeout=20_000)
    assert user.criteria()["step-up-dosing"] == "met"
    user.answer("neurotoxicity-monitoring", "true")
    assert save(user).startswith("Saved")
    (draft,) = user.saved("male")
    assert "neurotoxicity-monitoring" in str(draft["item"])
    user.page.get_by_role("button", name="Leave").click()
    user.page.goto(address + path)
    assert "Your session here is over" in user.page.locator("#problem").inner_text()

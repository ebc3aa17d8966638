"""The started service and a real Chromium that may reach nothing but this machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

from service.catalog.registry import HOME
from tests.browser.patients import write_patients
from tests.browser.png import small

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Shot = Callable[[Page, str], None]
ADDRESS = re.compile(r"Demo EHR\s+(http://\S+)/demo\s")
TOUR = HOME / "docs" / "tour"
AXE = HOME / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the service keeps its data."""
    return tmp_path_factory.mktemp("service")


@pytest.fixture(scope="package")
def address(folder: Path) -> Iterator[str]:
    """The service with the demo and our patients, on a free port."""
    write_patients(folder / "patients")
    command = [sys.executable, "-m", "tests.browser.serve", str(folder / "patients")]
    command += ["serve", "--demo", "--port", "0", "--data", str(folder)]
    process, base = started(command, folder / "log", HOME, dict(os.environ))
    try:
        yield base
    finally:
        stopped(process, folder / "log")


def started(
    command: list[str], log: Path, folder: Path, environment: dict[str, str]
) -> tuple[subprocess.Popen[bytes], str]:
    """The service, once it listens, and its address."""
    with log.open("w") as written:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=written, stderr=subprocess.STDOUT)
    try:
        return process, _address(process, log)
    except AssertionError:
        process.kill()
        process.wait(timeout=20)
        raise


def stopped(process: subprocess.Popen[bytes], log: Path) -> None:
    """Ends it as an operator would; nothing may have gone wrong unseen."""
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)
    assert "Traceback" not in log.read_text()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(900):
        found = ADDRESS.search(log.read_text())
        if found and "startup complete" in log.read_text():
            return found[1]
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; one for all tests here, as two drivers cannot run side by side in one thread.

    It ends with this folder: while the driver's event loop runs, no test outside could run a loop of its own.
    """
    path = shutil.which("chromium")
    if path is None or not AXE.exists():
        if os.environ.get("CI"):
            pytest.fail("Chromium and axe-core must be there in CI")
        warnings.warn("SKIPPED FOR WANT OF CHROMIUM OR AXE-CORE", stacklevel=2)
        pytest.skip("Chromium or axe-core is not there")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield launched
        launched.close()


@dataclass
class User:
    """Somebody at a browser of their own. What must never happen is gathered in `troubles`."""

    context: BrowserContext
    address: str
    troubles: list[str] = field(default_factory=list)
    clicks: int = 0
    page: Page = field(init=False)

    def __post_init__(self) -> None:
        self.context.route("**/*", self._only_here)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.troubles.append(f"script: {error}"))
        self.page.on("console", lambda message: self._heard(message.text))

    def _only_here(self, route: Route) -> None:
        if urlsplit(route.request.url).hostname != "127.0.0.1":
            self.troubles.append(f"reached out: {route.request.url}")
            route.abort()
        else:
            route.continue_()

    def _heard(self, text: str) -> None:
        if "Content Security Policy" in text:
            self.troubles.append(text)

    def start_over(self, story: str) -> None:
        self.context.request.post(f"{self.address}/demo/{story}/start-over", form={"guides": "2.2.1"})

    def sign(self, story: str) -> None:
        self.page.goto(f"{self.address}/demo/{story}")
        self.page.get_by_role("button", name=re.compile("^Sign")).click()
        # A click returns before a slow answer is there, and what follows would overtake it.
        self.page.wait_for_url(f"**/demo/{story}/answer")

    def launch(self, story: str, user: str = "oncologist") -> None:
        """From the signed order to the drawn form."""
        self.page.goto(f"{self.address}/demo/{story}/answer")
        self.page.select_option("#user", user)
        self.click(self.page.get_by_role("button", name="Open in the payer's DTR app"))
        self.page.wait_for_selector("html[data-ready]")

    def click(self, target: Any) -> None:
        self.clicks += 1
        target.click()

    def answer(self, link_id: str, answer: str) -> None:
        """Chooses Yes ("true"), No ("false") or Not Answered ("null")."""
        with self.page.expect_response("**/check"):
            self.click(self.page.locator(f'[id="{link_id}/1/1|{answer}"]'))

    def criteria(self) -> dict[str, str]:
        listed = self.page.locator("#criteria li")
        return {
            str(item.get_attribute("data-criterion")): str(item.get_attribute("data-status")) for item in listed.all()
        }

    def badges(self) -> dict[str, str]:
        """What stands beside each question, by linkId."""
        found = {}
        for badge in self.page.locator("#form .badge:visible").all():
            item = str(badge.locator("xpath=ancestor::lhc-item[1]").get_attribute("id"))
            found[item.removeprefix("item-").partition("/")[0]] = badge.inner_text()
        return found

    def asked(self) -> int:
        """How many questions stand on the page."""
        return self.page.locator("#form .about:visible").count()

    def send(self) -> None:
        with self.page.expect_response("**/submit"):
            self.click(self.page.get_by_role("button", name="Send the request"))

    def decision(self) -> str:
        self.page.wait_for_selector("#decision [data-status]")
        return str(self.page.locator("#decision [data-status]").get_attribute("data-status"))

    def saved(self, patient: str) -> list[dict[str, Any]]:
        """QuestionnaireResponses of a patient in the EHR."""
        answer = self.context.request.get(
            f"{self.address}/demo/fhir/QuestionnaireResponse?patient={patient}", headers={"Accept": "*/*"}
        )
        return [entry["resource"] for entry in answer.json().get("entry", ())]

    def violations(self) -> list[str]:
        """What axe finds on the page as it stands. Put in by the debugger: our own policy lets no script be added."""
        session = self.context.new_cdp_session(self.page)
        session.send("Runtime.evaluate", {"expression": AXE.read_text()})
        run = "axe.run(document).then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' | ')))"
        told = session.send("Runtime.evaluate", {"expression": run, "awaitPromise": True, "returnByValue": True})
        return list(told["result"]["value"])


@pytest.fixture
def users(chromium: Browser, address: str) -> Iterator[Any]:
    """Makes users; at the end none of them may have met trouble."""
    made: list[User] = []

    def user(**options: Any) -> User:
        context = chromium.new_context(**options)
        context.set_default_timeout(30_000)
        made.append(User(context, address))
        return made[-1]

    yield user
    for each in made:
        each.context.close()
    assert [trouble for each in made for trouble in each.troubles] == []


@pytest.fixture
def shot(request: pytest.FixtureRequest) -> Shot:
    """Keeps a screenshot for docs/tour.md, when pytest is given --tour."""

    def keep(page: Page, name: str) -> None:
        if request.config.getoption("--tour"):
            TOUR.mkdir(exist_ok=True)
            (TOUR / f"{name}.png").write_bytes(small(page.screenshot(animations="disabled", caret="hide")))

    return keep


@pytest.fixture
def user(users: Any) -> User:
    """One user."""
    made: User = users()
    return made

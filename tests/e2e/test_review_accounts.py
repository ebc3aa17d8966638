"""The demo's reviewers: their passwords are on the terminal, they open the console, and the log knows neither."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import httpx

from service.catalog.registry import HOME
from tests.e2e.server import PATIENCE

ADDRESS = re.compile(r"Review\s+(http://\S+)/review")
ACCOUNT = re.compile(r"^\s+(demo-\w+)\s+(\S+)$", re.MULTILINE)


class Token(HTMLParser):
    """The form token of a page."""

    value = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        if tag == "input" and held.get("name") == "form-token":
            self.value = held.get("value") or ""


def test_each_demo_account_opens_the_console_and_the_log_tells_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    command = [sys.executable, "-m", "service", "serve", "--demo", "--port", "0", "--data", str(tmp_path)]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=HOME, stdout=subprocess.PIPE, stderr=output, text=True)
    said = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if len(ACCOUNT.findall(said)) == 3:
                break
        address = ADDRESS.search(said)
        assert address is not None, said
        passwords = dict(ACCOUNT.findall(said))
        assert set(passwords) == {"demo-clinician", "demo-reviewer", "demo-auditor"}
        for login, password in passwords.items():
            transport = httpx.HTTPTransport(retries=5)
            with httpx.Client(
                base_url=address[1], transport=transport, follow_redirects=True, timeout=PATIENCE
            ) as browser:
                page = Token()
                page.feed(browser.get("/review").text)
                fields = {"form-token": page.value, "login": login, "password": password}
                assert "Waiting for a decision" in browser.post("/review/sign-in", data=fields).text
                assert browser.get("/review/cases/a-private-id").status_code == 404
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    written = log.read_text()
    assert '/cases/{case_id}"' in written
    for private in (*passwords.values(), *passwords, "a-private-id"):
        assert private not in written

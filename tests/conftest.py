"""What several folders of tests share: the real rules, the guides' packages, and no network but this machine's."""

from __future__ import annotations

import json
import os
import socket
import tarfile
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from service.app.parts import Rules, build_rules
from service.catalog.registry import HOME
from service.settings import Settings

SECOND_POLICY = HOME / "tests" / "data" / "second_policy"
GUIDES = HOME.parent / "shared" / "ig"

# A busy machine makes nothing wrong: no test of ours is a matter of time.
settings.register_profile("untimed", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

_connect = socket.socket.connect


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regen", action="store_true", help="Write golden files anew; review the diff.")
    parser.addoption("--tour", action="store_true", help="Write the screenshots of docs/tour.md anew.")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests measured: how the guides' statements stand, and what the form took of each demo patient's clinician.

    Read from the reports, as tests run in processes.
    """
    reports = terminalreporter.getreports("passed")
    counts = [value for report in reports for name, value in report.user_properties if name == "ledger"]
    if counts:
        terminalreporter.section("SHALLs on a server, by guide (docs/conformance.md)")
        for guide, shall, tested, without, still_open in counts:
            told = f"{shall:3} SHALLs: {tested:3} with a test, {without:2} not applicable, {still_open:2} open"
            terminalreporter.write_line(f"{guide:9} {told}")
    rows = sorted(value for report in reports for name, value in report.user_properties if name == "form")
    if rows:
        terminalreporter.section("The form: questions and clicks of each demo patient")
        titles = (
            "patient               ",
            "asked",
            "from the chart",
            "left to the user",
            "clicks from launch to decision",
            "decision",
        )
        for row in (titles, *rows):
            cells = zip(row, titles, strict=True)
            terminalreporter.write_line("  ".join(str(cell).ljust(max(len(title), 9)) for cell, title in cells))
    times = [value for report in reports for name, value in report.user_properties if name == "speed"]
    if times:
        terminalreporter.section("The form: times of this run, on a machine that may be busy with other tests")
        for what, spent, wanted in times:
            terminalreporter.write_line(f"{what}: {spent:.0f} ms (wanted on an idle machine: {wanted})")


@pytest.fixture(autouse=True)
def _only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere but loopback or a local socket fails the test."""

    def connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise AssertionError(f"a test reached out to {address[0]}")
        _connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.fixture(scope="session")
def rules() -> Iterator[Rules]:
    """Both policies, the real engine; the presented coverage is believed."""
    settings = Settings()
    built = build_rules(settings, trusts_coverage=True, roots=[HOME, SECOND_POLICY])
    yield built
    built.engine.close()


@pytest.fixture(scope="session")
def guide() -> Callable[[str], dict[str, Any]]:
    """A guide's package by name and version, for example "pas-2.2.1": file name -> resource, examples too."""

    def read(name: str) -> dict[str, Any]:
        archive = GUIDES / f"{name}.tgz"
        if not archive.exists():
            if os.environ.get("CI"):
                pytest.fail(f"{archive.name} is not there, and CI must have it")
            warnings.warn(f"SKIPPED FOR WANT OF ../shared/ig/{archive.name}", stacklevel=2)
            pytest.skip(f"../shared/ig/{archive.name} is not there")
        with tarfile.open(archive) as package:
            return {
                member.name.removeprefix("package/"): json.loads(handle.read().decode("utf-8-sig"))
                for member in package.getmembers()
                if member.name.endswith(".json") and (handle := package.extractfile(member)) is not None
            }

    return read

"""`python -m conformance` where the validator cannot be had: one loud line, and whether that is a fault."""

from __future__ import annotations

import subprocess

import pytest

from conformance import __main__ as command
from conformance.judge import OutOfReach
from service.catalog.registry import HOME


@pytest.fixture(autouse=True)
def _everything_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda tool: f"/usr/bin/{tool}")
    monkeypatch.setattr(command, "GUIDES", HOME)


def fails(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def build() -> None:
        raise error

    monkeypatch.setattr(command, "build", build)


@pytest.mark.parametrize("ci", [True, False])
def test_out_of_reach_of_maven_central_is_said_and_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: bool
) -> None:
    monkeypatch.setenv("CI", "true" if ci else "")
    fails(monkeypatch, OutOfReach())
    assert command.main() == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("NOT VALIDATED: ")


@pytest.mark.parametrize(("ci", "ends"), [(True, 1), (False, 0)])
def test_ci_must_have_the_guides(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: bool, ends: int
) -> None:
    monkeypatch.setenv("CI", "true" if ci else "")
    monkeypatch.setattr(command, "GUIDES", HOME / "nowhere")
    assert command.main() == ends
    assert capsys.readouterr().out.startswith("NOT VALIDATED: the guides")


@pytest.mark.parametrize(("ci", "ends"), [(True, 1), (False, 0)])
def test_a_validator_that_does_not_compile_is_a_fault_in_ci(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: bool, ends: int
) -> None:
    monkeypatch.setenv("CI", "true" if ci else "")
    fails(monkeypatch, subprocess.CalledProcessError(1, "mvn"))
    assert command.main() == ends
    assert capsys.readouterr().out.startswith("NOT VALIDATED: ")


def test_a_missing_tool_is_a_fault_in_ci_which_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda _tool: None)
    monkeypatch.setenv("CI", "true")
    assert command.main() == 1
    assert "java is not installed" in capsys.readouterr().out

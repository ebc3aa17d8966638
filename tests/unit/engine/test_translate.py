"""The translator: deterministic, up to date, and refusing what would be answered wrongly."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HEAD = "library Made version '1.0.0'\nusing FHIR version '4.0.1'\ncontext Patient\n"


def translate(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    node = shutil.which("node")
    assert node is not None, "the set-up provides Node"
    command = [node, str(ROOT / "tools/translate.mjs"), "--policy", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "cql").mkdir()
    return tmp_path


def test_checked_in_elm_is_up_to_date() -> None:
    done = translate(ROOT, "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_stale_elm_is_listed_and_left_alone(policy: Path) -> None:
    source, elm = policy / "cql/Made.cql", policy / "cql/elm/Made.json"
    source.write_text(HEAD + 'define "X": true\n')
    assert translate(policy, "--check").stderr == f"{elm}: stale, translate again\n"
    assert translate(policy).returncode == 0
    assert translate(policy, "--check").returncode == 0
    before = elm.read_bytes()
    source.write_text(HEAD + 'define "X": false\n')
    (policy / "cql/elm/Gone.json").write_text("{}")
    done = translate(policy, "--check")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"{elm}: stale, translate again",
        f"{policy}/cql/elm/Gone.json: stale, translate again",
    ]
    assert elm.read_bytes() == before
    assert translate(policy).returncode == 0
    assert elm.read_bytes() != before
    assert not (policy / "cql/elm/Gone.json").exists()


@pytest.mark.parametrize(
    ("cql", "fault"),
    [
        ('define "X": 1 +\n', ":4:"),
        ('define "X": "Nowhere"\n', ":4:13: Could not resolve identifier Nowhere"),
        ('define "X": 1L\n', ":4:13: a literal of"),
        ('define "X": HighBoundary(1.5, 3)\n', ":4:13: HighBoundary is not evaluated"),
        ('define "X": Sum(({1, 1}) N return N)\n', ":4:13: Sum over a query that drops equal results"),
        ("define \"X\": 5 'no-such-unit'\n", ":4:"),
    ],
)
def test_what_would_be_wrong_is_refused_with_its_place(policy: Path, cql: str, fault: str) -> None:
    (policy / "cql/Made.cql").write_text(HEAD + cql)
    done = translate(policy)
    assert done.returncode == 1
    assert f"{policy}/cql/Made.cql{fault}" in done.stderr
    assert not (policy / "cql/elm").exists()


def test_library_named_unlike_its_file_or_without_version_is_refused(policy: Path) -> None:
    (policy / "cql/Other.cql").write_text("library Made\ndefine X: true\n")
    done = translate(policy)
    assert done.returncode == 1
    assert "the library must be named Other" in done.stderr
    assert "the library must have a version" in done.stderr


def test_includes_are_found_in_the_same_folder(policy: Path) -> None:
    (policy / "cql/Made.cql").write_text(HEAD + 'define "X": true\n')
    second = "library Second version '1.0.0'\ninclude Made version '1.0.0' called M\ndefine Y: M.\"X\"\n"
    (policy / "cql/Second.cql").write_text(second)
    done = translate(policy)
    assert (done.returncode, done.stderr) == (0, "")

"""The command line of the member directory, on a SQLite file as the service uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from service.__main__ import app
from service.errors import StoreFailed
from service.members.importing import LINES
from service.policy.enrollment import Batch
from service.store.members import SqlMembers
from tests.unit.members.samples import coverage, line, patient, write

SECRET = "Garbo-1958-02-03"
PLANS = '[[plan]]\nid = "GOLD"\nname = "Gold"\nexcluded_hcpcs = ["J0000"]\n'


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["members", *arguments, "--data", str(tmp_path / "data")])

    return invoke


def counted(result: Result) -> dict[str, int]:
    assert result.exit_code == 0, result.output
    pairs = (each.rsplit(maxsplit=1) for each in result.stdout.splitlines())
    return {name.strip(): int(number) for name, number in pairs}


def test_a_good_file_is_loaded_and_counted(run: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "m.ndjson", [line(coverage()), line(patient()), line(coverage(2))])
    loaded = run("import", str(file))
    assert loaded.exit_code == 0, loaded.output
    assert "3 lines read, 0 of them bad." in loaded.stdout
    counts = counted(run("status"))
    assert (counts["members"], counts["coverages"], counts["of nobody loaded"]) == (1, 2, 1)


def test_bad_lines_are_told_by_number_and_the_good_ones_stay(run: Any, tmp_path: Path) -> None:
    file = write(tmp_path / "m.ndjson", [line(patient()), line(patient(birthDate=SECRET)), line(coverage())])
    loaded = run("import", str(file))
    assert loaded.exit_code == 1
    assert "line 2: Patient.birthDate is no date of the calendar" in loaded.stderr
    assert SECRET not in loaded.output
    assert counted(run("status"))["members"] == 1
    again = run("import", str(file))
    assert again.exit_code == 1
    assert "has been imported before" in again.stdout
    once_more = run("import", str(file), "--again")
    assert "line 2: " in once_more.stderr


def test_an_interrupted_import_goes_on(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line(patient(number)) for number in range(2 * LINES)]
    file = write(tmp_path / "m.ndjson", [*lines, b"{"])
    save = SqlMembers.save
    saved: list[Batch] = []

    async def once(self: SqlMembers, batch: Batch) -> None:
        if saved:
            raise StoreFailed("The database could not do it.")
        saved.append(batch)
        await save(self, batch)

    monkeypatch.setattr(SqlMembers, "save", once)
    broken = run("import", str(file))
    assert broken.exit_code == 1
    assert "start it again" in broken.stderr
    assert counted(run("status"))["members"] == LINES
    monkeypatch.setattr(SqlMembers, "save", save)
    finished = run("import", str(file))
    assert f"Going on after line {LINES}." in finished.stdout
    assert f"line {2 * LINES + 1}: " in finished.stderr
    assert f"{2 * LINES + 1} lines read, 1 of them bad." in finished.stdout
    assert counted(run("status"))["members"] == 2 * LINES


def test_plans_replace_plans(run: Any, tmp_path: Path) -> None:
    file = tmp_path / "plans.toml"
    file.write_text(
        PLANS + '[[waiver]]\nnpi = "1234567893"\npolicy = "imdelltra"\nfrom = 2026-01-01\nto = 2026-12-31\n'
    )
    assert run("plans", str(file)).exit_code == 0
    counts = counted(run("status"))
    assert (counts["plans"], counts["excluded codes"], counts["waivers"]) == (1, 1, 1)
    file.write_text(PLANS.replace("GOLD", "SILVER"))
    assert run("plans", str(file)).exit_code == 0
    counts = counted(run("status"))
    assert (counts["plans"], counts["excluded codes"], counts["waivers"]) == (1, 1, 0)
    file.write_text(PLANS + "colour = 1\n")
    refused = run("plans", str(file))
    assert refused.exit_code == 1
    assert "colour" in refused.stderr
    assert counted(run("status"))["plans"] == 1


@pytest.mark.parametrize("name", ["import", "plans"])
def test_a_file_that_is_not_there(run: Any, tmp_path: Path, name: str) -> None:
    refused = run(name, str(tmp_path / "none"))
    assert refused.exit_code == 1
    assert "cannot be read" in refused.stderr

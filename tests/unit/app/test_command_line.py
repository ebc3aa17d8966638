"""The command line as a person types it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.catalog.registry import HOME
from service.settings import Settings
from tests.conftest import SECOND_POLICY

SUBMIT = HOME / "docs" / "examples" / "submit.json"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=HOME,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def written(path: Path, request: dict[str, Any]) -> str:
    path.write_text(json.dumps(request))
    return str(path)


@pytest.fixture
def request_body() -> dict[str, Any]:
    body: dict[str, Any] = json.loads(SUBMIT.read_text())
    return body


def test_evaluate_prints_the_contracts_json() -> None:
    done = run("evaluate", str(SUBMIT))
    assert done.returncode == 0
    printed = json.loads(done.stdout)
    assert printed["decision"] == "approved"
    (line,) = printed["lines"]
    assert line["period"] == {"start": "2026-12-04", "end": "2027-12-03"}
    assert [criterion["id"] for criterion in line["criteria"]] == [
        "age",
        "es-sclc",
        "progression-on-platinum",
        "step-up-dosing",
        "neurotoxicity-monitoring",
        "contraception",
    ]
    assert set(line["criteria"][0]) == {"id", "status", "text", "citation", "evidence", "missing", "conflicts"}


def test_evaluate_takes_a_renewal_for_one_only_with_an_authorization(
    tmp_path: Path, request_body: dict[str, Any]
) -> None:
    response = request_body["entry"][-1]["resource"]
    response["questionnaire"] = response["questionnaire"].replace("initial", "renewal")
    kept = {"birth-date", "es-sclc", "neurotoxicity-monitoring", "female-of-reproductive-potential"}
    response["item"] = [item for item in response["item"] if item["linkId"] in kept] + [
        {"linkId": link_id, "answer": [{"valueBoolean": False}]}
        for link_id in ("disease-progression", "unacceptable-toxicity")
    ]
    file = written(tmp_path / "renewal.json", request_body)
    without = json.loads(run("evaluate", file).stdout)
    assert without["decision"] == "pended"
    assert "No authorization on file: send the initial form." in without["lines"][0]["notes"]
    on_file = json.loads(run("evaluate", file, "--renewal-of", "2026-11-30").stdout)
    assert on_file["decision"] == "approved"
    assert on_file["lines"][0]["pathway"] == "renewal"


def test_evaluate_says_what_is_wrong_without_saying_it_back(tmp_path: Path, request_body: dict[str, Any]) -> None:
    request_body["entry"][0]["resource"]["use"] = "SECRET"
    done = run("evaluate", written(tmp_path / "broken.json", request_body))
    assert done.returncode == 1
    assert json.loads(done.stderr)["resourceType"] == "OperationOutcome"
    assert "SECRET" not in done.stderr + done.stdout
    missing = run("evaluate", str(tmp_path / "nowhere.json"))
    assert missing.returncode == 1
    assert "cannot be read" in missing.stderr
    assert "Traceback" not in missing.stderr + done.stderr


def test_policy_check_passes_on_good_folders_and_lists_faults_of_bad_ones(tmp_path: Path) -> None:
    good = run("policy", "check", PA_POLICIES=str(SECOND_POLICY))
    assert good.returncode == 0
    assert "2 policy folders" in good.stdout
    folder = shutil.copytree(SECOND_POLICY, tmp_path / "bad")
    manifest = folder / "policies" / "zelvorimab.toml"
    manifest.write_text(manifest.read_text().replace('define = "Severe Enough"', 'define = "Sever"'))
    bad = run("policy", "check", PA_POLICIES=str(folder))
    assert bad.returncode == 1
    assert f"{manifest}: criterion.severity.define" in bad.stdout
    refused = run("serve", "--port", "0", "--data", str(tmp_path), PA_POLICIES=str(folder))
    assert refused.returncode == 1
    assert 'no define "Sever"' in refused.stderr


def test_policy_test_fails_when_a_case_or_a_status_is_not_as_wanted(tmp_path: Path) -> None:
    assert run("policy", "test").returncode == 0
    folder = shutil.copytree(SECOND_POLICY, tmp_path / "second")
    assert run("policy", "test", str(folder)).returncode == 0
    cases = folder / "tests" / "policies" / "zelvorimab.toml"
    text = cases.read_text()
    cases.write_text(
        text.replace('note = "too light"\ngiven = { answers = { weight = 29.9 } }', 'note = "too light"')
    )
    done = run("policy", "test", str(folder))
    assert done.returncode == 1
    assert "too light" in done.stdout
    assert "no case shows weight as unmet on the initial pathway" in done.stdout
    assert re.search(r"^\d+ as wanted, [1-9]\d* not\.$", done.stdout, re.MULTILINE)
    cases.write_text("policy = 1")
    assert run("policy", "test", str(folder)).returncode == 1
    cases.unlink()
    assert run("policy", "test", str(folder)).returncode == 1


def test_policy_build_translates_a_folder(tmp_path: Path) -> None:
    folder = shutil.copytree(SECOND_POLICY, tmp_path / "second")
    translated = folder / "cql" / "elm" / "ZelvoraCriteria.json"
    before = translated.read_bytes()
    translated.unlink()
    assert run("policy", "build", str(folder)).returncode == 0
    assert translated.read_bytes() == before
    source = folder / "cql" / "ZelvoraCriteria.cql"
    source.write_text(source.read_text() + "\ndefine Broken: 1 +\n")
    broken = run("policy", "build", str(folder))
    assert broken.returncode == 1
    assert "ZelvoraCriteria.cql:" in broken.stdout + broken.stderr


def test_the_demo_listens_on_this_machine_only(tmp_path: Path) -> None:
    done = run("serve", "--demo", "--host", "0.0.0.0", "--data", str(tmp_path))
    assert done.returncode == 1
    assert "loopback only" in done.stderr


def test_the_demo_set_by_the_environment_is_on_this_machine_only_too(tmp_path: Path) -> None:
    done = run("serve", "--host", "0.0.0.0", "--port", "0", "--data", str(tmp_path), PA_DEMO="true")
    assert (done.returncode, done.stdout) == (1, "")
    assert "loopback only" in done.stderr


def test_a_port_in_use_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port), "--data", str(tmp_path / "data"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"127.0.0.1 port {port} cannot be listened on: " in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("members", "status")])
def test_settings_that_do_not_fit_are_named_without_what_they_hold(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(*command, "--data", str(tmp_path), PA_CQL_SECONDS="soonest", PA_DUE_HOURS_OTHER_STANDARD="-12345")
    assert (done.returncode, done.stdout) == (1, "")
    assert "PA_CQL_SECONDS: " in done.stderr
    assert "PA_DUE_HOURS_OTHER_STANDARD: Input should be greater than 0." in done.stderr
    for part in ("soonest", "12345", "Traceback"):
        assert part not in done.stderr


def test_help_lists_every_setting() -> None:
    shown = run("serve", "--help").stdout
    for name in Settings.model_fields:
        if name != "demo":
            assert f"PA_{name.upper()}" in shown.replace("\n", ""), name

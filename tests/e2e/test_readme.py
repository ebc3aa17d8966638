"""The README's first calls do what it says, from its own example files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from service.catalog.registry import HOME
from tests.e2e.requests import review_action
from tests.e2e.server import serving

README = (HOME / "README.md").read_text()
CALL = re.compile(r"-H 'Content-Type: (\S+)' -d @(\S+) \\\n\s+'?http://127\.0\.0\.1:8080(/[^\s']+)'?")


def test_each_first_call_gets_its_answer(tmp_path: Path) -> None:
    calls = CALL.findall(README)
    assert len(calls) == 3
    with serving(tmp_path) as service:
        answers = [
            service.http.post(path, content=(HOME / file).read_bytes(), headers={"Content-Type": kind})
            for kind, file, path in calls
        ]
        repeated = service.http.post(calls[2][2], content=(HOME / calls[2][1]).read_bytes())
    hook, package, decision = answers
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    said = hook.json()["systemActions"][0]["resource"]["extension"][0]["extension"]
    assert {"url": "pa-needed", "valueCode": "auth-needed"} in said
    assert any(part["url"] == "expiry-date" for part in said)
    first = package.json()["parameter"][0]["resource"]["entry"][0]["resource"]
    assert first["resourceType"] == "Questionnaire"
    assert review_action(decision.json()) == "A1"
    assert repeated.content == decision.content


def test_one_changed_answer_pends(tmp_path: Path) -> None:
    request = json.loads((HOME / "docs" / "examples" / "submit.json").read_text())
    response = request["entry"][-1]["resource"]
    response["item"][1]["answer"][0]["valueBoolean"] = False
    with serving(tmp_path) as service:
        answer = service.http.post("/fhir/Claim/$submit", content=json.dumps(request)).json()
    assert review_action(answer) == "A4"
    assert "investigational" in answer["entry"][0]["resource"]["processNote"][0]["text"]


def test_every_file_that_the_documents_name_is_there() -> None:
    for document in (HOME / "README.md", *sorted((HOME / "docs").glob("*.md"))):
        for link in re.findall(r"\]\(((?!http)[^)#]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name} names {link}"


def test_the_command_of_the_readme_decides_without_a_server() -> None:
    command = [sys.executable, "-m", "service", "evaluate", "docs/examples/submit.json"]
    printed = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed)["decision"] == "approved"

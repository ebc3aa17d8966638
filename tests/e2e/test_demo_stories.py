"""The demo's seven stories over real sockets: pages, hooks, form, request and decision of the started service."""

from __future__ import annotations

import html.parser
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import PATIENCE

ROOT = Path(__file__).parents[2]
ADDRESS = re.compile(r"Demo EHR\s+(http://\S+)/demo\s")
LOG = "log.jsonl"
GUIDES = ("2.2.1", "2.0.1")

# By linkId, what the clinician answers; a date of birth is in the chart.
INITIAL = {
    "es-sclc": "true",
    "progression-on-platinum": "true",
    "step-up-dosing": "true",
    "neurotoxicity-monitoring": "true",
    "female-of-reproductive-potential": "false",
}
RENEWAL = {
    "es-sclc": "true",
    "disease-progression": "false",
    "unacceptable-toxicity": "false",
    "neurotoxicity-monitoring": "true",
    "female-of-reproductive-potential": "false",
}
# What the notes of a request that is held for review say, in the policy's words.
INVESTIGATIONAL = "may be considered investigational for all other indications"
AGE = "Age 18 years of age or older"
PROGRESSION = "Patient has had disease progression on or after platinum-based chemotherapy"
CONTRACEPTION = "effective contraception during treatment with Imdelltra and for 2 months after the last dose"


@dataclass(frozen=True)
class Told:
    """A story: what is answered, and what the decision page must say."""

    answers: dict[str, str]
    status: str
    notes: tuple[str, ...] = ()


STORIES = {
    "approves-at-once": Told(INITIAL, "approved"),
    "male": Told(INITIAL, "approved"),
    "minor": Told(INITIAL, "pended", (AGE,)),
    "other-cancer": Told(INITIAL | {"es-sclc": "false"}, "pended", (INVESTIGATIONAL,)),
    "missing-progression": Told(INITIAL | {"progression-on-platinum": ""}, "pended", (PROGRESSION,)),
    "reproductive-potential": Told(
        INITIAL | {"female-of-reproductive-potential": "true", "contraception-counseling": "false"},
        "pended",
        (CONTRACEPTION,),
    ),
    "renewal": Told(RENEWAL, "approved"),
}


@dataclass
class Page(html.parser.HTMLParser):
    """What a person could do on a page: its forms by address, their fields as they stand, and its words."""

    text: str
    forms: dict[str, dict[str, str]] = field(default_factory=dict)
    buttons: list[dict[str, str | None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    status: str | None = None

    def __post_init__(self) -> None:
        super().__init__()
        self._form: dict[str, str] | None = None
        self._in_note = False
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.status = held.get("data-status") or self.status
        if tag == "form":
            self._form = self.forms.setdefault(str(held["action"]), {})
        elif tag == "input" and self._form is not None:
            if held.get("type") != "radio" or "checked" in held:
                self._form[str(held["name"])] = held.get("value") or ""
        elif tag == "button":
            self.buttons.append(held)
        elif tag == "li" and "value" in held:
            self._in_note = True
            self.notes.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "li":
            self._in_note = False

    def handle_data(self, data: str) -> None:
        if self._in_note:
            self.notes[-1] += data


def start(data: Path) -> tuple[subprocess.Popen[str], str]:
    """The service with the demo on a free port, and its address; its log goes to log.jsonl in the folder."""
    command = [sys.executable, "-m", "service", "serve", "--demo", "--port", "0", "--data", str(data)]
    with (data / LOG).open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if found := ADDRESS.search(said):
            return process, found[1]
    raise AssertionError(f"the service did not start: {said}")


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE)
    return process.returncode


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def browser(data: Path) -> Iterator[httpx.Client]:
    process, address = start(data)
    try:
        transport = httpx.HTTPTransport(retries=5)
        with httpx.Client(base_url=address, transport=transport, follow_redirects=True, timeout=PATIENCE) as client:
            yield client
    finally:
        assert stop(process) == 0


def press(browser: httpx.Client, page: Page, address: str, **fields: str) -> Page:
    """Sends one of the page's forms as it stands, with changes."""
    assert address in page.forms, f"no way to {address}"
    return read(browser.post(address, data=page.forms[address] | fields))


def read(response: httpx.Response) -> Page:
    assert response.status_code in (200, 422), response.text
    assert "default-src 'self'" in response.headers["content-security-policy"]
    return Page(response.text)


def open_form(browser: httpx.Client, story: str, guides: str) -> Page:
    chart = read(browser.get(f"/demo/{story}"))
    chart = press(browser, chart, f"/demo/{story}/start-over", guides=guides)
    answer = press(browser, chart, f"/demo/{story}/sign")
    assert "Prior authorization is needed" in answer.text
    return press(browser, answer, f"/demo/{story}/open-form")


def send(browser: httpx.Client, story: str, form: Page, answers: dict[str, str]) -> Page:
    """Answers the questions and sends the form; open required questions are sent open."""
    address = f"/demo/{story}/submit"
    asked = {name.removeprefix("answer:") for name in form.forms[address]}
    assert set(answers) <= asked
    typed = {f"answer:{link_id}": text for link_id, text in answers.items()}
    sent = press(browser, form, address, **typed)
    if any(button.get("name") == "incomplete" for button in sent.buttons):
        sent = press(browser, sent, address, incomplete="yes")
    return sent


def years_later(start: str) -> str:
    """The last day of 12 months from a first service date."""
    first = date.fromisoformat(start)
    return (first.replace(year=first.year + 1) - timedelta(days=1)).isoformat()


@pytest.mark.parametrize("guides", GUIDES)
@pytest.mark.parametrize("story", STORIES)
def test_story(browser: httpx.Client, story: str, guides: str) -> None:
    told = STORIES[story]
    form = open_form(browser, story, guides)
    chart = browser.get(f"/demo/fhir/Patient/{story}").json()
    assert form.forms[f"/demo/{story}/submit"]["answer:birth-date"] == chart["birthDate"]
    decision = send(browser, story, form, told.answers)
    assert decision.status == told.status
    if told.status == "approved":
        order = browser.get(f"/demo/fhir/MedicationRequest/{story}-order").json()
        first = order["dispenseRequest"]["validityPeriod"]["start"]
        assert f'<time datetime="{first}">' in decision.text
        assert f'<time datetime="{years_later(first)}">' in decision.text
        assert 'id="authorization-number"' in decision.text
    else:
        assert len(decision.notes) >= len(told.notes)
        for words in told.notes:
            assert any(words in note for note in decision.notes), decision.notes


def test_a_question_that_does_not_apply_is_not_held_against_the_patient(browser: httpx.Client) -> None:
    form = open_form(browser, "male", GUIDES[0])
    decision = send(browser, "male", form, INITIAL | {"contraception-counseling": "false"})
    assert decision.status == "approved"


def test_the_form_is_filled_from_the_chart_except_for_the_prescribers_word(browser: httpx.Client) -> None:
    form = open_form(browser, "approves-at-once", GUIDES[0]).forms["/demo/approves-at-once/submit"]
    assert form["answer:es-sclc"] == "true"
    assert form["answer:progression-on-platinum"] == "true"
    for attested in ("step-up-dosing", "neurotoxicity-monitoring", "contraception-counseling"):
        assert form[f"answer:{attested}"] == ""


def test_a_held_request_can_be_asked_about_again(browser: httpx.Client) -> None:
    form = open_form(browser, "minor", GUIDES[0])
    decision = send(browser, "minor", form, INITIAL)
    asked = press(browser, decision, "/demo/minor/ask-again")
    assert (asked.status, asked.notes) == (decision.status, decision.notes)


@pytest.mark.parametrize("story", STORIES)
def test_no_log_line_names_the_patient(browser: httpx.Client, data: Path, story: str) -> None:
    send(browser, story, open_form(browser, story, GUIDES[0]), STORIES[story].answers)
    patient = browser.get(f"/demo/fhir/Patient/{story}").json()
    log = (data / LOG).read_text()
    assert "startup" in log
    for secret in (patient["name"][0]["family"], patient["birthDate"], "DEMO-1"):
        assert secret not in log


def test_starting_again_replays_the_earlier_request(tmp_path: Path) -> None:
    numbers = []
    for _ in range(2):
        process, address = start(tmp_path)
        try:
            with httpx.Client(base_url=address, transport=httpx.HTTPTransport(retries=5), timeout=PATIENCE) as client:
                chart = client.get("/demo/renewal").text
        finally:
            assert stop(process) == 0
        found = re.search(r"Number (\S+),", chart)
        assert found is not None
        numbers.append(found[1])
    assert numbers[0] == numbers[1]

"""Runs the Java validator over jobs, and sorts its messages: errors, reasoned warnings, unchecked terminology."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from conformance import corrections, standins
from conformance.jobs import PACKAGES, GuideSet, Job

VALIDATOR: Final = Path(__file__).with_name("validator")
REASONS: Final = Path(__file__).with_name("reasons.toml")
GUIDES: Final = Path(__file__).resolve().parents[2] / "shared" / "ig"
_SECONDS: Final = 1800
_UNCHECKED: Final = re.compile(
    r"CodeSystem is unknown and can't be validated: (?P<a>\S+)|ValueSet '(?P<b>[^']+)' not found"
    r"|because CodeSystem '(?P<c>[^']+)' is ignored/not-present|the system (?P<d>\S+) (?:could not|was not)"
)
# What Maven says of a repository that does not answer; that an artifact is not in one that does is another message.
_UNREACHED: Final = re.compile(r"Could not transfer (artifact|metadata)")

Sort = Literal["error", "accepted error", "warning", "reasoned warning", "unchecked"]


@dataclass(frozen=True, slots=True)
class Message:
    """What was said of one job, and how it counts. `about` is the reason, or the system that cannot be checked.

    `code` is the validator's own name of the message.
    """

    job: Job
    sort: Sort
    place: str
    code: str
    text: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Everything that was judged. `stand_ins` and `corrected` are what the validator was told beside the guides."""

    jobs: Sequence[Job]
    messages: Sequence[Message] = field(default_factory=tuple)
    stand_ins: Sequence[str] = ()
    corrected: Sequence[str] = ()

    def of(self, sort: Sort) -> list[Message]:
        return [message for message in self.messages if message.sort == sort]

    def unchecked(self) -> Counter[str]:
        """How often each code system or value set could not be checked."""
        return Counter(message.about for message in self.of("unchecked"))


@dataclass(frozen=True, slots=True)
class Reason:
    """Messages of this code whose text, place and job's name match are explained."""

    severity: str
    code: str
    pattern: re.Pattern[str]
    place: re.Pattern[str]
    job: re.Pattern[str]
    why: str

    def explains(self, job: Job, said: Mapping[str, str]) -> bool:
        """Whether this is the reason for what was said of the job."""
        return (
            (_severity(said), said["id"] or "") == (self.severity, self.code)
            and self.pattern.search(said["text"] or "") is not None
            and self.place.search(said["place"] or "") is not None
            and self.job.search(job.name) is not None
        )


class OutOfReach(Exception):
    """The validator's libraries are not here, and Maven cannot get them."""


def build() -> None:
    """Compiles the validator, from what Maven has here where that is enough.

    Raises OutOfReach, and CalledProcessError for what does not compile. Needs Maven and a JDK, 17 or newer.
    """
    for options in (["--offline"], []):
        command = ["mvn", "-q", "-B", "-Dstyle.color=never", *options, "package"]
        made = subprocess.run(command, cwd=VALIDATOR, timeout=_SECONDS, capture_output=True, text=True)  # noqa: S603 our own words
        if made.returncode == 0:
            return
    if _UNREACHED.search(made.stdout):
        raise OutOfReach
    raise subprocess.CalledProcessError(made.returncode, command, made.stdout)


def judge(jobs: Sequence[Job], sound: Sequence[Job] | None = None) -> Verdict:
    """Judges every job by the guides of its set; the sets run side by side.

    Answers are judged by the forms among `sound`, which is `jobs` unless it is given.
    """
    reasons = load_reasons()
    sets = [guides for guides in PACKAGES if any(job.guides == guides for job in jobs)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(sets)) as pool:
        parts = list(pool.map(lambda guides: _judge_set(guides, jobs, Path(folder), reasons, sound or jobs), sets))
    messages = [message for part in parts for message in part.messages]
    told = sorted({url for part in parts for url in part.stand_ins})
    return Verdict(jobs, messages, told, [said for part in parts for said in part.corrected])


def load_reasons() -> list[Reason]:
    """The reasons that are given in advance."""
    listed = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    return [
        Reason(
            severity=severity,
            code=one["code"],
            pattern=re.compile(one["pattern"]),
            place=re.compile(one["place"]),
            job=re.compile(one["job"]),
            why=one["reason"],
        )
        for severity in ("error", "warning")
        for one in listed.get(severity, ())
    ]


def needless(verdict: Verdict) -> list[str]:
    """Reasons that explain nothing any more."""
    used = {message.about for message in verdict.messages}
    return [reason.why for reason in load_reasons() if reason.why not in used]


def _judge_set(
    guides: GuideSet, jobs: Sequence[Job], folder: Path, reasons: Sequence[Reason], sound: Sequence[Job]
) -> Verdict:
    mine = [job for job in jobs if job.guides == guides]
    place = folder / guides
    definitions = place / "definitions"
    definitions.mkdir(parents=True)
    archives = {name: GUIDES / f"{name}.tgz" for name in PACKAGES[guides]}
    told = standins.write(definitions)
    corrected = corrections.write(definitions, archives)
    _write_forms(definitions, [job for job in sound if job.guides == guides])
    order = {
        "packages": [str(archive) for archive in archives.values()],
        "standIns": str(definitions),
        "jobs": [_written(place, number, job) for number, job in enumerate(mine)],
    }
    (place / "jobs.json").write_text(json.dumps(order))
    _run(place)
    results = json.loads((place / "results.json").read_text())
    messages = [
        _sorted(job, said, reasons) for job, result in zip(mine, results, strict=True) for said in result["messages"]
    ]
    return Verdict(mine, [message for message in messages if message is not None], told, corrected)


def _write_forms(folder: Path, jobs: Sequence[Job]) -> None:
    """Our Questionnaires, by which the answers to them are judged."""
    forms = [job.resource for job in jobs if job.resource["resourceType"] == "Questionnaire"]
    for number, form in enumerate(forms):
        (folder / f"form-{number}.json").write_text(json.dumps(form))


def _written(place: Path, number: int, job: Job) -> Mapping[str, Any]:
    file = place / f"{number}.json"
    file.write_text(json.dumps(job.resource))
    return {"name": job.name, "file": str(file), "profiles": list(job.profiles)}


def _run(place: Path) -> None:
    target = VALIDATOR / "target"
    classes = f"{target / 'classes'}:{(target / 'classpath.txt').read_text().strip()}"
    command = [
        "java",
        "-Xmx2g",
        # It lives for a minute or two: what a longer run would win back, compiling well and collecting side by side
        # takes from the tests and the other set.
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-cp",
        classes,
        "conformance.Validate",
        str(place / "jobs.json"),
        str(place / "results.json"),
    ]
    subprocess.run(command, check=True, timeout=_SECONDS, capture_output=True)  # noqa: S603 our own words


def _sorted(job: Job, said: Mapping[str, str], reasons: Sequence[Reason]) -> Message | None:
    severity = _severity(said)
    place, code, text = said["place"] or "", said["id"] or "", said["text"] or ""
    if severity == "information":
        return None
    if severity == "warning" and (found := _UNCHECKED.search(text)):
        about = next(part for part in found.groups() if part)
        return Message(job, "unchecked", place, code, text, about)
    for reason in reasons:
        if reason.explains(job, said):
            sort: Sort = "accepted error" if severity == "error" else "reasoned warning"
            return Message(job, sort, place, code, text, reason.why)
    return Message(job, "error" if severity == "error" else "warning", place, code, text)


def _severity(said: Mapping[str, str]) -> str:
    return "error" if said["severity"] == "fatal" else said["severity"]

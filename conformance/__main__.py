"""`python -m conformance`: judges everything that the service emits, prints counts, ends 1 on what has no reason.

With --page, docs/validation.md is written anew.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Final

from conformance.broken import report
from conformance.hook_models import judge_hooks
from conformance.jobs import jobs_of
from conformance.judge import GUIDES, OutOfReach, Sort, Verdict, build, judge, needless
from conformance.page import PAGE, written

_EXPLAINED: Final[tuple[Sort, ...]] = ("accepted error", "reasoned warning")
_UNREACHED: Final = "the validator's libraries are not here, and Maven Central is out of reach"
_OPEN: Final[tuple[Sort, ...]] = ("error", "warning")


def main() -> int:
    """0 when nothing is at fault, or when the validator cannot be had (in CI: only out of reach of Maven Central)."""
    if missing := _missing():
        _say(f"NOT VALIDATED: {missing}. HL7's validator has not judged anything.")
        return 1 if os.environ.get("CI") and missing != _UNREACHED else 0
    # Before the stories are imported: they are tests, and need what only a development set-up has.
    from conformance.stories import everything

    calls = asyncio.run(everything())
    hooks = judge_hooks(calls, GUIDES / "crd-2.2.1.tgz")
    verdict = judge(jobs_of(calls))
    _report(verdict)
    spare = needless(verdict)
    _say(f"\nHOOKS BY THE LOGICAL MODELS: {dict(hooks.counts)}\nFAULTS ({len(hooks.faults)})")
    _lines(hooks.faults)
    _say(f"\nREASONS THAT EXPLAIN NOTHING ({len(spare)})")
    _lines(spare)
    if "--page" in sys.argv:
        PAGE.write_text(written(verdict, hooks), encoding="utf-8")
    # Only what is clean as it stands can show that a break is what was caught.
    faulty = {id(message.job) for message in (*verdict.of("error"), *verdict.of("accepted error"))}
    not_caught = report([job for job in verdict.jobs if id(job) not in faulty])
    return 1 if verdict.of("error") or verdict.of("warning") or hooks.faults or spare or not_caught else 0


def _missing() -> str:
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    if not GUIDES.is_dir():
        return "the guides' packages are not there"
    try:
        build()
    except OutOfReach:
        return _UNREACHED
    except subprocess.SubprocessError:
        return "the validator does not build (`mvn package` in its folder says why)"
    return ""


def _report(verdict: Verdict) -> None:
    _say(f"{len(verdict.jobs)} resources: {dict(Counter(job.guides for job in verdict.jobs))}")
    _say(str(dict(Counter(message.sort for message in verdict.messages))))
    _say(f"\nDECLARED BY STAND-IN ({len(verdict.stand_ins)})")
    _lines(verdict.stand_ins)
    _say(f"\nCORRECTED IN THE GUIDES ({len(verdict.corrected)})")
    _lines(verdict.corrected)
    _say("\nUNCHECKED TERMINOLOGY")
    _lines([f"{count:5} {system}" for system, count in verdict.unchecked().most_common()])
    for sort in _EXPLAINED:
        _say(f"\n{sort.upper()}, BY REASON")
        reasons = Counter(message.about for message in verdict.of(sort))
        _lines([f"{count:5} {why}" for why, count in reasons.most_common()])
    for sort in _OPEN:
        found = Counter(message.text for message in verdict.of(sort))
        where = {message.text: f"{message.job.name} {message.place}" for message in verdict.of(sort)}
        _say(f"\n{sort.upper()} WITHOUT A REASON ({found.total()})")
        _lines([f"{count:5} {text}\n      first at {where[text]}" for text, count in found.most_common()])


def _lines(lines: Sequence[str]) -> None:
    for line in lines:
        _say(f"  {line}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())

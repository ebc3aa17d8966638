"""The validator's own proof: copies of clean resources, broken in known ways, each of which it must report."""

from __future__ import annotations

import copy
import json
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence

from conformance.jobs import PACKAGES, GuideSet, Job
from conformance.judge import GUIDES, judge
from conformance.recording import Json


def broken(jobs: Sequence[Job]) -> list[Job]:
    """For each profile of each set: its first resource with an unknown element, and without each mandatory one."""
    firsts = {(job.guides, profile): job for job in reversed(jobs) for profile in job.profiles}
    mandatory = {guides: _mandatory(guides) for guides in PACKAGES}
    return [
        Job(f"{guides} {profile.rpartition('/')[2]}: {how}", guides, resource, (profile,))
        for (guides, profile), job in sorted(firsts.items(), key=lambda one: one[0])
        for how, resource in _breaks(job.resource, mandatory[guides].get(profile, ()))
    ]


def missed(copies: Sequence[Job]) -> list[str]:
    """Names of the copies in which the validator found nothing wrong."""
    caught = {message.job.name for message in judge(copies).of("error")}
    return [job.name for job in copies if job.name not in caught]


def _breaks(resource: Json, mandatory: Sequence[str]) -> Iterator[tuple[str, Json]]:
    yield "an unknown element", {**resource, "notAnElement": "x"}
    for name in mandatory:
        if name in resource:
            without = copy.deepcopy(resource)
            del without[name]
            yield f"without {name}", without


def _mandatory(guides: GuideSet) -> Mapping[str, Sequence[str]]:
    """By profile, its mandatory elements at the top."""
    found: dict[str, Sequence[str]] = {}
    for name in PACKAGES[guides]:
        with tarfile.open(GUIDES / f"{name}.tgz") as package:
            for member in package.getmembers():
                if member.name.startswith("package/StructureDefinition-") and (held := package.extractfile(member)):
                    definition = json.loads(held.read().decode("utf-8-sig"))
                    elements = definition.get("snapshot", {}).get("element", ())
                    found[definition["url"]] = [
                        element["path"].partition(".")[2]
                        for element in elements
                        if element["path"].count(".") == 1 and element.get("min") and "sliceName" not in element
                    ]
    return found


def report(jobs: Sequence[Job]) -> int:
    """Prints the caught share; returns how many were missed."""
    copies = broken(jobs)
    left = missed(copies)
    sys.stdout.write(f"\nBROKEN ON PURPOSE: {len(copies) - len(left)} of {len(copies)} caught\n")
    for name in left:
        sys.stdout.write(f"  MISSED {name}\n")
    return len(left)

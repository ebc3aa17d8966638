"""Runs policy cases, and says which criteria have no case for a status."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path

from pydantic import ValidationError

from service.cases.bundle import request_bundle
from service.cases.table import Case, CaseFile, Given
from service.catalog.registry import Registry
from service.determine.determiner import Determiner
from service.determine.request import Receipt
from service.errors import InvalidPolicy
from service.fhir.parse import StructureCheck
from service.pas.request import parse
from service.policy.case import Authorization, MemberId
from service.policy.dates import DatePeriod
from service.policy.determination import LineDetermination
from service.policy.finding import Status
from service.ports import LoadedPolicy
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case: `failures` is empty when everything was as wanted."""

    file: str
    note: str
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """What cases are run with: the real registry, rules and structure check."""

    registry: Registry
    determiner: Determiner
    check: StructureCheck
    settings: Settings


def read_cases(folder: Path) -> dict[str, CaseFile]:
    """Every file of cases in a policy folder. InvalidPolicy names the file and key that are wrong."""
    found: dict[str, CaseFile] = {}
    for path in sorted((folder / "tests" / "policies").glob("*.toml")):
        try:
            found[path.name] = CaseFile.model_validate(tomllib.loads(path.read_text()))
        except tomllib.TOMLDecodeError as error:
            raise InvalidPolicy(f"{path.name}: not TOML: {error}") from None
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors())
            raise InvalidPolicy(f"{path.name}: {faults}") from None
    return found


async def run_cases(bench: Bench, files: dict[str, CaseFile]) -> Sequence[CaseResult]:
    """Every case's result, then one failing result for each criterion and status that no case shows."""
    outcomes: list[CaseResult] = []
    for name, file in files.items():
        loaded = _policy(bench.registry, file.policy, name)
        shown: defaultdict[tuple[str, str], set[Status]] = defaultdict(set)
        for case in file.case:
            line = await determine_case(bench, loaded, file.given(case))
            for finding in line.findings:
                shown[(str(line.pathway), finding.criterion.id)].add(finding.status)
            outcomes.append(CaseResult(name, case.note, tuple(_failures(case, line))))
        outcomes += [CaseResult(name, "every status of every criterion", (gap,)) for gap in _gaps(loaded, shown)]
    return outcomes


async def determine_case(bench: Bench, loaded: LoadedPolicy, given: Given) -> LineDetermination:
    """The determination of a case's only line."""
    request = parse(
        request_bundle(given, loaded, bench.settings), bench.check, member_system=bench.settings.member_system
    )
    created = request.created.earliest()
    received = given.received or datetime.combine(created, time(12), UTC)

    async def on_file(policy_id: str) -> Sequence[Authorization]:
        return _on_file(policy_id, given.on_file_until)

    determination = await bench.determiner.determine(request, Receipt(received), on_file)
    return determination.lines[0]


def _on_file(policy_id: str, until: date | None) -> Sequence[Authorization]:
    if until is None:
        return ()
    return (
        Authorization("ON-FILE", policy_id, MemberId("CASE-0001"), DatePeriod(until.replace(month=1, day=1), until)),
    )


def _policy(registry: Registry, policy_id: str, file: str) -> LoadedPolicy:
    found = [loaded for loaded in registry.policies if loaded.policy.ref.id == policy_id]
    if not found:
        raise InvalidPolicy(f"{file}: no loaded policy is called {policy_id}.")
    return max(found, key=lambda loaded: loaded.policy.effective)


def _failures(case: Case, line: LineDetermination) -> Iterator[str]:
    if line.outcome.value != case.want_outcome:
        yield f"decided {line.outcome.value}, wanted {case.want_outcome}"
    statuses = {str(finding.criterion.id): finding.status.value for finding in line.findings}
    for criterion, wanted in case.want.items():
        if statuses.get(criterion) != wanted:
            yield f"{criterion} is {statuses.get(criterion)}, wanted {wanted}"
    for words in case.want_notes:
        if not any(words in note for note in line.notes):
            yield f"no note says: {words}"
    if case.want_period and (line.period is None or (line.period.start, line.period.end) != case.want_period):
        yield "the authorized period is another"


def _gaps(loaded: LoadedPolicy, shown: dict[tuple[str, str], set[Status]]) -> Iterator[str]:
    for pathway in loaded.policy.pathways.values():
        for criterion in pathway.criteria:
            for status in Status:
                if status not in shown.get((pathway.name, criterion.id), set()):
                    yield f"no case shows {criterion.id} as {status.value} on the {pathway.name} pathway"

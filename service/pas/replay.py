"""A stored case decided again: the same evidence, the same policy revision, the same state of our records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from service.determine.obstacles import House
from service.determine.request import Receipt
from service.fhir.json import content_hash
from service.pas.dependencies import PasDependencies
from service.pas.intake import bundle_of, receive
from service.pas.judge import determined
from service.pas.parties import parties_of
from service.pas.request import request_of
from service.pas.ruling import lines_json, read_basis
from service.policy.case import CaseId
from service.policy.match import Match, Named, match_policy
from service.policy.model import Policy, PolicyRef
from service.ports import LoadedPolicy, PolicyRegistry, Resource
from service.wire import read_json

Recall = Callable[[PolicyRef], Awaitable[LoadedPolicy | None]]
"""A revision that is not loaded any more, from what was kept of it; None when nothing was."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One entry of the trail. `differences` name lines and parts, never what they say; `why_not` a hindrance."""

    entry: int
    differences: tuple[str, ...] = ()
    why_not: str | None = None

    @property
    def same(self) -> bool:
        return not self.differences and self.why_not is None


@dataclass(frozen=True, slots=True)
class Pinned:
    """A registry that answers with exactly the revisions that decided, whatever has come into force since."""

    registry: PolicyRegistry
    refs: frozenset[PolicyRef]
    recalled: tuple[LoadedPolicy, ...] = ()
    """Revisions whose files are gone, from what was kept of them."""

    def match(self, named: Named, on: date) -> Match | None:
        found = self.registry.match(named, on) or match_policy((one.policy for one in self.recalled), named, on)
        if found is None:
            return None
        pinned = next((one.policy for one in self.all() if self._is_pinned(one, found)), None)
        return found if pinned is None else replace(found, revision=pinned)

    def loaded(self, policy: Policy) -> LoadedPolicy:
        recalled = next((one for one in self.recalled if one.policy.ref == policy.ref), None)
        return recalled or self.registry.loaded(policy)

    def all(self) -> Sequence[LoadedPolicy]:
        return (*self.recalled, *self.registry.all())

    def questionnaire(self, canonical: str) -> tuple[LoadedPolicy, Resource] | None:
        return self.registry.questionnaire(canonical)

    def _is_pinned(self, loaded: LoadedPolicy, found: Match) -> bool:
        return loaded.policy.ref in self.refs and loaded.policy.ref.id == found.policy_id


async def nothing_kept(_ref: PolicyRef) -> LoadedPolicy | None:
    """Of a store that keeps no revisions."""
    return None


async def replay(
    case_id: CaseId, dependencies: PasDependencies, recall: Recall = nothing_kept
) -> list[Replayed] | None:
    """Every determination by rules in the case's trail, made again; None when there is no such case."""
    entries = await dependencies.store.audit(case_id)
    if not entries:
        return None
    requests = await dependencies.store.requests(case_id)
    records = [(entry.sequence, read_json(entry.document.encode(), dependencies.settings)) for entry in entries]
    replayed: list[Replayed] = []
    later = 0
    for number, record in records:
        if not record.get("ruling"):
            continue
        # The first entry is of what was received first; each later ruling came with a request of its own.
        later += number > 1
        body = requests[min(later, len(requests) - 1)]
        again = await _again(number, record["ruling"], body, _Means(dependencies, recall))
        if not _is_input(body, record, dependencies):
            again = replace(again, differences=(*again.differences, "the stored request"))
        replayed.append(again)
    return replayed


def _is_input(body: bytes, record: Mapping[str, Any], dependencies: PasDependencies) -> bool:
    """Whether the stored request is what was decided on: as submitted, or with information that came later."""
    bundle = read_json(body, dependencies.settings)
    submitted = content_hash({"guide": record["guide_version"], "bundle": bundle}, without=("bundle.timestamp",))
    return record["input"] in {submitted, content_hash(bundle)}


@dataclass(frozen=True, slots=True)
class _Means:
    """What deciding again needs."""

    dependencies: PasDependencies
    recall: Recall


async def _again(number: int, ruling: Mapping[str, Any], body: bytes, means: _Means) -> Replayed:
    dependencies = means.dependencies
    refs = {_ref(line["policy"]) for line in ruling["lines"] if line["policy"]}
    lost = refs - {one.policy.ref for one in dependencies.registry.all()}
    recalled = [found for ref in sorted(lost, key=str) if (found := await means.recall(ref))]
    gone = sorted(f"{ref.id} {ref.version} ({ref.digest})" for ref in lost - {one.policy.ref for one in recalled})
    if gone:
        return Replayed(number, why_not=f"not loaded any more: {', '.join(gone)}")
    basis = read_basis(ruling)
    settings = dependencies.settings.model_copy(update=dict(basis.terms))
    received = receive(bundle_of(read_json(body, settings)), dependencies.check)
    request = request_of(received, parties_of(received, settings.member_system))
    decided = {line["sequence"] for line in ruling["lines"]}
    asked = replace(request, lines=tuple(line for line in request.lines if line.sequence in decided))
    as_then = replace(
        dependencies.determiner,
        registry=Pinned(dependencies.registry, frozenset(refs), tuple(recalled)),
        house=House((settings.payer_id_system, settings.payer_id), settings.trust_presented_coverage),
        response_max_age_days=settings.response_max_age_days,
    )
    receipt = Receipt(datetime.fromisoformat(ruling["at"]))
    again = await determined(asked, receipt, replace(dependencies, determiner=as_then, settings=settings), basis)
    return Replayed(number, tuple(_differences(ruling["lines"], lines_json(again.determination))))


def _ref(policy: Mapping[str, str]) -> PolicyRef:
    return PolicyRef(policy["id"], policy["version"], policy["digest"])


def _differences(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which parts of which lines are other than they were."""
    now = {line["sequence"]: line for line in after}
    found = [f"line {line['sequence']} is missing" for line in before if line["sequence"] not in now]
    return found + [
        f"line {line['sequence']}: {name}"
        for line in before
        for name in line
        if line["sequence"] in now and _plain(now[line["sequence"]].get(name)) != _plain(line[name])
    ]


def _plain(value: Any) -> Any:
    """As JSON would give it back: tuples are lists there."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value

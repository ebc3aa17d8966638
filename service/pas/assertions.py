"""What CRD said about the orders behind a request: its assertion ids, found again and kept with the lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from service.determine.asserted import coverage_key
from service.determine.request import PriorAuthRequest, RequestLine
from service.fhir.canonical import CRD_COVERAGE_INFORMATION, PAS_ITEM_TRACE_NUMBER
from service.pas.elements import extensions, object_of, text_of
from service.policy.case import Case, CaseLine, ClientId, MemberId
from service.ports import Assertion, Resource, Store

# What an id of ours may look like; anything else needs no question to the database.
_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
_MOST_PER_LINE: Final = 20
"""So many ids are looked up for a line: an order has one of ours for each coverage, and those of other payers."""


@dataclass(frozen=True, slots=True)
class Carried:
    """The assertions that lines carry, by sequence.

    `unknown` are lines whose CRD assertion ids are all none of ours to this client, for a coverage of this member.
    """

    found: Mapping[int, tuple[Assertion, ...]] = field(default_factory=dict)
    unknown: tuple[int, ...] = ()


async def carried_assertions(request: PriorAuthRequest, client: ClientId, store: Store) -> Carried:
    """Looks up what each line carries: first on its orders, then on its forms, then its trace number (pas.md 1.11).

    Only what was said to the same client, and for the member or where no member was known. Another payer's id
    is no fault; it is none of ours.
    """
    known: dict[str, Assertion | None] = {}
    found: dict[int, tuple[Assertion, ...]] = {}
    unknown: list[int] = []
    for line in request.lines:
        said = list(_said(line))
        ids = list(dict.fromkeys([*said, *_traced(line)]))[:_MOST_PER_LINE]
        for one in ids:
            if one not in known:
                known[one] = await store.assertion(one) if _ID.fullmatch(one) else None
        ours = [made for one in ids if (made := known[one]) and made.client == client and _is_about(made, request)]
        if ours:
            found[line.sequence] = tuple(ours)
        elif said:
            unknown.append(line.sequence)
    return Carried(found, tuple(unknown))


def with_assertions(case: Case, carried: Carried) -> Case:
    """The case with the assertion that each line rests on; lines keep what they had where nothing is carried now."""
    return replace(case, lines=tuple(_with_assertion(line, carried) for line in case.lines))


def assertion_record(case: Case, carried: Carried) -> Mapping[str, Any]:
    """For the audit trail: {"lines": {sequence: id}, "unknown": [sequence]}; ids that are not ours are not kept."""
    lines = {str(line.determination.sequence): line.assertion_id for line in case.lines if line.assertion_id}
    return {"lines": lines, "unknown": list(carried.unknown)}


def _with_assertion(line: CaseLine, carried: Carried) -> CaseLine:
    """The first assertion that is not about another policy's drug than the line."""
    policy = line.determination.policy
    for assertion in carried.found.get(line.determination.sequence, ()):
        if policy is None or assertion.policy_id in (None, policy.id):
            return replace(line, assertion_id=assertion.id)
    return line


def _said(line: RequestLine) -> Iterator[str]:
    """The assertion ids in the coverage-information of the line's orders and forms; both versions write it so."""
    orders: list[Resource] = [order.resource for order in line.orders if order.resource is not None]
    for resource in (*orders, *line.responses):
        for block in extensions(resource, CRD_COVERAGE_INFORMATION):
            for part in extensions(block, "coverage-assertion-id"):
                if assertion_id := text_of(part, "valueString"):
                    yield assertion_id


def _traced(line: RequestLine) -> Iterator[str]:
    for trace in extensions(line.item, PAS_ITEM_TRACE_NUMBER):
        if number := text_of(object_of(trace, "valueIdentifier") or {}, "value"):
            yield number


def _is_about(assertion: Assertion, request: PriorAuthRequest) -> bool:
    members = sorted(request.patient_member_ids | request.coverage_member_ids)
    keys = {coverage_key(assertion.coverage_reference, MemberId(member)) for member in members}
    return assertion.coverage_key in keys | {coverage_key(assertion.coverage_reference, None)}

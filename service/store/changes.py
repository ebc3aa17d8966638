"""What every store does alike: a changed case, and the names that a case is found by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from service.policy.case import Case, ClientId
from service.ports import CaseChange
from service.store.tables import lookup_key

ALIKE_LIMIT: Final = 50
"""So many assertions about the same content are looked at; nobody has more orders of one drug on hand."""


def changed_case(change: CaseChange) -> Case:
    """The case as it is stored by the change."""
    return replace(change.case, revision=change.expected + 1)


def names_of(case: Case) -> frozenset[str]:
    """All names of a case: its numbers; for its client its lines' traces, its Claim's fullUrl and identifiers."""
    claim = claim_names(case.client, case.claim_url or "", case.claim_identifiers)
    traces = (trace_name(case.client, line.trace) for line in case.lines if line.trace)
    return frozenset([*map(number_name, case.numbers), *traces, *claim])


def number_name(number: str) -> str:
    """Of an authorization, reference or control number."""
    return lookup_key("number", number)


def trace_name(client: ClientId, trace: str) -> str:
    """Of a client's own number for a line."""
    return lookup_key("trace", client, trace)


def claim_names(client: ClientId, full_url: str, identifiers: Sequence[str]) -> Iterator[str]:
    """Of a client's Claim: fullUrl first."""
    if full_url:
        yield lookup_key("claim-url", client, full_url)
    for identifier in identifiers:
        yield lookup_key("claim-identifier", client, identifier)

"""Which policy an order or a claim line falls under."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from service.errors import InvalidPolicy
from service.policy.model import DrugCode, Policy


@dataclass(frozen=True, slots=True)
class Named:
    """How an order or line names what is ordered: codes of systems we know, and the displays and texts beside them.

    `codes` are normalised (canonical system, code without hyphens or spaces, upper case). `by_code` says that
    they are billing codes (HCPCS, CPT or NDC), which alone decide what it is; then only those are in `codes`.
    """

    codes: frozenset[DrugCode]
    names: tuple[str, ...]
    by_code: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """The policy family that names the drug, and its revision in force on the date, if any."""

    policy_id: str
    title: str
    revision: Policy | None
    earliest: date


def names_drug(policy: Policy, named: Named) -> bool:
    """The code decides what it is; names count only where there is no HCPCS, CPT or NDC code."""
    if not named.codes.isdisjoint(policy.drug.codes):
        return True
    if named.by_code:
        return False
    words = [name.casefold() for name in policy.drug.names]
    return any(word in text.casefold() for text in named.names for word in words)


def match_policy(policies: Iterable[Policy], named: Named, on: date) -> Match | None:
    """The one policy for what is named. Two policies for one drug, or two revisions for one day, is an error."""
    named_by = [policy for policy in policies if names_drug(policy, named)]
    if not named_by:
        return None
    families = sorted({policy.ref.id for policy in named_by})
    if len(families) > 1:
        raise InvalidPolicy(f"Two policies cover one drug: {', '.join(families)}.")
    in_force = [policy for policy in named_by if policy.in_force(on)]
    if len(in_force) > 1:
        versions = ", ".join(sorted(policy.ref.version for policy in in_force))
        raise InvalidPolicy(f"Policy {families[0]} has two revisions in force on one day: {versions}.")
    latest = max(named_by, key=lambda policy: policy.effective)
    return Match(
        policy_id=families[0],
        title=latest.title,
        revision=in_force[0] if in_force else None,
        earliest=min(policy.effective for policy in named_by),
    )

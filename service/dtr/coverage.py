"""What the presented Coverage says: whether it is ours, and by which ids the member may be known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from service.dtr.request import Given
from service.errors import BusinessRule
from service.fhir.canonical import IDENTIFIER_TYPE, MEMBER_ID_TYPE_CODE
from service.policy.case import MemberId
from service.ports import Resource
from service.settings import Settings


def require_ours(coverage: Given, referenced: Iterable[Resource], settings: Settings) -> None:
    """BusinessRule when the payor's identifiers were sent and none of them is ours.

    A payor that cannot be read here is no fault: nothing obliges the client to send it (conf-12).
    """
    sent = tuple(referenced)
    known = {
        (identifier.get("system"), identifier.get("value"))
        for payor in coverage.resource.get("payor") or ()
        for identifier in _payor_identifiers(payor, coverage.resource, sent)
    }
    if known and (settings.payer_id_system, settings.payer_id) not in known:
        raise BusinessRule(
            f"The payor of {coverage.name} is not {settings.payer_name}. Send the coverage that we insure, "
            "or ask the payer that it names.",
            expression=(f"{coverage.expression}.payor",),
        )


def member_ids(coverage: Resource, settings: Settings) -> frozenset[MemberId]:
    """Identifiers of type MB or of our member system; without any, the subscriber id (the guides' examples do so)."""
    own = frozenset(
        MemberId(identifier["value"])
        for identifier in coverage.get("identifier") or ()
        if isinstance(identifier.get("value"), str)
        and (identifier.get("system") == settings.member_system or _is_member_number(identifier))
    )
    subscriber = coverage.get("subscriberId")
    return own or frozenset({MemberId(subscriber.strip())} if isinstance(subscriber, str) and subscriber else ())


def own_numbers(coverage: Resource, settings: Settings) -> frozenset[str]:
    """The coverage's ids in the payer's own system."""
    return frozenset(
        identifier["value"].strip()
        for identifier in coverage.get("identifier") or ()
        if identifier.get("system") == settings.coverage_system and isinstance(identifier.get("value"), str)
    )


def _payor_identifiers(
    payor: Mapping[str, Any], coverage: Resource, referenced: tuple[Resource, ...]
) -> Iterator[Mapping[str, Any]]:
    """Those of the Organization; the Reference's own counts only where there is no Organization to read."""
    reference = str(payor.get("reference", ""))
    local = reference.startswith("#")
    candidates = coverage.get("contained") or () if local else referenced
    wanted = reference[1:] if local else reference.rpartition("/")[2]
    organizations = [
        resource
        for resource in candidates
        if wanted and resource.get("resourceType") == "Organization" and resource.get("id") == wanted
    ]
    for organization in organizations:
        yield from organization.get("identifier") or ()
    if not organizations and isinstance(payor.get("identifier"), Mapping):
        yield payor["identifier"]


def _is_member_number(identifier: Mapping[str, Any]) -> bool:
    return any(
        (coding.get("system"), coding.get("code")) == (IDENTIFIER_TYPE, MEMBER_ID_TYPE_CODE)
        for coding in (identifier.get("type") or {}).get("coding") or ()
    )

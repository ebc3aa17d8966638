"""What a client's Subscription says: checked when it arrives, and read again whenever something is to be told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final
from urllib.parse import unquote

from service.ehr.address import Reach, server_within
from service.errors import BusinessRule, Fault
from service.fhir.canonical import (
    PAS_SUBSCRIPTION_TOPIC,
    PAS_TRANSMISSION_IDENTIFIERS,
    SUBSCRIPTION_FILTER,
    SUBSCRIPTION_PAYLOAD_CONTENT,
    split_canonical,
)
from service.fhir.parse import StructureCheck
from service.pas.elements import (
    Json,
    extension,
    extensions,
    identifier_of,
    identifiers,
    instant_of,
    listed,
    object_of,
    text_of,
)
from service.pas.intake import Received
from service.pas.shape import Version
from service.policy.case import ClientId
from service.ports import Resource, Subscription
from service.settings import Settings
from service.wire import FHIR_JSON

CONTENT: Final[dict[Version, str]] = {"2.2.1": "full-resource", "2.0.1": "id-only"}
"""What a notification holds: 2.2.1 profile-subscription; 2.0.1 SHALL id-only (pas.md 1.6)."""

# The 2.0.1 narrative, the topic's canFilterBy and the 2.2.1 narrative each spell it differently.
_FILTERS: Final = frozenset({"identifier", "orgIdentifier", "org-identifier"})
_MOST_FILTERS: Final = 20
_MOST_HEADERS: Final = 20
# RFC 9110 sections 5.1 and 5.5: a token, and a value that cannot end the header.
_HEADER: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}):[ \t]*([\x21-\x7e](?:[\x20-\x7e\t]{0,8000}))")
# These belong to the message or the connection, not to the subscriber.
_NOT_THEIRS: Final = frozenset(
    {"host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection", "te", "trailer"}
    | {"upgrade", "expect", "proxy-authorization", "proxy-connection", "keep-alive"}
)

Names = frozenset[tuple[str | None, str]]
"""(system or None, value) of everything that a request's sender is known by."""


def checked(body: object, check: StructureCheck, *, version: Version, reach: Reach) -> Json:
    """The Subscription of a body. InvalidResource when it is none, BusinessRule when it asks for what is not done."""
    resource = check.require(body, expected=frozenset({"Subscription"}))
    if split_canonical(str(resource.get("criteria")))[0] != PAS_SUBSCRIPTION_TOPIC:
        raise _refused("Subscription.criteria", f"must be the topic {PAS_SUBSCRIPTION_TOPIC}")
    _check_filters(resource)
    if "end" in resource and instant_of(resource["end"]) is None:
        raise _refused("Subscription.end", "must be an instant")
    channel = object_of(resource, "channel") or {}
    if channel.get("type") != "rest-hook":
        raise _refused("Subscription.channel.type", "must be rest-hook")
    if server_within(text_of(channel, "endpoint") or "", reach) is None:
        raise _refused(
            "Subscription.channel.endpoint",
            "must be an https address, without user, query or fragment, on a host that the payer registered for you",
        )
    if channel.get("payload") != FHIR_JSON:
        raise _refused("Subscription.channel.payload", f"must be {FHIR_JSON}")
    content = extension(object_of(channel, "_payload") or {}, SUBSCRIPTION_PAYLOAD_CONTENT)
    if content is None or content.get("valueCode") != CONTENT[version]:
        raise _refused("Subscription.channel.payload.extension", f"must ask for {CONTENT[version]} as its content")
    _check_headers(channel)
    return resource


def reach_of(client: ClientId, settings: Settings) -> Reach:
    """Where this client may be told: the hosts registered for every client, and those for this one."""
    split = (entry.rpartition("=") for entry in settings.subscriber_hosts)
    hosts = frozenset(host for owner, _, host in split if owner in {"", client})
    return Reach(hosts, settings.subscriber_private_addresses, settings.demo)


def headers_of(resource: Resource) -> list[tuple[str, str]]:
    """The subscriber's own headers, as written. They may be secrets: never log them."""
    written = (object_of(resource, "channel") or {}).get("header") or []
    found = (_HEADER.fullmatch(header) for header in written if isinstance(header, str))
    # White space around a value is none of it (RFC 9110 section 5.5).
    return [(match[1], match[2].rstrip()) for match in found if match]


def has_ended(subscription: Subscription, now: datetime) -> bool:
    """Whether its own end is past (R4 Subscription.end)."""
    end = instant_of(subscription.resource.get("end"))
    return end is not None and end <= now


def wants(subscription: Subscription, names: Names) -> bool:
    """Whether a request of a sender so named is one that it asked for: one value of every filter fits."""
    filters = _filters(subscription.resource)
    return bool(filters) and all(any(_fits(value, names) for value in values) for values in filters)


def sender_names(received: Received) -> Names:
    """The requesting organization's identifiers, and the sender codes of the transmission (pas.md 1.6)."""
    return frozenset(_organization(received)) | frozenset(_transmission(received.claim))


def _organization(received: Received) -> Iterator[tuple[str | None, str]]:
    reference = object_of(received.claim, "provider")
    within = received.claim
    for _ in range(2):
        if reference is None:
            return
        logical = identifier_of(reference)
        if logical is not None:
            yield logical
        found = received.entries.resolve(reference, within=within, by_identifier=True)
        if found is None:
            return
        if found.get("resourceType") == "Organization":
            yield from ((system, value) for _, system, value in identifiers(found))
        # A role stands for its organization.
        reference, within = object_of(found, "organization"), found


def _transmission(claim: Json) -> Iterator[tuple[str | None, str]]:
    for part in listed(extension(claim, PAS_TRANSMISSION_IDENTIFIERS) or {}, "extension"):
        value = text_of(part, "valueString")
        if value and part.get("url") in {"applicationSenderCode", "interchangeSenderID"}:
            # X12 pads these to a fixed length.
            yield None, value.strip()


def _fits(wanted: str, names: Names) -> bool:
    system, bar, value = wanted.rpartition("|")
    if not bar:
        return any(value == name for _, name in names)
    return (system or None, value) in names


def _filters(resource: Resource) -> list[list[str]]:
    """The values of each filter: one filter's are alternatives, all filters have to hold."""
    written = [one.get("valueString") for one in extensions(_criteria(resource), SUBSCRIPTION_FILTER)]
    return [_values(text.partition("=")[2]) for text in written if isinstance(text, str)]


def _values(text: str) -> list[str]:
    return [value for part in text.split(",") if (value := unquote(part).strip())]


def _criteria(resource: Resource) -> Json:
    return object_of(resource, "_criteria") or {}


def _check_filters(resource: Json) -> None:
    place = "Subscription.criteria.extension"
    written: Sequence[Json] = listed(_criteria(resource), "extension")
    if not written:
        raise _refused(place, "must name your organization, for example org-identifier=1234567893")
    if len(written) > _MOST_FILTERS:
        raise _refused(place, f"has more than {_MOST_FILTERS} filters")
    for one in written:
        name, _, values = str(one.get("valueString")).partition("=")
        if one.get("url") != SUBSCRIPTION_FILTER or name not in _FILTERS or not _values(values):
            raise _refused(place, "must be a filter like org-identifier=1234567893")


def _check_headers(channel: Json) -> None:
    place = "Subscription.channel.header"
    headers = channel.get("header") or []
    if len(headers) > _MOST_HEADERS:
        raise _refused(place, f"has more than {_MOST_HEADERS} headers")
    for header in headers:
        found = _HEADER.fullmatch(header) if isinstance(header, str) else None
        if found is None or found[1].lower() in _NOT_THEIRS:
            raise _refused(place, 'must be headers of your own like "Authorization: Bearer ..."')


def _refused(expression: str, problem: str) -> BusinessRule:
    fault = Fault(expression, problem, "business-rule")
    return BusinessRule(f"{expression} {problem}.", expression=(expression,), faults=(fault,))

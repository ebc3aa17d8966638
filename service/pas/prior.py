"""The case that an update is about: Claim.related, resolved among the cases of the same client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.fhir.canonical import RELATED_CLAIM_RELATIONSHIP
from service.pas.elements import Json, codings, identifier_of, identifiers, listed, object_of, text_of
from service.pas.intake import Received
from service.policy.case import Case, CaseId, ClientId
from service.ports import Store

# 2.2.1 says "prior"; the narrative of 2.0.1 says "replaces" (pas.md 1.4).
_CHANGES = frozenset({"prior", "replaces"})


@dataclass(frozen=True, slots=True)
class Named:
    """What a related claim is called: full URLs, the ids that they end in, and "system|value" identifiers."""

    urls: tuple[str, ...]
    ids: tuple[str, ...]
    identifiers: tuple[str, ...]
    numbers: tuple[str, ...]


def named_prior(received: Received) -> Named | None:
    """What the Claim says that it changes; None when it is no update."""
    related = [one for one in listed(received.claim, "related") if _is_change(one)]
    if not related:
        return None
    urls, names, numbers = [], [], []
    for one in related:
        reference = object_of(one, "claim") or {}
        held = received.entries.resolve(reference, within=received.claim, by_identifier=True)
        urls += list(_urls(reference, held, received))
        names += list(_identifiers(reference, held))
        case_number = object_of(one, "reference") or {}
        numbers += [value] if (value := text_of(case_number, "value")) else []
    ids = [text.rstrip("/").rpartition("/")[2] for text in urls]
    return Named(tuple(urls), tuple(filter(None, [*ids, *numbers])), tuple(names), tuple(numbers))


async def prior_case(named: Named, client: ClientId, store: Store) -> Case | None:
    """The current version of what is meant: by our own id, else the newest by fullUrl, identifier, or number.

    Identifiers and fullUrls repeat in practice (pas.md trap 10), and a client may name its own Claim or the id
    that we gave (trap 11), so all of them are tried, among the cases of this client only.
    """
    for name in named.ids:
        found = await _current(CaseId(name), store)
        if found is not None and found.client == client:
            return found
    for url in named.urls:
        found = await store.case_for_claim(client, url, ())
        if found is not None:
            return found
    found = await store.case_for_claim(client, "", named.identifiers)
    if found is not None:
        return found
    for number in named.numbers:
        found = await store.case_by_number(number)
        if found is not None and found.client == client:
            return found
    return None


async def current_version(case: Case, store: Store) -> Case:
    """The end of the chain that the case is in."""
    while case.replaced_by is not None:
        later = await store.case(case.replaced_by)
        if later is None:
            break
        case = later[0]
    return case


async def _current(case_id: CaseId, store: Store) -> Case | None:
    found = await store.case(case_id)
    return None if found is None else await current_version(found[0], store)


def _is_change(related: Json) -> bool:
    """A relationship that is not said, or not in the guide's code system, is taken for a change: it is safer."""
    said = codings(related.get("relationship"))
    known = {code for system, code in said if system == RELATED_CLAIM_RELATIONSHIP}
    return ("claim" in related or "reference" in related) and (not known or bool(known & _CHANGES))


def _urls(reference: Json, held: Json | None, received: Received) -> Iterator[str]:
    full_url = received.entries.full_url_of(held) if held is not None else None
    yield from (url for url in (full_url, text_of(reference, "reference")) if url)


def _identifiers(reference: Json, held: Json | None) -> Iterator[str]:
    logical = identifier_of(reference)
    if logical is not None:
        yield f"{logical[0] or ''}|{logical[1]}"
    if held is not None and held.get("resourceType") == "Claim":
        yield from (f"{system or ''}|{value}" for _, system, value in identifiers(held))

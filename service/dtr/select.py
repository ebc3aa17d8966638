"""Which forms answer a request: by order, by canonical and by context, each version once (2.2.0 oper-7 to oper-9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from service.determine.determiner import has_renewable
from service.dtr.coverage import member_ids, own_numbers
from service.dtr.order import Ordered, is_order, ordered, reference_to, requested_start
from service.dtr.pended import waiting_line
from service.dtr.request import Given, PackageRequest
from service.dtr.shelf import Content, Shelf
from service.errors import InvalidPolicy, NotFound
from service.fhir.build import Json
from service.fhir.canonical import split_canonical, versioned
from service.fhir.outcome import issue
from service.form.adaptive import adaptive_url
from service.policy.case import CaseLine, MemberId
from service.policy.membership import Missing, NoMember, Presented
from service.policy.model import INITIAL, RENEWAL, Policy
from service.ports import Assertion, Caller, MemberDirectory, PolicyRegistry, Store
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Sources:
    """Where forms are looked up."""

    registry: PolicyRegistry
    store: Store
    settings: Settings
    shelf: Shelf
    members: MemberDirectory | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """A form to send, and the References to the orders that it is for."""

    content: Content
    orders: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """All forms to send, and what the client must know about those that are not sent."""

    forms: tuple[Chosen, ...]
    issues: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class _Said:
    """What a context stands for: the form that we named, for which policy, and the order where we know it."""

    policy_id: str | None
    questionnaire: str | None
    order_reference: str | None


@dataclass
class _Picks:
    contents: list[Content] = field(default_factory=list)
    orders: dict[int, list[Given]] = field(default_factory=dict)
    issues: list[Json] = field(default_factory=list)

    def take(self, content: Content, order: Given | None = None) -> None:
        if content not in self.contents:
            self.contents.append(content)
        place = self.contents.index(content)
        self.orders.setdefault(place, [])
        if order is not None:
            self.orders[place].append(order)


async def choose_forms(request: PackageRequest, caller: Caller, sources: Sources, today: date) -> Choice:
    """The union over order, questionnaire and context.

    NotFound when the context is neither an assertion of ours to this client (2.2.0 spec-130) nor names a line of a
    case of this client that waits. A canonical that we do not have, and an order that needs no form, are remarks.
    """
    said = await _said(request, caller, sources)
    picks = _Picks()
    for order in request.orders:
        await _by_order(order, request, said, sources, today, picks)
    if said is not None and not request.orders:
        _by_context(said, sources, picks)
    for asked in request.forms:
        content = sources.shelf.content(asked.canonical)
        if content is None:
            text = f"{asked.name} is no form of ours in that version. Ask by order instead, or leave out the version."
            picks.issues.append(issue("warning", "not-found", text, (asked.expression,)))
        else:
            picks.take(content)
    forms = tuple(
        Chosen(content, _references(picks.orders[place] or list(request.orders), said))
        for place, content in enumerate(picks.contents)
    )
    return _distinct(forms, picks.issues)


def _distinct(forms: tuple[Chosen, ...], issues: list[Json]) -> Choice:
    """Of several versions of one form, each for orders of its own; what is left without one is a remark (oper-7)."""
    kept: list[Chosen] = []
    remarks = list(issues)
    for chosen in forms:
        rivals = [each for each in kept if each.content.url == chosen.content.url]
        theirs = [order for each in rivals for order in each.orders]
        left = tuple(order for order in chosen.orders if order not in theirs)
        if left or not rivals:
            kept.append(replace(chosen, orders=left))
        else:
            text = (
                f"{versioned(chosen.content.url, chosen.content.version)} was left out: version "
                f"{rivals[0].content.version} of it is sent for the same order. Ask for one version, or for each "
                "version with its own order."
            )
            remarks.append(issue("warning", "multiple-matches", text))
    return Choice(tuple(kept), tuple(remarks))


async def _said(request: PackageRequest, caller: Caller, sources: Sources) -> _Said | None:
    if request.context is None:
        return None
    assertion = await _own_assertion(request.context, caller, sources.store)
    if assertion is not None:
        return _Said(assertion.policy_id, assertion.questionnaire, assertion.order_reference)
    line = await waiting_line(request.context, caller.client, sources.store)
    if line is not None:
        return await _asked_by(line, caller, sources)
    raise NotFound(
        "The context is neither a coverage-assertion-id that we gave to this client nor the number of a line that "
        "waits for its form. Send the id from the order's coverage-information or the context of our Task, or leave "
        "context out and send the order.",
        expression=("Parameters.parameter.where(name='context')",),
    )


async def _own_assertion(assertion_id: str | None, caller: Caller, store: Store) -> Assertion | None:
    assertion = await store.assertion(assertion_id) if assertion_id else None
    return assertion if assertion is not None and assertion.client == caller.client else None


async def _asked_by(line: CaseLine, caller: Caller, sources: Sources) -> _Said:
    """What the Task of a pended line asks for: the form that the line was read by."""
    found = line.determination
    assertion = await _own_assertion(line.assertion_id, caller, sources.store)
    order = assertion.order_reference if assertion else None
    if found.policy is None or found.pathway is None:
        return _Said(None, None, order)
    policies = [loaded.policy for loaded in sources.registry.all() if found.policy == loaded.policy.ref]
    pathways = [policy.pathways[found.pathway] for policy in policies]
    forms = [sources.shelf.content(versioned(p.questionnaire, p.questionnaire_version)) for p in pathways]
    chosen = [_preferred(form, sources) for form in forms if form]
    return _Said(found.policy.id, versioned(chosen[0].url, chosen[0].version) if chosen else None, order)


async def _by_order(
    order: Given,
    request: PackageRequest,
    said: _Said | None,
    sources: Sources,
    today: date,
    picks: _Picks,
) -> None:
    if not is_order(order.resource):
        text = f"{order.name} is of a type that is no order here. Send a request such as a MedicationRequest."
        picks.issues.append(issue("warning", "not-supported", text, (order.expression,)))
        return
    what = ordered(order.resource, request.referenced)
    start = requested_start(order.resource, today)
    match = sources.registry.match(what.named, start)
    if match is None:
        picks.issues.append(_no_form(order, what, sources.settings))
    elif match.revision is None:
        text = (
            f"No revision of the {match.title} policy is in force on the day from which {order.name} asks: "
            f"the policy takes effect on {match.earliest.isoformat()}. There is no form for that day."
        )
        picks.issues.append(issue("warning", "business-rule", text, (order.expression,)))
    else:
        content = _named(said, match.policy_id, sources.shelf)
        picks.take(content or await _for_policy(match.revision, start, request, sources), order)


def _no_form(order: Given, what: Ordered, settings: Settings) -> Json:
    """Why an order gets no form, and what to do if one was expected (2.2.0 oper-8)."""
    if what.unread:
        text = (
            f"{order.name} refers to a Medication that was not sent, so what it orders is not known. "
            "Contain the Medication in the order, or send it as a parameter named referenced."
        )
        return issue("warning", "not-found", text, (f"{order.expression}.medication",))
    if not (what.named.codes or what.named.names):
        text = f"{order.name} does not name what it orders. Send the order with a code."
        return issue("warning", "required", text, (order.expression,))
    text = (
        f"No form is needed for {order.name}: no policy of ours asks for documentation of what it orders. "
        f"If documentation was asked for earlier, the order has changed since, or call {settings.payer_phone}."
    )
    return issue("information", "informational", text, (order.expression,))


async def _for_policy(policy: Policy, start: date, request: PackageRequest, sources: Sources) -> Content:
    """The renewal form when an authorization on file allows a renewal from that start; else the initial one."""
    renewal = policy.pathways.get(RENEWAL)
    pathway = policy.pathways[INITIAL]
    if renewal is not None and await _on_file(policy, start, request, sources):
        pathway = renewal
    canonical = versioned(pathway.questionnaire, pathway.questionnaire_version)
    content = sources.shelf.content(canonical)
    if content is None:
        raise InvalidPolicy(f"Policy {policy.ref.id} names a form that is not loaded.")
    return _preferred(content, sources)


def _preferred(content: Content, sources: Sources) -> Content:
    """The form as the payer wants it answered: its adaptive twin by the setting."""
    if not sources.settings.adaptive_forms:
        return content
    return sources.shelf.content(versioned(adaptive_url(content.url), content.version)) or content


async def _on_file(policy: Policy, start: date, request: PackageRequest, sources: Sources) -> bool:
    members: set[MemberId] = set()
    for coverage in request.coverages:
        members |= member_ids(coverage.resource, sources.settings)
    for member in sorted(members):
        if not await _is_known(member, start, request, sources):
            continue
        if has_renewable(await sources.store.authorizations(member, policy.ref.id), policy, start):
            return True
    return False


async def _is_known(member: MemberId, start: date, request: PackageRequest, sources: Sources) -> bool:
    """Whether the directory, where one is loaded, knows the member and the coverage.

    A coverage that has ended does not change the form: the authorization is the member's all the same.
    """
    if sources.members is None:
        return True
    numbers = frozenset(number for c in request.coverages for number in own_numbers(c.resource, sources.settings))
    verdict = await sources.members.find(Presented(member, numbers), start)
    return not isinstance(verdict, NoMember) or verdict.reason is Missing.NO_ACTIVE_COVERAGE


def _named(said: _Said | None, policy_id: str, shelf: Shelf) -> Content | None:
    """The form that CRD or a Task named, if the order still falls under the same policy (2.2.0 prof-1, spec-128)."""
    if said is None or said.questionnaire is None or said.policy_id != policy_id:
        return None
    return _current(said.questionnaire, shelf)


def _by_context(said: _Said, sources: Sources, picks: _Picks) -> None:
    content = _current(said.questionnaire, sources.shelf) if said.questionnaire else None
    if content is not None:
        picks.take(content)
        return
    text = (
        "The context was given without a form, or with one that is no longer in use: no documentation is needed "
        f"for it now. If you expected a form, send the order, or call {sources.settings.payer_phone}."
    )
    picks.issues.append(issue("information", "informational", text))


def _current(canonical: str, shelf: Shelf) -> Content | None:
    """The form in the version that was named, else its newest one."""
    return shelf.content(canonical) or shelf.content(split_canonical(canonical)[0])


def _references(orders: list[Given], said: _Said | None) -> tuple[Mapping[str, Any], ...]:
    found = [reference for order in orders if (reference := reference_to(order.resource))]
    # An order that had no id when it was asked about is told by its type alone, to which nothing can refer.
    if not orders and said is not None and said.order_reference is not None and "/" in said.order_reference:
        found = [{"reference": said.order_reference}]
    return tuple(found)

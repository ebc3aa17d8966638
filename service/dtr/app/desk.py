"""What a user does with an open form: look, check, save, send. Every origin and every verdict is made here."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, Protocol

from service.dtr.app.claim import Numbers, request_bundle
from service.dtr.app.context import read_context
from service.dtr.app.criteria import CriterionState, criteria
from service.dtr.app.decision import Decision, read_decision
from service.dtr.app.documents import Attached, from_file, from_record, with_document, without_document
from service.dtr.app.drafts import save
from service.dtr.app.opening import Forms, Opened, Opener
from service.dtr.app.order_status import with_decision
from service.dtr.app.records import open_orders
from service.dtr.app.sessions import Sessions, Visit
from service.dtr.app.stamping import stamped
from service.ehr.smart import Granted, SmartLaunch
from service.ehr.writing import WritingEhr, WritingEhrs
from service.errors import Conflict, EhrUnavailable, InvalidResource, NotFound
from service.fhir.build import Json
from service.form.validate import ERROR, validate
from service.policy.case import ClientId
from service.ports import Caller, Clock, Evaluator, Ids, Resource

_log = logging.getLogger(__name__)
_REFRESH_BEFORE: Final = timedelta(seconds=30)
UNKNOWN_CLIENT: Final = "dtr-app"
NOT_SAVED: Final = "The EHR did not take the answers: they are kept here until you leave, and were not saved there."


class Payer(Protocol):
    """Where requests go: Claim/$submit. Raises PayerRefused or EhrUnavailable."""

    async def submit(self, request: Json) -> Json: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the desk needs of the world around it."""

    launch: SmartLaunch
    ehrs: WritingEhrs
    opener: Opener
    evaluator: Evaluator
    payer: Payer
    sessions: Sessions
    clock: Clock
    ids: Ids


@dataclass(frozen=True, slots=True)
class Checked:
    """Answers as they stand: with origins, and under the policy's criteria.

    `faults` are linkId, question and what is wrong; `unanswered` the linkIds of required questions left open.
    """

    items: tuple[Json, ...]
    criteria: tuple[CriterionState, ...]
    faults: tuple[tuple[str, str, str], ...]
    unanswered: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a request: nothing was sent while `decision` is None. `notices` are for the user."""

    checked: Checked
    decision: Decision | None = None
    notices: tuple[str, ...] = ()


class Desk:
    """The use cases of the app; what is remembered is in the sessions."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self.sessions = around.sessions

    async def arrive(self, granted: Granted, browser: str | None) -> Visit:
        """After the callback: a visit, with the form open when the launch says for which order."""
        context = read_context(granted.fhir_context, granted.app_context)
        visit = self.sessions.begin(granted, context, browser)
        if context.order is None:
            return visit
        return await self._open(visit)

    async def orders(self, visit: Visit) -> tuple[Resource, ...]:
        """The orders to pick from when the launch names none."""
        visit, ehr = await self._ehr(visit)
        return await open_orders(ehr, visit.granted.patient)

    async def pick(self, visit: Visit, order: str) -> Visit:
        """Goes on with one order of the patient."""
        return await self._open(replace(visit, context=replace(visit.context, order=order)))

    async def pick_form(self, visit: Visit, form: str) -> Visit:
        """Goes on with one of the order's forms."""
        if form not in {canonical for canonical, _ in visit.forms}:
            raise NotFound("This is none of the forms for the order.")
        return await self._open(replace(visit, context=replace(visit.context, questionnaire=form)))

    async def check(self, visit: Visit, posted: Sequence[Any]) -> Checked:
        """The answers now, stamped and judged; nothing is kept."""
        return await self._checked(_form(visit), posted)

    async def save_draft(self, visit: Visit, posted: Sequence[Any]) -> Visit:
        """Saves an unfinished form to the EHR. Conflict when a colleague saved meanwhile, EhrUnavailable."""
        opened = _form(visit)
        items = self._stamped(opened, posted)
        visit, ehr = await self._ehr(visit)
        draft = await save(ehr, self._response(opened, items, "in-progress"), opened.draft)
        visit = replace(visit, opened=replace(opened, items=items, draft=draft))
        self.sessions.keep(visit)
        return visit

    async def submit(self, visit: Visit, posted: Sequence[Any], *, incomplete: bool) -> Submitted:
        """Sends the request. Not while an answer is wrong; with open ones only when `incomplete` is set."""
        opened = _form(visit)
        checked = await self._checked(opened, posted)
        if checked.faults or (checked.unanswered and not incomplete):
            return Submitted(checked)
        visit, ehr = await self._ehr(visit)
        notices: list[str] = []
        response = self._response(opened, checked.items, "completed")
        ids, draft = self._around.ids, opened.draft
        numbers = Numbers(ids.new(), ids.new(), ids.new(), self._around.clock.now())
        # What the EHR lacks for a request is told before anything is written there.
        request_bundle(opened, {**response, "id": ids.new()}, numbers, visit.attached)
        try:
            draft = await save(ehr, response, draft)
        except EhrUnavailable:
            notices.append(NOT_SAVED)
        response = {**response, "id": draft.resource["id"] if draft else ids.new()}
        opened = replace(opened, items=checked.items, draft=draft)
        visit = replace(visit, opened=opened)
        self.sessions.keep(visit)
        request = request_bundle(opened, response, numbers, visit.attached)
        decision = read_decision(await self._around.payer.submit(request))
        self.sessions.keep(replace(visit, decision=decision))
        await _tell_order(ehr, opened, decision, numbers)
        return Submitted(checked, decision, tuple(notices))

    async def add_record(self, visit: Visit, reference: str) -> tuple[Attached, ...]:
        """Adds one of the chart's documents to the request; all of them. NotFound, MissingElement, TooLarge."""
        offered = {offer.reference for offer in _form(visit).offers}
        if reference not in offered:
            raise NotFound("This is none of the documents that were offered.")
        visit, ehr = await self._ehr(visit)
        added = await from_record(ehr, visit.granted.patient, reference)
        self.sessions.attach(visit.id, lambda held: with_document(held, added))
        return self.sessions.attached(visit.id)

    def add_file(self, visit: Visit, name: Any, data: Any) -> tuple[Attached, ...]:
        """Adds a file (base64) to the request; all documents. InvalidResource, TooLarge."""
        opened, around = _form(visit), self._around
        about = (opened.matter.patient, opened.author)
        added = from_file(name, data, about, (around.ids.new(), around.clock.now()))
        self.sessions.attach(visit.id, lambda held: with_document(held, added))
        return self.sessions.attached(visit.id)

    def remove_document(self, visit: Visit, reference: str) -> tuple[Attached, ...]:
        """Takes a document off the request; those that are left."""
        self.sessions.attach(visit.id, lambda held: without_document(held, reference))
        return self.sessions.attached(visit.id)

    async def leave(self, visit: Visit) -> None:
        """Logs out: the visit ends here, and its tokens at the EHR where it takes them back."""
        self.sessions.end(visit)
        await self._around.launch.revoke(visit.granted)

    def response(self, visit: Visit) -> Json:
        """What stands in the form, as a response in progress."""
        opened = _form(visit)
        return self._response(opened, opened.items, "in-progress")

    async def states(self, visit: Visit) -> tuple[CriterionState, ...]:
        """The criteria under what stands in the form."""
        opened, around = _form(visit), self._around
        return await criteria(opened, self.response(visit), around.evaluator, around.clock.now())

    async def _open(self, visit: Visit) -> Visit:
        visit, ehr = await self._ehr(visit)
        granted = visit.granted
        client = granted.issuer.client or UNKNOWN_CLIENT
        caller = Caller(ClientId(client), frozenset())
        opened = await self._around.opener.open(ehr, granted.patient, granted.user, visit.context, caller)
        found = {"forms": opened.offered} if isinstance(opened, Forms) else {"opened": opened}
        visit = replace(visit, **found)
        self.sessions.keep(visit)
        return visit

    async def _ehr(self, visit: Visit) -> tuple[Visit, WritingEhr]:
        """The EHR with a token that still works."""
        granted = visit.granted
        if granted.tokens.expires_at - self._around.clock.now() < _REFRESH_BEFORE:
            granted = replace(granted, tokens=await self._around.launch.refresh(granted))
            visit = replace(visit, granted=granted)
            self.sessions.keep(visit)
        return visit, self._around.ehrs.open(granted.issuer.iss, granted.tokens.access)

    def _stamped(self, opened: Opened, posted: Sequence[Any]) -> tuple[Json, ...]:
        return tuple(stamped(opened.questionnaire, opened.items, posted, opened.author))

    async def _checked(self, opened: Opened, posted: Sequence[Any]) -> Checked:
        items = self._stamped(opened, posted)
        response = self._response(opened, items, "completed")
        found = validate(opened.form, response, attested=opened.loaded.policy.attested)
        errors = [(each.link_id, each) for each in found if each.severity == ERROR and each.link_id is not None]
        questions = opened.form.questions
        left = tuple(str(link_id) for link_id, each in errors if each.code == "required")
        faults = tuple(
            (str(link_id), questions[link_id].text, each.text)
            for link_id, each in errors
            if link_id in questions and link_id not in left
        )
        around = self._around
        states = await criteria(opened, response, around.evaluator, around.clock.now())
        return Checked(items, states, faults, left)

    def _response(self, opened: Opened, items: Sequence[Json], status: str) -> Json:
        """The response as it leaves here: about whom and what the package said, by whom, now."""
        kept = {name: value for name, value in opened.skeleton.items() if name not in ("item", "id")}
        held = {"id": opened.draft.resource["id"]} if opened.draft else {}
        return {
            **kept,
            **held,
            "status": status,
            "authored": self._around.clock.now().isoformat(timespec="seconds"),
            "author": dict(opened.author),
            **({"item": list(items)} if items else {}),
        }


async def _tell_order(ehr: WritingEhr, opened: Opened, decision: Decision, numbers: Numbers) -> None:
    """The decision onto the order in the EHR, where the token allows it."""
    order = with_decision(opened.matter.order, decision, numbers.made_at)
    if order is None:
        return
    try:
        version = (opened.matter.order.get("meta") or {}).get("versionId")
        await ehr.update(order, version)
    except (EhrUnavailable, Conflict):
        _log.info("the EHR did not take the decision onto the order")


def posted_items(body: Any) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The items of a posted response and the whole body; InvalidResource when it is no such thing."""
    if not isinstance(body, Mapping) or not isinstance(body.get("item", []), list):
        raise InvalidResource("The answers could not be read. Reload the page and try again.")
    return body.get("item", []), body


def _form(visit: Visit) -> Opened:
    if visit.opened is None:
        raise Conflict("Pick an order and its form first.")
    return visit.opened

"""What a user does with an open form: look, check, save, send. Every origin and every verdict is made here."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, Protocol

from service.dtr.app.asking import asked_next
from service.dtr.app.claim import request_bundle
from service.dtr.app.claim_parts import Numbers
from service.dtr.app.context import read_context
from service.dtr.app.criteria import CriterionState, criteria
from service.dtr.app.decision import Decision, read_decision
from service.dtr.app.documents import Attached, from_file, from_record, with_document, without_document
from service.dtr.app.draft_documents import (
    kept_in_ehr,
    read_documents,
    take_back,
    with_documents,
    without_contained,
)
from service.dtr.app.drafts import Draft, save
from service.dtr.app.opening import Forms, Opened, Opener
from service.dtr.app.order_status import with_decision
from service.dtr.app.prior import ADDED, SECOND, Requests, as_update
from service.dtr.app.records import open_orders
from service.dtr.app.sessions import Sessions, Visit
from service.dtr.app.stamping import partial_dates, stamped
from service.dtr.shelf import Shelf
from service.ehr.smart import Granted, SmartLaunch
from service.ehr.writing import WritingEhr, WritingEhrs
from service.errors import Conflict, EhrUnavailable, InvalidResource, NotFound
from service.fhir.build import Json
from service.form.answers import read_answers
from service.form.enable import is_enabled
from service.form.questionnaire import read_form
from service.form.validate import ERROR, validate
from service.policy.case import ClientId
from service.policy.model import LinkId
from service.ports import Caller, Clock, Evaluator, Ids, Resource

_log = logging.getLogger(__name__)
_REFRESH_BEFORE: Final = timedelta(seconds=30)
UNKNOWN_CLIENT: Final = "dtr-app"
NOT_SAVED: Final = "The EHR did not take the answers: they are kept here until you leave, and were not saved there."
DOCUMENTS_LEFT_OUT: Final = "The EHR did not take the documents with the draft: they are kept here until you leave."
_LOST: Final = "{0} of the draft's documents could not be read again. Add what is missing once more."


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
    shelf: Shelf
    requests: Requests


@dataclass(frozen=True, slots=True)
class Posted:
    """What came from the form's page: items of a response, and the linkIds whose partial date is to be left out."""

    items: Sequence[Any]
    dropped: frozenset[str] = frozenset()


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
    """What became of a request: nothing was sent while `decision` is None. `notices` are for the user.

    `more` says that an adaptive form has further questions, which are on the screen when it is drawn anew.
    """

    checked: Checked
    decision: Decision | None = None
    notices: tuple[str, ...] = ()
    more: bool = False


class Desk:
    """The use cases of the app; what is remembered is in the sessions."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self.sessions = around.sessions

    async def arrive(self, granted: Granted, browser: str | None) -> Visit:
        """After the callback: a visit, with the form open when the launch says for which order."""
        context = read_context(granted.fhir_context, granted.app_context)
        visit = await self.sessions.begin(granted, context, browser)
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

    async def check(self, visit: Visit, posted: Posted) -> Checked:
        """The answers now, stamped and judged; nothing is kept."""
        return await self._checked(_form(visit), posted)

    async def save_draft(self, visit: Visit, posted: Posted) -> tuple[str, ...]:
        """Saves an unfinished form with its documents to the EHR; what the user must know.

        Conflict when a colleague saved meanwhile, EhrUnavailable.
        """
        opened = _form(visit)
        items = self._stamped(opened, posted)
        visit, ehr = await self._ehr(visit)
        documents = await self._kept_documents(visit, ehr)
        response = self._response(opened, items, "in-progress")
        notices: tuple[str, ...] = ()
        try:
            draft = await save(ehr, with_documents(response, documents), opened.draft)
        except EhrUnavailable:
            held = [each for each in documents if each.in_ehr]
            if len(held) == len(documents):
                raise
            draft = await save(ehr, with_documents(response, held), opened.draft)
            notices = (DOCUMENTS_LEFT_OUT,)
        await take_back(ehr, opened.draft.resource if opened.draft else None, documents)
        await self.sessions.keep(replace(visit, opened=replace(opened, items=items, draft=_light(draft))))
        return notices

    async def ask_next(self, visit: Visit, posted: Posted) -> Checked:
        """Asks an adaptive form's next questions, unless an answer is wrong or missing."""
        opened = _form(visit)
        checked = await self._checked(opened, posted)
        if not (checked.faults or checked.unanswered):
            await self.sessions.keep(replace(visit, opened=self._asked_next(opened, checked.items)))
        return checked

    async def submit(self, visit: Visit, posted: Posted, *, incomplete: bool) -> Submitted:
        """Sends the request. Not while an answer is wrong; with open ones only when `incomplete` is set."""
        opened = _form(visit)
        checked = await self._checked(opened, posted)
        if checked.faults or (checked.unanswered and not incomplete):
            return Submitted(checked)
        if opened.asking and not incomplete:
            opened = self._asked_next(opened, checked.items)
            if opened.asking and not opened.asking.complete:
                await self.sessions.keep(replace(visit, opened=opened))
                return Submitted(checked, more=True)
        visit, ehr = await self._ehr(visit)
        return await self._send(visit, ehr, opened, checked)

    async def _send(self, visit: Visit, ehr: WritingEhr, opened: Opened, checked: Checked) -> Submitted:
        notices: list[str] = []
        response = self._response(opened, checked.items, "completed")
        ids, draft = self._around.ids, opened.draft
        numbers = Numbers(ids.new(), ids.new(), ids.new(), self._around.clock.now())
        attached = await self.sessions.attached(visit.id)
        # What the EHR lacks for a request is told before anything is written there.
        request_bundle(opened, {**response, "id": ids.new()}, numbers, attached)
        try:
            draft = await save(ehr, response, draft)
        except EhrUnavailable:
            notices.append(NOT_SAVED)
        await take_back(ehr, opened.draft.resource if opened.draft else None, attached)
        response = {**response, "id": draft.resource["id"] if draft else ids.new()}
        opened = replace(opened, items=checked.items, draft=draft)
        visit = replace(visit, opened=opened)
        await self.sessions.keep(visit)
        request = request_bundle(opened, response, numbers, attached)
        prior = await self._around.requests.on_file(visit.prior, self._around.requests.sender(_client(visit)))
        request = as_update(request, prior) if prior else request
        decision = read_decision(await self._around.payer.submit(request))
        # What could not be processed is no request that could be added to.
        sent = visit.prior if decision.status == "error" else request["entry"][0]["fullUrl"]
        await self.sessions.keep(replace(visit, decision=decision, prior=sent))
        await _tell_order(ehr, opened, decision, numbers)
        return Submitted(checked, decision, tuple(notices))

    async def add_record(self, visit: Visit, reference: str) -> tuple[Attached, ...]:
        """Adds one of the chart's documents to the request; all of them. NotFound, MissingElement, TooLarge."""
        offered = {offer.reference for offer in _form(visit).offers}
        if reference not in offered:
            raise NotFound("This is none of the documents that were offered.")
        visit, ehr = await self._ehr(visit)
        added = await from_record(ehr, visit.granted.patient, reference)
        return await self.sessions.attach(visit.id, lambda held: with_document(held, added))

    async def add_file(self, visit: Visit, name: Any, data: Any) -> tuple[Attached, ...]:
        """Adds a file (base64) to the request; all documents. InvalidResource, TooLarge."""
        opened, around = _form(visit), self._around
        about = (opened.matter.patient, opened.author)
        added = from_file(name, data, about, (around.ids.new(), around.clock.now()))
        return await self.sessions.attach(visit.id, lambda held: with_document(held, added))

    async def remove_document(self, visit: Visit, reference: str) -> tuple[Attached, ...]:
        """Takes a document off the request; those that are left."""
        return await self.sessions.attach(visit.id, lambda held: without_document(held, reference))

    async def leave(self, visit: Visit) -> None:
        """Logs out: the visit ends here, and its tokens at the EHR where it takes them back."""
        await self.sessions.end(visit)
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
        granted, context, requests = visit.granted, visit.context, self._around.requests
        client = _client(visit)
        sender = requests.sender(client)
        prior = await requests.held(context.assertion, sender)
        caller = Caller(sender if prior else client, frozenset())
        opened = await self._around.opener.open(ehr, granted.patient, granted.user, context, caller)
        if isinstance(opened, Forms):
            visit = replace(visit, forms=opened.offered)
        else:
            told = (ADDED,) if prior else ((SECOND,) if await requests.held(context.assertion, client) else ())
            opened = replace(opened, notices=(*opened.notices, *told))
            visit = replace(visit, opened=await self._with_documents(visit, ehr, opened), prior=prior)
        await self.sessions.keep(visit)
        return visit

    async def _with_documents(self, visit: Visit, ehr: WritingEhr, opened: Opened) -> Opened:
        """Takes up the documents of the draft; those of another form's are let go."""
        draft = opened.draft
        resource = draft.resource if draft else {}
        resumed = await read_documents(ehr, visit.granted.patient, resource, self._around.ids)
        await self.sessions.attach(visit.id, lambda _held: resumed.documents)
        lost = (_LOST.format(resumed.lost),) if resumed.lost else ()
        return replace(opened, draft=_light(draft) if draft else None, notices=(*opened.notices, *lost))

    async def _kept_documents(self, visit: Visit, ehr: WritingEhr) -> tuple[Attached, ...]:
        """The visit's documents, in the EHR where the token allows it."""
        granted = visit.granted
        # RFC 6749 section 5.1: an answer without scope grants what was asked for.
        scopes = granted.tokens.scopes or frozenset(granted.issuer.scopes)
        before = await self.sessions.attached(visit.id)
        kept = await kept_in_ehr(ehr, scopes, before)
        became = {old.reference: new for old, new in zip(before, kept, strict=True)}
        await self.sessions.attach(visit.id, lambda held: tuple(became.get(e.reference, e) for e in held))
        return kept

    def _asked_next(self, opened: Opened, items: tuple[Json, ...]) -> Opened:
        asking = opened.asking
        if asking is None:
            raise Conflict("This form shows all its questions.")
        asked = asked_next(self._response(opened, items, "in-progress"), asking, self._around.shelf)
        return replace(
            opened,
            questionnaire=asked.questionnaire,
            form=read_form(asked.questionnaire),
            items=asked.items,
            skeleton=asked.skeleton,
            asking=asked.asking,
        )

    async def _ehr(self, visit: Visit) -> tuple[Visit, WritingEhr]:
        """The EHR with a token that still works."""
        granted = visit.granted
        if granted.tokens.expires_at - self._around.clock.now() < _REFRESH_BEFORE:
            granted = replace(granted, tokens=await self._around.launch.refresh(granted))
            visit = replace(visit, granted=granted)
            await self.sessions.keep(visit)
        return visit, self._around.ehrs.open(granted.issuer.iss, granted.tokens.access)

    def _stamped(self, opened: Opened, posted: Posted) -> tuple[Json, ...]:
        """The answers with their origins; a partial date stays only where its question is still asked."""
        dropped = posted.dropped
        items = stamped(opened.questionnaire, opened.items, posted.items, opened.author, dropped)
        unseen = partial_dates(items)
        if unseen:
            attested = opened.loaded.policy.attested
            reading = read_answers(opened.form, self._response(opened, items, "completed"), attested)
            gone = {each for each in unseen if not is_enabled(opened.form, LinkId(each), reading.answers)}
            items = stamped(opened.questionnaire, opened.items, posted.items, opened.author, dropped | gone)
        return tuple(items)

    async def _checked(self, opened: Opened, posted: Posted) -> Checked:
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


def read_posted(body: Any) -> tuple[Posted, Mapping[str, Any]]:
    """A posted response's answers and the whole body; InvalidResource when it is no such thing."""
    if not isinstance(body, Mapping) or not isinstance(body.get("item", []), list):
        raise InvalidResource("The answers could not be read. Reload the page and try again.")
    dropped = body.get("dropped")
    left_out = frozenset(each for each in dropped if isinstance(each, str)) if isinstance(dropped, list) else ()
    return Posted(body.get("item", []), frozenset(left_out)), body


def _light(draft: Draft) -> Draft:
    """Without the documents that it contains, which are kept beside it."""
    return Draft(without_contained(draft.resource), draft.version)


def _client(visit: Visit) -> ClientId:
    """Who calls CRD and PAS from the launch's EHR."""
    return ClientId(visit.granted.issuer.client or UNKNOWN_CLIENT)


def _form(visit: Visit) -> Opened:
    if visit.opened is None:
        raise Conflict("Pick an order and its form first.")
    return visit.opened

"""The clinic's use cases: open a chart, select and sign the order, answer the form, ask for authorization."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from typing import Final

from service.demo.chart import Chart, open_chart
from service.demo.claim import inquiry_bundle, request_bundle
from service.demo.hooks import HookAnswer, HookCall, hook_request, read_answer
from service.demo.package import Package, form_request, package_request, read_package
from service.demo.payer import Guides, Payer
from service.demo.posted import ANSWER, Fields, Posted, read_posted
from service.demo.prefill import Fill, prefilled_answers
from service.demo.progress import OpenForm, Progress, Sent
from service.demo.questions import draw, questions
from service.demo.response import Filled, questionnaire_response
from service.demo.smart import USERS, Context
from service.demo.store import EhrStore
from service.demo.stories import (
    Earlier,
    Setting,
    Story,
    find_story,
    load_chart,
    load_clinic,
    load_stories,
    typed_answers,
)
from service.dtr.app.claim_parts import Numbers
from service.dtr.app.decision import decision_of, read_decision
from service.errors import Conflict, InvalidResource
from service.form.questionnaire import read_form
from service.ports import Clock, Ids
from service.settings import Settings

# The earlier request must be the same at every start, and this process's own address changes with its port.
_EARLIER_BASE: Final = "https://ehr.example.org/fhir"
_YES_NO: Final = {"yes": "true", "no": "false"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the clinic's system needs from the world around it."""

    settings: Settings
    clock: Clock
    ids: Ids
    payer: Payer
    fill: Fill


class DemoEhr:
    """One clinic, one user: its records and, by story, how far each has come. Held in memory, by process."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._progress: dict[str, Progress] = {}
        self.store = EhrStore()
        self.stories = load_stories()
        self.base = f"{around.settings.base_url}/demo/fhir"
        self.started_on = around.clock.now().date().isoformat()

    def story(self, story_id: str) -> Story:
        """NotFound."""
        return find_story(self.stories, story_id)

    def progress(self, story: Story) -> Progress:
        """The story's state; its chart is loaded when it is first looked at."""
        if story.id not in self._progress:
            # A story with a past keeps its member id from one start to the next: the past is then filed once.
            self._load(story, Guides.NEWEST, known_member=story.earlier is not None)
        return self._progress[story.id]

    def open_all(self) -> None:
        """Loads every chart that nobody has looked at yet."""
        for story in self.stories:
            self.progress(story)

    def start_over(self, story: Story, guides: Guides = Guides.NEWEST) -> None:
        """Forgets what happened and loads the chart anew, for a member of whom the payer has nothing on file."""
        self._load(story, guides, known_member=False)

    def _load(self, story: Story, guides: Guides, *, known_member: bool) -> None:
        around = self._around
        member = story.member if known_member else f"{story.member}-{around.ids.new()[-8:]}"
        setting = Setting(around.clock.now().date(), member, around.settings)
        self.store.forget(story.id)
        for resource in (*load_clinic(setting), *load_chart(story, setting)):
            self.store.put(resource)
        self._progress[story.id] = Progress(setting, guides)

    def chart(self, story: Story) -> Chart:
        """The chart with the order that the story is about."""
        self.progress(story)
        return open_chart(self.store, self.base, story.id, f"{story.id}-order")

    def suggested(self, story: Story) -> Mapping[str, str]:
        """What the clinician types in this story, by linkId: yes, no, a date, or "" for left open."""
        return typed_answers(story.answers, self.progress(story).setting)

    async def recall(self, story: Story) -> None:
        """Sends what the clinic had sent before the story begins, once; the payer replays its first answer."""
        progress = self.progress(story)
        if story.earlier is None or progress.earlier is not None:
            return
        earlier = await self._send_earlier(story, story.earlier, progress.setting)
        self._progress[story.id] = replace(self.progress(story), earlier=earlier.decision)

    async def select_order(self, story: Story) -> None:
        """order-select: what the payer says while the order is being written."""
        answer = await self._call_hook(story, "order-select")
        self._progress[story.id] = replace(self.progress(story), selected=answer)

    async def sign_order(self, story: Story) -> None:
        """order-sign: the payer's update of the order is applied, then the order is active."""
        answer = await self._call_hook(story, "order-sign")
        order = answer.order or self.chart(story).order
        self.store.put({**order, "status": "active"})
        self._progress[story.id] = replace(self.progress(story), signed=answer)

    async def open_form(self, story: Story) -> None:
        """Fetches the payer's form for the signed order and fills it from the chart."""
        progress = self.progress(story)
        if progress.signed is None:
            raise Conflict("Sign the order first.")
        told = progress.coverage
        request = package_request(self.chart(story), told.assertion_id if told else None)
        package = read_package(await self._around.payer.questionnaire_package(progress.guides, request))
        opened = await self._opened(package, self.chart(story), progress.guides)
        self._progress[story.id] = replace(progress, form=opened)

    async def submit(self, story: Story, fields: Fields, *, incomplete: bool) -> Posted:
        """Sends the posted form with the request for authorization.

        Nothing is sent when an answer is faulty, or when required ones are open and `incomplete` is not set: what
        was posted is then kept for the form to be shown again.
        """
        progress = self.progress(story)
        opened = progress.form
        if opened is None:
            raise Conflict("Open the form first.")
        posted = read_posted(opened.items, opened.form, fields, opened.prefilled)
        kept = replace(progress, form=replace(opened, answers=posted.answers))
        self._progress[story.id] = kept
        if posted.holds_back(incomplete=incomplete):
            return posted
        chart = self.chart(story)
        now, ids = self._around.clock.now(), self._around.ids
        numbers = Numbers(claim=ids.new(), bundle=ids.new(), trace=ids.new(), made_at=now)
        sent = await self._send(chart, replace(opened, answers=posted.answers), numbers, progress.guides)
        self._progress[story.id] = replace(kept, sent=sent)
        return posted

    def launch_context(self, story: Story, user: str) -> Context:
        """What a launch of an app from the story's order is about; InvalidResource for an unknown user."""
        if user not in USERS:
            raise InvalidResource("Choose one of the clinic's users.")
        chart = self.chart(story)
        order = f"{chart.order['resourceType']}/{chart.order['id']}"
        return Context(chart.patient["id"], (order, f"Coverage/{chart.coverage['id']}"), user)

    async def ask_again(self, story: Story) -> None:
        """Claim/$inquire: whether the payer has decided since."""
        progress = self.progress(story)
        if progress.sent is None:
            raise Conflict("Nothing was sent yet.")
        ids = self._around.ids
        numbers = Numbers(ids.new(), ids.new(), ids.new(), self._around.clock.now())
        inquiry = inquiry_bundle(progress.sent.request, numbers)
        answer = await self._around.payer.inquire(progress.sent.guides, inquiry)
        now = decision_of(answer, progress.sent.decision.case_id)
        if now is not None:
            self._progress[story.id] = replace(progress, sent=replace(progress.sent, decision=now))

    async def _call_hook(self, story: Story, hook: str) -> HookAnswer:
        payer, chart = self._around.payer, self.chart(story)
        service_id = f"{hook}-crd"
        call = HookCall(hook, chart, self.progress(story).guides, self._around.ids.new())
        request = hook_request(call, await payer.prefetch_templates(service_id))
        return read_answer(await payer.call_hook(service_id, request), chart.order)

    async def _opened(self, package: Package, chart: Chart, guides: Guides) -> OpenForm:
        items = draw(package.questionnaire, package.value_sets)
        filled, evidence = await self._around.fill(package.questionnaire, chart.records, chart.patient["id"])
        prefilled = prefilled_answers(package.draft, filled, guides)
        known = {item.link_id for item in questions(items)}
        kept = {link_id: held for link_id, held in prefilled.items() if link_id in known}
        answers = {link_id: held.values for link_id, held in kept.items()}
        form = read_form(package.questionnaire)
        return OpenForm(package.questionnaire, form, items, kept, answers, evidence)

    async def _send(self, chart: Chart, opened: OpenForm, numbers: Numbers, guides: Guides) -> Sent:
        filled = Filled(opened.questionnaire, opened.items, opened.answers, opened.prefilled)
        response_id = str(uuid.uuid5(uuid.UUID(numbers.claim), "response"))
        response = questionnaire_response(filled, chart, guides, (response_id, numbers.made_at))
        request = request_bundle(chart, response, numbers, guides)
        return Sent(request, guides, read_decision(await self._around.payer.submit(guides, request)))

    async def _send_earlier(self, story: Story, earlier: Earlier, setting: Setting) -> Sent:
        """The earlier request, with ids and times that follow from its first day: the same at every start."""
        chart = open_chart(self.store, _EARLIER_BASE, story.id, earlier.order)
        # The order was given since; when the request was made it was still to be.
        chart = replace(chart, order={**chart.order, "status": "active"})
        # By canonical: asked by order, a payer that has the authorization already answers with the renewal form.
        request = form_request(chart, earlier.questionnaire)
        package = read_package(await self._around.payer.questionnaire_package(Guides.NEWEST, request))
        opened = await self._opened(replace(package, draft=None), chart, Guides.NEWEST)
        typed = typed_answers(earlier.answers, setting)
        fields = {ANSWER + link_id: [_YES_NO.get(text, text)] for link_id, text in typed.items()}
        posted = read_posted(opened.items, opened.form, fields, {})
        opened = replace(opened, answers=posted.answers, prefilled={})
        made_at = datetime.combine(setting.history, time(9, 0), tzinfo=UTC)
        name = f"{_EARLIER_BASE}/{setting.member}/{setting.history.isoformat()}"
        claim, bundle, trace = (str(uuid.uuid5(uuid.NAMESPACE_URL, f"{name}/{part}")) for part in ("c", "b", "t"))
        return await self._send(chart, opened, Numbers(claim, bundle, trace, made_at), Guides.NEWEST)

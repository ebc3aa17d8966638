"""HTTP of the demo EHR: its pages under /demo and its FHIR base under /demo/fhir."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

import httpx
from fastapi import APIRouter, Request, Response

from service.demo.ehr import DemoEhr, Surroundings
from service.demo.fhir_routes import fhir_router
from service.demo.form_page import form_page
from service.demo.pages import STATIC, Pages, page_route, read_fields, see, static_file
from service.demo.payer import Guides, Payer
from service.demo.prefill import Fill
from service.demo.smart import Authorization
from service.demo.smart_routes import smart_router
from service.demo.views import chart_view
from service.errors import NotFound
from service.ports import Clock, Ids
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class DemoDependencies:
    """`payer` is a client whose base_url is the payer's; `fill` runs a form's population logic over a chart.

    `authorization` is the clinic's SMART server.
    """

    settings: Settings
    clock: Clock
    ids: Ids
    payer: httpx.AsyncClient
    fill: Fill
    authorization: Authorization


def build(dependencies: DemoDependencies) -> APIRouter:
    """The router to include under the prefix /demo."""
    settings = dependencies.settings
    around = Surroundings(
        settings, dependencies.clock, dependencies.ids, Payer(dependencies.payer, settings), dependencies.fill
    )
    ehr = DemoEhr(around)
    pages = Pages(settings)
    router = APIRouter(route_class=page_route(pages), include_in_schema=False)
    authorization = dependencies.authorization
    router.include_router(smart_router(authorization, settings))
    router.include_router(fhir_router(ehr, authorization, dependencies.ids, settings))
    _add_reading(router, ehr, pages)
    _add_acting(router, ehr)
    _add_app(router, ehr, authorization, settings)
    _add_form(router, ehr, pages, settings)
    return router


def _add_reading(router: APIRouter, ehr: DemoEhr, pages: Pages) -> None:
    @router.get("")
    async def stories() -> Response:
        listed = [(story, ehr.progress(story)) for story in ehr.stories]
        return pages.show("stories.html", listed=listed)

    @router.get("/static/{name}")
    async def static(name: str) -> Response:
        if name not in STATIC:
            raise NotFound("There is no such file.")
        return static_file(name)

    @router.get("/{story_id}")
    async def chart(story_id: str) -> Response:
        story = ehr.story(story_id)
        await ehr.recall(story)
        view = chart_view(ehr.chart(story), ehr.progress(story).setting.today)
        return pages.show("chart.html", story=story, progress=ehr.progress(story), chart=view, guides=list(Guides))

    @router.get("/{story_id}/answer")
    async def answer(story_id: str) -> Response:
        story = ehr.story(story_id)
        progress = ehr.progress(story)
        if progress.signed is None:
            return see(f"/demo/{story.id}")
        return pages.show("answer.html", story=story, progress=progress)

    @router.get("/{story_id}/decision")
    async def decision(story_id: str) -> Response:
        story = ehr.story(story_id)
        progress = ehr.progress(story)
        if progress.sent is None:
            return see(f"/demo/{story.id}")
        return pages.show("decision.html", story=story, progress=progress, decision=progress.sent.decision)


def _add_acting(router: APIRouter, ehr: DemoEhr) -> None:
    @router.post("/{story_id}/select")
    async def select(story_id: str) -> Response:
        story = ehr.story(story_id)
        await ehr.recall(story)
        await ehr.select_order(story)
        return see(f"/demo/{story.id}")

    @router.post("/{story_id}/sign")
    async def sign(story_id: str) -> Response:
        story = ehr.story(story_id)
        await ehr.recall(story)
        await ehr.sign_order(story)
        return see(f"/demo/{story.id}/answer")

    @router.post("/{story_id}/open-form")
    async def open_form(story_id: str) -> Response:
        story = ehr.story(story_id)
        await ehr.open_form(story)
        return see(f"/demo/{story.id}/form")

    @router.post("/{story_id}/ask-again")
    async def ask_again(story_id: str) -> Response:
        story = ehr.story(story_id)
        await ehr.ask_again(story)
        return see(f"/demo/{story.id}/decision")


def _add_app(router: APIRouter, ehr: DemoEhr, authorization: Authorization, settings: Settings) -> None:
    @router.post("/{story_id}/open-app")
    async def open_app(story_id: str, request: Request) -> Response:
        story = ehr.story(story_id)
        fields = await read_fields(request, settings)
        context = ehr.launch_context(story, fields.get("user", [""])[0])
        if fields.get("without-order"):
            context = replace(context, references=())
        query = urlencode({"iss": ehr.base, "launch": authorization.launch(context)})
        return see(f"/dtr/launch?{query}")


def _add_form(router: APIRouter, ehr: DemoEhr, pages: Pages, settings: Settings) -> None:
    @router.post("/{story_id}/start-over")
    async def start_over(story_id: str, request: Request) -> Response:
        story = ehr.story(story_id)
        fields = await read_fields(request, settings)
        oldest = fields.get("guides", [""])[0] == Guides.OLDEST
        ehr.start_over(story, Guides.OLDEST if oldest else Guides.NEWEST)
        return see(f"/demo/{story.id}")

    @router.get("/{story_id}/form")
    async def form(story_id: str) -> Response:
        story = ehr.story(story_id)
        progress = ehr.progress(story)
        if progress.form is None:
            return see(f"/demo/{story.id}")
        page = form_page(progress.form, ehr.suggested(story), None, None)
        return pages.show("form.html", story=story, progress=progress, page=page)

    @router.post("/{story_id}/submit")
    async def submit(story_id: str, request: Request) -> Response:
        story = ehr.story(story_id)
        fields = await read_fields(request, settings)
        incomplete = fields.get("incomplete", [""])[0] == "yes"
        posted = await ehr.submit(story, fields, incomplete=incomplete)
        progress = ehr.progress(story)
        if progress.form is not None and posted.holds_back(incomplete=incomplete):
            page = form_page(progress.form, ehr.suggested(story), fields, posted)
            return pages.show("form.html", status=422, story=story, progress=progress, page=page)
        return see(f"/demo/{story.id}/decision")

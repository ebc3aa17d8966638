"""HTTP of the SMART app under /dtr: launch, callback, the form and what its page asks for."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from service.dtr.app.content import about, order_line, patient_line
from service.dtr.app.desk import Checked, Desk, Posted, read_posted
from service.dtr.app.display import display_form, display_items
from service.dtr.app.documents import MOST_BYTES, Attached
from service.dtr.app.opening import Opened
from service.dtr.app.pages import Cookies, Pages, app_route, own_files, read_fields, renderer_files
from service.dtr.app.sessions import Visit
from service.dtr.app.stamping import origins, partial_dates
from service.ehr.id_token import LaunchRefused
from service.ehr.issuers import Registrations
from service.ehr.smart import SmartLaunch
from service.errors import Forbidden, InvalidResource, MissingElement, NotFound
from service.settings import Settings
from service.wire import fhir_response, read_body, read_json

_FOREVER: Final = "public, max-age=31536000, immutable"
_A_WHILE: Final = "public, max-age=300"
_SAVED: Final = "Saved in the EHR. You, or a colleague, can go on later."


@dataclass(frozen=True, slots=True)
class AppDependencies:
    """What the routes need."""

    settings: Settings
    registered: Registrations
    launch: SmartLaunch
    desk: Desk


def build(dependencies: AppDependencies) -> APIRouter:
    """The router to include under the prefix /dtr."""
    settings = dependencies.settings
    pages = Pages(settings, dependencies.registered.origins)
    cookies = Cookies(https=settings.base_url.startswith("https://"))
    router = APIRouter(route_class=app_route(pages), include_in_schema=False)
    door = _Door(dependencies, pages, cookies)
    _add_files(router)
    _add_launch(router, door)
    _add_form(router, door)
    _add_content(router, door)
    _add_answers(router, door)
    _add_documents(router, door)
    return router


@dataclass(frozen=True, slots=True)
class _Door:
    """What every route of the app uses."""

    dependencies: AppDependencies
    pages: Pages
    cookies: Cookies

    @property
    def desk(self) -> Desk:
        return self.dependencies.desk

    async def visit(self, visit_id: str, request: Request) -> Visit:
        return await self.desk.sessions.find(visit_id, self.cookies.visit(request))

    async def writing(self, visit_id: str, request: Request, token: str | None) -> Visit:
        """The visit, when the request comes from its own page; Forbidden otherwise."""
        visit = await self.visit(visit_id, request)
        if token is None or not secrets.compare_digest(visit.csrf.encode(), token.encode()):
            raise Forbidden("This did not come from the form's own page. Reload it and try again.")
        return visit


def _add_files(router: APIRouter) -> None:
    own, renderer = own_files(), renderer_files()

    @router.get("/static/{name}")
    async def static(name: str, request: Request) -> Response:
        if name not in own:
            raise NotFound("There is no such file.")
        return own[name].answer(request, _A_WHILE)

    @router.get("/lforms/40.1.3/{path:path}")
    async def lforms(path: str, request: Request) -> Response:
        if path not in renderer:
            raise NotFound("There is no such file.")
        return renderer[path].answer(request, _FOREVER)


def _add_launch(router: APIRouter, door: _Door) -> None:
    dependencies, cookies = door.dependencies, door.cookies

    @router.get("/jwks.json")
    async def keys() -> Response:
        return JSONResponse({"keys": [key.public() for key in dependencies.registered.keys]})

    @router.get("/launch")
    async def launch(request: Request) -> Response:
        iss, token = request.query_params.get("iss"), request.query_params.get("launch")
        if not iss or not token:
            raise MissingElement("This app is opened from an EHR: the link there says which one and for whom.")
        address, pending = await dependencies.launch.begin(iss, token)
        response = RedirectResponse(address, status_code=302)
        cookies.set_launch(response, await door.desk.sessions.wait_for(pending, cookies.launch(request)))
        return response

    @router.get("/callback")
    async def callback(request: Request) -> Response:
        said = request.query_params
        pending = await door.desk.sessions.take(said.get("state", ""), cookies.launch(request))
        code = said.get("code")
        if code is None:
            raise LaunchRefused("The EHR did not let you in. Open the app from the EHR again.")
        granted = await dependencies.launch.finish(pending, code)
        visit = await door.desk.arrive(granted, cookies.visit(request))
        response = RedirectResponse(f"/dtr/forms/{visit.id}", status_code=303)
        cookies.set_visit(response, visit.browser)
        return response


def _add_form(router: APIRouter, door: _Door) -> None:
    @router.get("/forms/{visit_id}")
    async def form(visit_id: str, request: Request) -> Response:
        visit = await door.visit(visit_id, request)
        opened = visit.opened
        if opened is None and visit.forms:
            return door.pages.show("pick_form.html", visit=visit)
        if opened is None:
            listed = [(f"{o['resourceType']}/{o['id']}", order_line(o), o) for o in await door.desk.orders(visit)]
            return door.pages.show("pick.html", visit=visit, orders=listed)
        return door.pages.show(
            "form.html",
            renderer=True,
            visit=visit,
            opened=opened,
            patient=patient_line(opened.matter.patient),
            order=order_line(opened.matter.order),
            states=await door.desk.states(visit),
            **_documents(opened, await door.desk.sessions.attached(visit.id)),
        )

    @router.post("/forms/{visit_id}/order")
    async def order(visit_id: str, request: Request) -> Response:
        fields = await read_fields(request, door.dependencies.settings)
        visit = await door.writing(visit_id, request, fields.get("csrf"))
        if not fields.get("order"):
            raise MissingElement("Pick an order.")
        await door.desk.pick(visit, fields["order"])
        return RedirectResponse(f"/dtr/forms/{visit.id}", status_code=303)

    @router.post("/forms/{visit_id}/form")
    async def pick_form(visit_id: str, request: Request) -> Response:
        fields = await read_fields(request, door.dependencies.settings)
        visit = await door.writing(visit_id, request, fields.get("csrf"))
        await door.desk.pick_form(visit, fields.get("form", ""))
        return RedirectResponse(f"/dtr/forms/{visit.id}", status_code=303)

    @router.post("/forms/{visit_id}/leave")
    async def leave(visit_id: str, request: Request) -> Response:
        fields = await read_fields(request, door.dependencies.settings)
        await door.desk.leave(await door.writing(visit_id, request, fields.get("csrf")))
        return door.pages.show("left.html")


def _add_content(router: APIRouter, door: _Door) -> None:
    @router.get("/forms/{visit_id}/content")
    async def content(visit_id: str, request: Request) -> Response:
        visit = await door.visit(visit_id, request)
        opened = _opened(visit)
        hidden = partial_dates(opened.items)
        held = {link_id: origin for link_id, origin in origins(opened.items).items() if link_id not in hidden}
        explained = about(opened, await door.desk.states(visit), frozenset(held))
        response = {**door.desk.response(visit), "item": display_items(opened.questionnaire, opened.items)}
        response.pop("extension", None)
        return fhir_response(
            {
                "questionnaire": display_form(opened.questionnaire, opened.value_sets),
                "response": response,
                "about": {each.link_id: door.pages.part("about.html", about=each) for each in explained},
                "origins": held,
                "fresh": list(opened.asking.fresh) if opened.asking else [],
            }
        )


def _add_answers(router: APIRouter, door: _Door) -> None:
    async def received(request: Request, visit_id: str) -> tuple[Visit, Posted, Any]:
        visit = await door.writing(visit_id, request, request.headers.get("x-csrf-token"))
        settings = door.dependencies.settings
        posted, body = read_posted(read_json(await read_body(request, settings), settings))
        return visit, posted, body

    def told(checked: Checked, **rest: Any) -> dict[str, Any]:
        shown = door.pages.part("criteria.html", states=checked.criteria)
        return {"criteria": shown, "origins": origins(checked.items), **rest}

    def summary(visit: Visit, checked: Checked) -> str:
        asked = {str(link_id): q.text for link_id, q in _opened(visit).form.questions.items()}
        unanswered = [(link_id, asked[link_id]) for link_id in checked.unanswered]
        return door.pages.part("summary.html", faults=checked.faults, unanswered=unanswered)

    @router.post("/forms/{visit_id}/check")
    async def check(visit_id: str, request: Request) -> Response:
        visit, posted, _ = await received(request, visit_id)
        return JSONResponse(told(await door.desk.check(visit, posted)))

    @router.post("/forms/{visit_id}/draft")
    async def draft(visit_id: str, request: Request) -> Response:
        visit, posted, _ = await received(request, visit_id)
        notices = await door.desk.save_draft(visit, posted)
        attached = await door.desk.sessions.attached(visit.id)
        # What the EHR took has another id by now.
        shown = door.pages.part("documents.html", **_documents(_opened(visit), attached))
        return JSONResponse({"message": " ".join((_SAVED, *notices)), "documents": shown})

    @router.post("/forms/{visit_id}/next")
    async def ask_next(visit_id: str, request: Request) -> Response:
        visit, posted, _ = await received(request, visit_id)
        checked = await door.desk.ask_next(visit, posted)
        if checked.faults or checked.unanswered:
            return JSONResponse(told(checked, summary=summary(visit, checked)), 422)
        return JSONResponse(told(checked, more=True))

    @router.post("/forms/{visit_id}/submit")
    async def submit(visit_id: str, request: Request) -> Response:
        visit, posted, body = await received(request, visit_id)
        sent = await door.desk.submit(visit, posted, incomplete=body.get("incomplete") is True)
        if sent.more:
            return JSONResponse(told(sent.checked, more=True))
        if sent.decision is None:
            return JSONResponse(told(sent.checked, summary=summary(visit, sent.checked)), 422)
        decision = door.pages.part("decision.html", decision=sent.decision, notices=sent.notices)
        return JSONResponse(told(sent.checked, decision=decision))


def _add_documents(router: APIRouter, door: _Door) -> None:
    async def received(request: Request, visit_id: str) -> tuple[Visit, dict[str, Any]]:
        visit = await door.writing(visit_id, request, request.headers.get("x-csrf-token"))
        settings = door.dependencies.settings
        body = read_json(await read_body(request, settings), settings)
        if not isinstance(body, dict):
            raise InvalidResource("The document could not be read. Reload the page and try again.")
        return visit, body

    def told(visit: Visit, attached: Sequence[Attached], message: str) -> Response:
        shown = door.pages.part("documents.html", **_documents(_opened(visit), attached))
        return JSONResponse({"documents": shown, "message": message})

    @router.post("/forms/{visit_id}/add-record")
    async def add_record(visit_id: str, request: Request) -> Response:
        visit, body = await received(request, visit_id)
        attached = await door.desk.add_record(visit, str(body.get("record")))
        return told(visit, attached, "Added: it goes with the request.")

    @router.post("/forms/{visit_id}/add-file")
    async def add_file(visit_id: str, request: Request) -> Response:
        visit, body = await received(request, visit_id)
        attached = await door.desk.add_file(visit, body.get("name"), body.get("data"))
        return told(visit, attached, "Added: it goes with the request.")

    @router.post("/forms/{visit_id}/remove-document")
    async def remove(visit_id: str, request: Request) -> Response:
        visit, body = await received(request, visit_id)
        attached = await door.desk.remove_document(visit, str(body.get("record")))
        return told(visit, attached, "Removed: it does not go with the request.")


def _documents(opened: Opened, attached: Sequence[Attached]) -> dict[str, Any]:
    """What the template of documents shows."""
    taken = {each.reference for each in attached}
    left = [offer for offer in opened.offers if offer.reference not in taken]
    return {"attached": attached, "offers": left, "most_bytes": MOST_BYTES}


def _opened(visit: Visit) -> Opened:
    if visit.opened is None:
        raise NotFound("No form is open here. Pick an order first.")
    return visit.opened

"""HTTP of the reviewers' console under /review: sign-in, worklist, cases, decisions, report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response

from service.errors import Conflict, Forbidden, NotAuthenticated, NotFound
from service.pas.filed import Filed, filed
from service.pas.numbers import control_number
from service.policy.case import Case
from service.policy.decision import Outcome
from service.ports import Attachment, Clock, Ids, PolicyRegistry, Store
from service.review.actions import Actions, unchanged_since
from service.review.case_view import CaseView, case_view
from service.review.documents import documents_of, file_name
from service.review.figures import Report, as_csv, facts_of, is_denied, read_range, report, spans
from service.review.history import denial_keys, history_of
from service.review.pages import SIGN_IN, Fields, Pages, field, page_route, read_fields, see, style_sheet
from service.review.passwords import Passwords
from service.review.sessions import Desk, Reviewers, SignedIn, form_token, is_form_token, new_secret
from service.review.verdicts import Asking, Decided, loinc_documents, read_verdicts
from service.review.worklist import read_filters, worklist
from service.settings import Settings

FORM_TOKEN: Final = "form-token"  # noqa: S105 a field's name
_MOST_DIGITS: Final = 6
_DOWNLOAD: Final = "application/octet-stream"
# Fields that are no decision, left out where what was entered is shown again.
_NOT_ENTERED: Final = frozenset({FORM_TOKEN, "revision"})


@dataclass(frozen=True, slots=True)
class ReviewDependencies:
    """What the console is given."""

    settings: Settings
    registry: PolicyRegistry
    store: Store
    reviewers: Reviewers
    passwords: Passwords
    clock: Clock
    ids: Ids


def build(dependencies: ReviewDependencies) -> APIRouter:
    """The router to include under the prefix /review."""
    console = _Console(dependencies)
    router = APIRouter(route_class=page_route(console.pages), include_in_schema=False)
    _add_door(router, console)
    _add_reading(router, console)
    _add_acting(router, console)
    _add_report(router, console)
    return router


class _Console:
    """What several routes need."""

    def __init__(self, dependencies: ReviewDependencies) -> None:
        self.dependencies = dependencies
        self.settings = dependencies.settings
        self.pages = Pages(dependencies.settings)
        self.desk = Desk(dependencies.reviewers, dependencies.passwords, dependencies.clock, dependencies.ids)
        self.actions = Actions(dependencies.store, dependencies.clock, dependencies.ids)
        self.loinc = loinc_documents()
        self.is_https = dependencies.settings.base_url.startswith("https:")

    @property
    def cookie(self) -> str:
        """__Host- binds the cookie to this very host; browsers take it over https only."""
        return "__Host-review" if self.is_https else "review"

    def set_cookie(self, response: Response, secret: str) -> None:
        response.set_cookie(self.cookie, secret, path="/", secure=self.is_https, httponly=True, samesite="strict")

    async def signed_in(self, request: Request) -> SignedIn:
        """Who is there; NotAuthenticated leads to the sign-in page."""
        found = await self.desk.recognise(request.cookies.get(self.cookie))
        if found is None:
            raise NotAuthenticated("Sign in first.")
        return found

    async def form(self, request: Request) -> tuple[SignedIn, Fields]:
        """Who is there and what they sent from a page of theirs."""
        signed_in = await self.signed_in(request)
        fields = await read_fields(request, self.settings)
        self.check_token(request, fields)
        return signed_in, fields

    def check_token(self, request: Request, fields: Fields) -> None:
        if not is_form_token(request.cookies.get(self.cookie), field(fields, FORM_TOKEN)):
            raise Forbidden("The page was too old, or not ours. Open it again and send the form from there.")

    async def view(self, case_id: str) -> tuple[CaseView, Filed, Sequence[Attachment]]:
        case, body = await self.actions.read(case_id)
        read = filed(case, body, self.settings)
        view = case_view(case, read, self.dependencies.registry, self.dependencies.clock.now())
        return view, read, await self.dependencies.store.attachments(case.id)

    async def case_page(self, case_id: str, signed_in: SignedIn, told: _Told, status: int = 200) -> Response:
        """The case as it is now, with what somebody typed and why it was not recorded."""
        view, read, arrived = await self.view(case_id)
        store = self.dependencies.store
        return self.pages.show(
            "case.html",
            status=status,
            signed_in=signed_in,
            view=view,
            documents=documents_of(read, arrived, self.settings),
            history=history_of(await store.audit(view.case.id)),
            verified=await store.verify_audit(view.case.id),
            loinc=self.loinc,
            problem=told.problem,
            faults=told.faults,
            typed={name: values[0] for name, values in told.fields.items()},
            entered=told.entered(view),
        )


@dataclass(frozen=True, slots=True)
class _Told:
    """Why a decision was not recorded, and what had been typed."""

    problem: str | None
    faults: dict[str, str]
    fields: Fields

    def entered(self, view: CaseView) -> list[tuple[str, str]]:
        """What was typed, where the case no longer takes a decision: nothing typed is lost."""
        if self.problem is None or (view.waits and not self._lost(view)):
            return []
        typed = [(name, field(self.fields, name)) for name in self.fields if name not in _NOT_ENTERED]
        return [(name.replace("-", " "), text) for name, text in typed if text]

    def _lost(self, view: CaseView) -> bool:
        """Whether something was typed for a line that has no form any more."""
        open_lines = {str(line.sequence) for line in view.lines if line.waits}
        verdicts = [name for name in self.fields if name.startswith("verdict-") and field(self.fields, name)]
        return any(name.rpartition("-")[2] not in open_lines for name in verdicts)


_NOTHING: Final = _Told(None, {}, {})


def _add_door(router: APIRouter, console: _Console) -> None:
    def page(request: Request, login: str = "", problem: str | None = None, status: int = 200) -> Response:
        secret = request.cookies.get(console.cookie) or new_secret()
        shown = console.pages.show(
            "sign_in.html", status=status, token=form_token(secret), login=login, problem=problem
        )
        console.set_cookie(shown, secret)
        return shown

    @router.get("/static/review.css")
    async def style() -> Response:
        return style_sheet()

    @router.get("/sign-in")
    async def sign_in_page(request: Request) -> Response:
        return page(request)

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        fields = await read_fields(request, console.settings)
        console.check_token(request, fields)
        login, address = field(fields, "login")[:64], request.client.host if request.client else "unknown"
        password = next(iter(fields.get("password", ())), "")
        try:
            secret = await console.desk.sign_in(login, password, address)
        except Forbidden as refused:
            return page(request, login, refused.text, 429)
        if secret is None:
            return page(request, login, "Account and password do not belong together.", 401)
        answer = see("/review")
        console.set_cookie(answer, secret)
        return answer

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        signed_in, _ = await console.form(request)
        await console.desk.sign_out(signed_in)
        answer = see(SIGN_IN)
        answer.delete_cookie(console.cookie, path="/", secure=console.is_https, httponly=True, samesite="strict")
        return answer


def _add_reading(router: APIRouter, console: _Console) -> None:
    @router.get("")
    async def work(request: Request) -> Response:
        signed_in = await console.signed_in(request)
        filters = read_filters(parse_qs(request.url.query))
        cases = await console.dependencies.store.open_cases()
        shown = worklist(cases, filters, signed_in.person, console.dependencies.clock.now())
        policies = {loaded.policy.ref.id: loaded.policy.title for loaded in console.dependencies.registry.all()}
        return console.pages.show("worklist.html", signed_in=signed_in, list=shown, policies=sorted(policies.items()))

    @router.get("/cases/{case_id}")
    async def case(case_id: str, request: Request) -> Response:
        return await console.case_page(case_id, await console.signed_in(request), _NOTHING)

    @router.get("/cases/{case_id}/documents/{number}")
    async def document(case_id: str, number: str, request: Request) -> Response:
        await console.signed_in(request)
        # Read here: what the framework reads, it refuses before it is known who asks.
        chosen = int(number) if number.isascii() and number.isdigit() and len(number) < _MOST_DIGITS else 0
        _, read, arrived = await console.view(case_id)
        documents = documents_of(read, arrived, console.settings)
        if not 1 <= chosen <= len(documents):
            raise NotFound("There is no such document.")
        # Never shown by the browser, whatever it claims to be: it came from outside.
        named = f'attachment; filename="{file_name(documents[chosen - 1], chosen)}"'
        headers = {"Content-Disposition": named}
        return Response(documents[chosen - 1].content, media_type=_DOWNLOAD, headers=headers)


def _add_acting(router: APIRouter, console: _Console) -> None:
    async def hold(request: Request, case_id: str, *, take_over: bool) -> Response:
        signed_in, _ = await console.form(request)
        try:
            await console.actions.claim(case_id, signed_in.person, take_over=take_over)
        except Conflict as refused:
            return await console.case_page(case_id, signed_in, _Told(refused.text, {}, {}), 409)
        return see(f"/review/cases/{case_id}")

    @router.post("/cases/{case_id}/claim")
    async def claim(case_id: str, request: Request) -> Response:
        return await hold(request, case_id, take_over=False)

    @router.post("/cases/{case_id}/take-over")
    async def take_over(case_id: str, request: Request) -> Response:
        return await hold(request, case_id, take_over=True)

    @router.post("/cases/{case_id}/release")
    async def release(case_id: str, request: Request) -> Response:
        signed_in, _ = await console.form(request)
        try:
            await console.actions.release(case_id, signed_in.person)
        except Conflict as refused:
            return await console.case_page(case_id, signed_in, _Told(refused.text, {}, {}), 409)
        return see(f"/review/cases/{case_id}")

    @router.post("/cases/{case_id}/decide")
    async def decide(case_id: str, request: Request) -> Response:
        signed_in, fields = await console.form(request)
        view, _, _ = await console.view(case_id)
        decided = Decided()
        try:
            unchanged_since(view.case, field(fields, "revision"))
            decided = read_verdicts(view, fields, _asking(console, view.case))
            if decided.faults:
                told = _Told("The decision was not recorded.", decided.faults, fields)
                return await console.case_page(case_id, signed_in, told, 422)
            await console.actions.decide(view.case, decided, signed_in.person)
        except Conflict as refused:
            told = _Told(f"The decision was not recorded. {refused.text}", {}, fields)
            return await console.case_page(case_id, signed_in, told, 409)
        return see(f"/review/cases/{case_id}")


def _asking(console: _Console, case: Case) -> Asking:
    asked = len(case.asked)
    return Asking(
        now=console.dependencies.clock.now(),
        control_number=lambda sequence: control_number(case.id, sequence, asked),
        documents=console.loinc,
    )


async def _asked_at(case: Case, store: Store) -> datetime:
    """When the clock started: a change of a request that still waited starts no new one."""
    while case.replaces and (found := await store.case(case.replaces)) and found[0].outcome is Outcome.PENDED:
        case = found[0]
    return case.received_at


def _add_report(router: APIRouter, console: _Console) -> None:
    async def made(request: Request) -> tuple[SignedIn, Report]:
        signed_in = await console.signed_in(request)
        days = read_range(parse_qs(request.url.query), console.dependencies.clock.now())
        store = console.dependencies.store
        facts = []
        for start, end in spans(days):
            for case in await store.cases_received(start, end):
                reasons = denial_keys(await store.audit(case.id)) if is_denied(case) else {}
                facts.append(facts_of(case, await _asked_at(case, store), reasons))
        return signed_in, report(days, facts, [one.policy for one in console.dependencies.registry.all()])

    @router.get("/report")
    async def report_page(request: Request) -> Response:
        signed_in, figures = await made(request)
        return console.pages.show("report.html", signed_in=signed_in, report=figures)

    @router.get("/report.csv")
    async def report_file(request: Request) -> Response:
        _, figures = await made(request)
        named = f"prior-authorization-{figures.first}-{figures.last}.csv"
        headers = {"Content-Disposition": f'attachment; filename="{named}"'}
        return Response(as_csv(figures), media_type="text/csv; charset=utf-8", headers=headers)

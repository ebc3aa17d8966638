"""HTTP of DTR: its operations, and the look-ups of what our answers refer to."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.dtr.expand import expand, expand_request, find, from_parameters
from service.dtr.log_errors import FormErrors, error_report
from service.dtr.metrics import Meter
from service.dtr.next_question import next_questions, received_response
from service.dtr.package import Packager
from service.dtr.populate import ChartLogic, Prepare
from service.dtr.request import package_request
from service.dtr.select import Sources
from service.dtr.shelf import KINDS, Shelf, stock
from service.dtr.versions import SHAPES, Shape, Version
from service.errors import NotFound
from service.fhir.build import bundle, entry
from service.fhir.canonical import split_canonical
from service.fhir.parse import StructureCheck
from service.ports import Caller, Clock, Evaluator, Ids, MemberDirectory, PolicyRegistry, Resource, Store
from service.settings import Settings
from service.wire import FhirAccess, fhir_response, read_body, read_json

_log = logging.getLogger(__name__)

_Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class DtrDependencies:
    """What the routes need. `prepare` keeps one patient's records (service/engine/prepare.py)."""

    settings: Settings
    registry: PolicyRegistry
    store: Store
    clock: Clock
    ids: Ids
    access: FhirAccess
    check: StructureCheck
    evaluator: Evaluator
    prepare: Prepare
    form_errors: FormErrors
    members: MemberDirectory | None = None


@dataclass(frozen=True, slots=True)
class _Shelves:
    """What is given out: with versions in canonicals or without, as the settings say for the client."""

    settings: Settings
    by_versioned: Mapping[bool, Shelf]

    def of(self, caller: Caller) -> Shelf:
        literal = caller.client in self.settings.literal_canonical_clients
        return self.by_versioned[self.settings.versioned_canonicals and not literal]


def build(dependencies: DtrDependencies, version: Version) -> APIRouter:
    """The routes of one version, relative to its FHIR base. Packages' contents are assembled here, once."""
    shape = SHAPES[version]
    settings = dependencies.settings
    base = settings.base_url + shape.base_path
    shelves = _Shelves(
        settings,
        {
            kept: stock(dependencies.registry, shape, versioned_canonicals=kept, service=base)
            for kept in (True, False)
        },
    )
    router = APIRouter()
    form = "/Questionnaire/$"
    router.add_api_route(f"{form}questionnaire-package", _package(dependencies, shelves, shape), methods=["POST"])
    router.add_api_route(f"{form}next-question", _next_question(dependencies, shelves), methods=["POST"])
    router.add_api_route(f"{form}log-questionnaire-errors", _log_errors(dependencies, shelves), methods=["POST"])
    expand_ = _expand(dependencies, shelves)
    for path in ("/ValueSet/$expand", "/ValueSet/{logical_id}/$expand"):
        router.add_api_route(path, expand_, methods=["GET", "POST"])
    for kind in KINDS:
        router.add_api_route(f"/{kind}", _search(dependencies, shelves, shape, kind), methods=["GET"])
        router.add_api_route(f"/{kind}/{{logical_id}}", _read(dependencies, shelves, kind), methods=["GET"])
    return router


def _package(dependencies: DtrDependencies, shelves: _Shelves, shape: Shape) -> _Endpoint:
    meter = _meter(dependencies)

    async def questionnaire_package(request: Request) -> Response:
        caller = await dependencies.access(request, "system/Questionnaire.rs")
        packager = Packager(
            shape=shape,
            sources=Sources(
                dependencies.registry,
                dependencies.store,
                dependencies.settings,
                shelves.of(caller),
                dependencies.members,
            ),
            logic=ChartLogic(dependencies.evaluator, dependencies.prepare),
            clock=dependencies.clock,
            ids=dependencies.ids,
        )

        async def answer() -> Resource:
            parameters = await _received(request, dependencies, "Parameters")
            return await packager.answer(package_request(parameters), caller)

        return fhir_response(await meter.measure("qpackage", caller, answer))

    return questionnaire_package


def _next_question(dependencies: DtrDependencies, shelves: _Shelves) -> _Endpoint:
    meter = _meter(dependencies)

    async def next_question(request: Request) -> Response:
        caller = await dependencies.access(request, "system/Questionnaire.rs")

        async def answer() -> Resource:
            body = await _received(request, dependencies, "Parameters", "QuestionnaireResponse")
            return next_questions(received_response(body), shelves.of(caller))

        return fhir_response(await meter.measure("nextq", caller, answer))

    return next_question


def _meter(dependencies: DtrDependencies) -> Meter:
    return Meter(dependencies.settings, dependencies.store, dependencies.clock, dependencies.ids)


def _log_errors(dependencies: DtrDependencies, shelves: _Shelves) -> _Endpoint:
    async def log_questionnaire_errors(request: Request) -> Response:
        caller = await dependencies.access(request, "system/Questionnaire.rs")
        report = error_report(await _received(request, dependencies, "Parameters"), shelves.of(caller))
        kept = await dependencies.form_errors.save_form_error(caller.client, report, dependencies.clock.now())
        _log.info("form errors reported", extra={"client": caller.client, "kept": kept})
        return Response(status_code=204)

    return log_questionnaire_errors


def _expand(dependencies: DtrDependencies, shelves: _Shelves) -> _Endpoint:
    async def expand_value_set(request: Request) -> Response:
        caller = await dependencies.access(request, "system/ValueSet.rs")
        given = dict(request.query_params)
        if request.method == "POST":
            given |= from_parameters(await _received(request, dependencies, "Parameters"))
        asked = expand_request(given)
        found = find(asked, shelves.of(caller), request.path_params.get("logical_id"))
        now = dependencies.clock.now()
        return fhir_response(expand(found, asked, identifier=dependencies.ids.new(), now=now))

    return expand_value_set


async def _received(request: Request, dependencies: DtrDependencies, *types: str) -> Resource:
    """The body, checked; one of these types."""
    body = read_json(await read_body(request, dependencies.settings), dependencies.settings)
    return dependencies.check.require(body, expected=frozenset(types))


def _search(dependencies: DtrDependencies, shelves: _Shelves, shape: Shape, kind: str) -> _Endpoint:
    async def search(request: Request) -> Response:
        caller = await dependencies.access(request, f"system/{kind}.rs")
        asked = request.query_params.get("url")
        url, of_canonical = split_canonical(asked) if asked else (None, None)
        version = request.query_params.get("version") or of_canonical
        found = shelves.of(caller).search(kind, url, version)
        base = dependencies.settings.base_url + shape.base_path
        entries = [entry(f"{base}/{kind}/{r['id']}", r, search={"mode": "match"}) for r in found]
        # What was understood of the search, and nothing else of what was sent (FHIR R4 http.html#search).
        understood = urlencode({name: value for name, value in (("url", url), ("version", version)) if value})
        link = [{"relation": "self", "url": f"{base}/{kind}" + (f"?{understood}" if understood else "")}]
        return fhir_response(bundle("searchset", entries, total=len(entries), link=link))

    return search


def _read(dependencies: DtrDependencies, shelves: _Shelves, kind: str) -> _Endpoint:
    async def read(request: Request) -> Response:
        caller = await dependencies.access(request, f"system/{kind}.rs")
        found = shelves.of(caller).by_id(kind, request.path_params["logical_id"])
        if found is None:
            raise NotFound(f"There is no {kind} with that id here. Search by url instead.")
        return fhir_response(found)

    return read

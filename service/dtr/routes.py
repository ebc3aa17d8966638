"""HTTP of DTR: the package operation, and the look-ups of what our answers refer to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

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
from service.ports import Clock, Evaluator, Ids, PolicyRegistry, Store
from service.settings import Settings
from service.wire import FhirAccess, fhir_response, read_body, read_json

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


def build(dependencies: DtrDependencies, version: Version) -> APIRouter:
    """The routes of one version, relative to its FHIR base. Packages' contents are assembled here, once."""
    shape = SHAPES[version]
    settings = dependencies.settings
    shelf = stock(dependencies.registry, shape, versioned_canonicals=settings.versioned_canonicals)
    packager = Packager(
        shape=shape,
        sources=Sources(dependencies.registry, dependencies.store, settings, shelf),
        logic=ChartLogic(dependencies.evaluator, dependencies.prepare),
        clock=dependencies.clock,
        ids=dependencies.ids,
    )
    router = APIRouter()
    router.add_api_route("/Questionnaire/$questionnaire-package", _package(dependencies, packager), methods=["POST"])
    for kind in KINDS:
        router.add_api_route(f"/{kind}", _search(dependencies, shelf, shape, kind), methods=["GET"])
        router.add_api_route(f"/{kind}/{{logical_id}}", _read(dependencies, shelf, kind), methods=["GET"])
    return router


def _package(dependencies: DtrDependencies, packager: Packager) -> _Endpoint:
    async def questionnaire_package(request: Request) -> Response:
        caller = await dependencies.access(request, "system/Questionnaire.rs")
        body = read_json(await read_body(request, dependencies.settings), dependencies.settings)
        parameters = dependencies.check.require(body, expected=frozenset({"Parameters"}))
        return fhir_response(await packager.answer(package_request(parameters), caller))

    return questionnaire_package


def _search(dependencies: DtrDependencies, shelf: Shelf, shape: Shape, kind: str) -> _Endpoint:
    async def search(request: Request) -> Response:
        await dependencies.access(request, f"system/{kind}.rs")
        asked = request.query_params.get("url")
        url, of_canonical = split_canonical(asked) if asked else (None, None)
        found = shelf.search(kind, url, request.query_params.get("version") or of_canonical)
        base = dependencies.settings.base_url + shape.base_path
        entries = [entry(f"{base}/{kind}/{r['id']}", r, search={"mode": "match"}) for r in found]
        return fhir_response(bundle("searchset", entries, total=len(entries)))

    return search


def _read(dependencies: DtrDependencies, shelf: Shelf, kind: str) -> _Endpoint:
    async def read(request: Request) -> Response:
        await dependencies.access(request, f"system/{kind}.rs")
        found = shelf.by_id(kind, request.path_params["logical_id"])
        if found is None:
            raise NotFound(f"There is no {kind} with that id here. Search by url instead.")
        return fhir_response(found)

    return read

"""The front page: what this is, and what a person may open."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import FileResponse, HTMLResponse, Response

from service.errors import NotFound
from service.ports import PolicyRegistry
from service.settings import Settings

_HERE: Final = Path(__file__).parent
_PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def build(settings: Settings, registry: PolicyRegistry) -> APIRouter:
    """GET /, /policies/{id} (each policy in the payer's words) and their style sheet. Fixed pages, made once."""
    router = APIRouter()
    templates = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined)
    policies = [loaded.policy for loaded in registry.all()]
    front = templates.get_template("home.html").render(settings=settings, policies=policies)
    pages = {
        policy.ref.id: templates.get_template("policy.html").render(
            settings=settings, revisions=[each for each in policies if each.ref.id == policy.ref.id]
        )
        for policy in policies
    }

    @router.get("/")
    async def home() -> Response:
        return _page(front)

    @router.get("/policies/{policy_id}")
    async def policy_page(policy_id: str) -> Response:
        page = pages.get(policy_id)
        if page is None:
            raise NotFound("There is no such policy here.")
        return _page(page)

    @router.get("/static/home.css")
    async def style() -> Response:
        return FileResponse(_HERE / "static" / "home.css", headers={"Cache-Control": "public, max-age=3600"})

    @router.get("/favicon.ico")
    async def icon() -> Response:
        return Response(status_code=204, headers={"Cache-Control": "public, max-age=86400"})

    return router


def _page(content: str) -> Response:
    return HTMLResponse(content, headers={"Content-Security-Policy": _PAGE_POLICY})

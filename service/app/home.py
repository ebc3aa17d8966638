"""The front page: what this is, and what a person may open."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import FileResponse, HTMLResponse, Response

from service.ports import PolicyRegistry
from service.settings import Settings

_HERE: Final = Path(__file__).parent
_PAGE_POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def build(settings: Settings, registry: PolicyRegistry) -> APIRouter:
    """GET / and its style sheet."""
    router = APIRouter()
    templates = Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined)
    policies = [
        {"title": loaded.policy.title, "document": loaded.policy.document, "effective": loaded.policy.effective}
        for loaded in registry.all()
    ]
    page = templates.get_template("home.html").render(settings=settings, policies=policies)

    @router.get("/")
    async def home() -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": _PAGE_POLICY})

    @router.get("/static/home.css")
    async def style() -> Response:
        return FileResponse(_HERE / "static" / "home.css", headers={"Cache-Control": "public, max-age=3600"})

    return router

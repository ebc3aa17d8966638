"""Health, readiness and metrics."""

from __future__ import annotations

from typing import Protocol

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.responses import JSONResponse, Response

from service.ports import PolicyRegistry


class Readiness(Protocol):
    """A part that can say whether it works now."""

    async def ready(self) -> bool: ...


def build(store: Readiness, registry: PolicyRegistry, metrics: CollectorRegistry) -> APIRouter:
    """GET /health/live, /health/ready, /metrics. None needs access; none tells anything about a patient."""
    router = APIRouter()

    @router.get("/health/live")
    async def live() -> Response:
        return JSONResponse({"status": "ok"})

    @router.get("/health/ready")
    async def ready() -> Response:
        stored = await store.ready()
        policies = [f"{loaded.policy.ref.id} {loaded.policy.ref.version}" for loaded in registry.all()]
        status = "ok" if stored and policies else "unavailable"
        body = {"status": status, "store": "ok" if stored else "unavailable", "policies": policies}
        return JSONResponse(body, status_code=200 if status == "ok" else 503)

    @router.get("/metrics")
    async def show_metrics() -> Response:
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    return router

"""Subscriptions over HTTP: create, read, $status, update, delete, by the client that owns them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from fastapi import APIRouter
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from service.errors import BusinessRule, Fault, InvalidResource, NotFound
from service.fhir.build import Json
from service.fhir.parse import StructureCheck
from service.pas.codes import X12Codes
from service.pas.notification import Notices
from service.pas.outbox import Outbox
from service.pas.shape import Rendering, Shape
from service.pas.subscription import checked, has_ended, reach_of
from service.ports import Caller, Clock, Ids, Subscription
from service.settings import Settings
from service.wire import FhirAccess, fhir_response, read_body, read_json

MOST: Final = 100
"""Subscriptions of one client."""

# The handshake goes out once the answer has left. When this process dies in between, it goes out then.
_AT_LATEST: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class SubscriptionDependencies:
    """`wake` tells the notifier that there is something to send."""

    settings: Settings
    outbox: Outbox
    codes: X12Codes
    clock: Clock
    ids: Ids
    access: FhirAccess
    check: StructureCheck
    wake: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """The use cases, in one guide version."""

    dependencies: SubscriptionDependencies
    shape: Shape

    async def create(self, request: Request, caller: Caller) -> Subscription:
        """A new one, requested; its handshake waits."""
        given = self.dependencies
        if len(await given.outbox.subscriptions_of(caller.client)) >= MOST:
            raise BusinessRule(f"You have {MOST} subscriptions. Delete those that are not needed any more.")
        made = Subscription(
            id=given.ids.new(),
            client=caller.client,
            guide_version=self.shape.version,
            status="requested",
            resource=await self._received(request, caller),
            made_at=given.clock.now(),
        )
        await given.outbox.subscribe(made, given.clock.now() + _AT_LATEST)
        return made

    async def change(self, subscription_id: str, request: Request, caller: Caller) -> Subscription:
        """Replaced: status off ends it, every other one asks for a new handshake."""
        before = await self.owned(subscription_id, caller)
        resource = await self._received(request, caller)
        if resource.get("id") != subscription_id:
            fault = Fault("Subscription.id", "must be the id in the address", "invalid")
            raise InvalidResource(f"{fault.expression} {fault.problem}.", faults=(fault,))
        status = resource.get("status")
        changed = replace(before, status="off" if status == "off" else "requested", resource=resource)
        await self.dependencies.outbox.resubscribe(changed, self.dependencies.clock.now() + _AT_LATEST)
        return changed

    async def owned(self, subscription_id: str, caller: Caller) -> Subscription:
        """NotFound unless it is this client's, and of this guide version: others learn nothing."""
        found = await self.dependencies.outbox.subscription(subscription_id)
        if found is None or (found.client, found.guide_version) != (caller.client, self.shape.version):
            raise NotFound("There is no such Subscription of yours here.")
        if has_ended(found, self.dependencies.clock.now()):
            return replace(found, status="off")
        return found

    def shown(self, subscription: Subscription) -> Json:
        """As received, with our id and its status."""
        own = {"id": subscription.id, "status": subscription.status}
        return {"resourceType": "Subscription", **own} | {
            name: value for name, value in subscription.resource.items() if name not in {"resourceType", *own}
        }

    def status(self, subscription: Subscription) -> Json:
        given = self.dependencies
        return Notices(subscription, self.rendering, given.ids, given.clock.now()).status_answer()

    @property
    def rendering(self) -> Rendering:
        return Rendering(self.dependencies.settings, self.dependencies.codes, self.shape)

    def handshake(self, subscription: Subscription) -> BackgroundTask:
        """Runs when the answer has been sent: a handshake before it reaches somebody who knows of nothing."""

        async def release() -> None:
            await self.dependencies.outbox.hasten(subscription.id, self.dependencies.clock.now())
            self.dependencies.wake()

        return BackgroundTask(release)

    async def _received(self, request: Request, caller: Caller) -> Json:
        given = self.dependencies
        body = read_json(await read_body(request, given.settings), given.settings)
        reach = reach_of(caller.client, given.settings)
        return checked(body, given.check, version=self.shape.version, reach=reach)


def build(dependencies: SubscriptionDependencies, shape: Shape) -> APIRouter:
    """Relative to the version's FHIR base. ServiceErrors are left to the application."""
    router = APIRouter(prefix="/Subscription")
    use = Subscriptions(dependencies, shape)

    @router.post("")
    async def create(request: Request) -> Response:
        made = await use.create(request, await dependencies.access(request, "system/Subscription.c"))
        answer = fhir_response(use.shown(made), 201, {"Location": use.rendering.own_url("Subscription", made.id)})
        answer.background = use.handshake(made)
        return answer

    @router.get("/{subscription_id}")
    async def read(request: Request, subscription_id: str) -> Response:
        caller = await dependencies.access(request, "system/Subscription.r")
        return fhir_response(use.shown(await use.owned(subscription_id, caller)))

    @router.api_route("/{subscription_id}/$status", methods=["GET", "POST"])
    async def status(request: Request, subscription_id: str) -> Response:
        caller = await dependencies.access(request, "system/Subscription.r")
        return fhir_response(use.status(await use.owned(subscription_id, caller)))

    @router.put("/{subscription_id}")
    async def update(request: Request, subscription_id: str) -> Response:
        caller = await dependencies.access(request, "system/Subscription.u")
        changed = await use.change(subscription_id, request, caller)
        answer = fhir_response(use.shown(changed))
        if changed.status == "requested":
            answer.background = use.handshake(changed)
        return answer

    @router.delete("/{subscription_id}")
    async def delete(request: Request, subscription_id: str) -> Response:
        caller = await dependencies.access(request, "system/Subscription.d")
        await dependencies.outbox.unsubscribe((await use.owned(subscription_id, caller)).id)
        return Response(status_code=204)

    return router

"""The Bundles that a subscriber is sent: handshake and events, and the answer to $status (Subscriptions backport)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from service.fhir.build import Json, bundle, entry, parameter, parameters
from service.fhir.canonical import PAS_SUBSCRIPTION_TOPIC, SUBSCRIPTION_STATUS
from service.pas.elements import instant
from service.pas.shape import Rendering
from service.ports import Ids, Subscription

Kind = Literal["handshake", "event-notification", "query-status"]


@dataclass(frozen=True, slots=True)
class Notices:
    """What one subscription is told, at the time `now`."""

    subscription: Subscription
    rendering: Rendering
    ids: Ids
    now: datetime

    def handshake(self) -> Json:
        """The first notification: does anybody listen there?"""
        return self._history(self._status("handshake"), [])

    def event(self, number: int, happened: datetime, focus: Json) -> Json:
        """One event; `focus` is its entry, with the resource (full-resource) or without (id-only)."""
        told = parameter(
            "notification-event",
            parts=[
                parameter("event-number", valueString=str(number)),
                parameter("timestamp", valueInstant=instant(happened)),
                parameter("focus", valueReference={"reference": focus["fullUrl"]}),
            ],
        )
        return self._history(self._status("event-notification", told), [focus])

    def status_answer(self) -> Json:
        """What $status says: a searchset with one Parameters."""
        # Every resource of a searchset has an id.
        status = {**self._status("query-status"), "id": self.ids.new()}
        found = entry(f"urn:uuid:{status['id']}", status, search={"mode": "match"})
        asked = [{"relation": "self", "url": f"{self._url}/$status"}]
        return bundle("searchset", [found], id=self.ids.new(), timestamp=instant(self.now), total=1, link=asked)

    @property
    def _url(self) -> str:
        return self.rendering.own_url("Subscription", self.subscription.id)

    def _status(self, kind: Kind, told: Json | None = None) -> Json:
        """The status Parameters with all members; the guide's own example lacks some and fails (pas.md trap 6)."""
        return parameters(
            parameter("subscription", valueReference={"reference": self._url}),
            parameter("topic", valueCanonical=PAS_SUBSCRIPTION_TOPIC),
            parameter("status", valueCode=self.subscription.status),
            parameter("type", valueCode=kind),
            parameter("events-since-subscription-start", valueString=str(self.subscription.events)),
            told,
            profile=SUBSCRIPTION_STATUS,
        )

    def _history(self, status: Json, focus: Sequence[Json]) -> Json:
        asked = {"method": "GET", "url": f"{self._url}/$status"}
        first = entry(f"urn:uuid:{self.ids.new()}", status, request=asked, response={"status": "200"})
        return bundle("history", [first, *focus], id=self.ids.new(), timestamp=instant(self.now))


def full_focus(full_url: str, response: Json) -> Json:
    """The whole PAS response Bundle (2.2.1)."""
    return entry(full_url, response, request={"method": "POST", "url": "Bundle"}, response={"status": "201"})


def id_focus(full_url: str, case_id: str) -> Json:
    """The ClaimResponse by its address alone: it is read there, or asked for with $inquire (2.0.1)."""
    request = {"method": "PUT", "url": f"ClaimResponse/{case_id}"}
    return {"fullUrl": full_url, "request": request, "response": {"status": "200"}}

"""Subscriptions at the wire: what is taken, what is refused, and that nobody reaches another's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from service.errors import BusinessRule, InvalidResource
from service.fhir.parse import StructureCheck
from service.pas import subscription_routes
from service.pas.subscription import checked, headers_of, reach_of
from service.policy.case import ClientId
from service.settings import Settings
from tests.unit.pas.notified import BACKPORT, Make, Notified, subscription

Json = dict[str, Any]
ENDPOINT = "https://hooks.example.org/pas/in"
SETTINGS = Settings(subscriber_hosts=("hooks.example.org", "clinic=own.example.org:8443"))
REACH = reach_of(ClientId("clinic"), SETTINGS)


def accepted(body: Json, check: StructureCheck, version: Any = "2.2.1") -> Json:
    return checked(body, check, version=version, reach=REACH)


def test_what_the_guide_shows_is_taken(check: StructureCheck) -> None:
    assert accepted(subscription(ENDPOINT), check)["channel"]["endpoint"] == ENDPOINT
    assert accepted(subscription(ENDPOINT, "2.0.1"), check, "2.0.1")
    versioned = subscription(ENDPOINT) | {"criteria": subscription(ENDPOINT)["criteria"] + "|2.2.1"}
    assert accepted(versioned, check)


def test_hosts_are_registered_for_all_or_for_one_client() -> None:
    assert REACH.hosts == {"hooks.example.org", "own.example.org:8443"}
    assert reach_of(ClientId("other"), SETTINGS).hosts == {"hooks.example.org"}
    assert reach_of(ClientId("other"), Settings()).hosts == frozenset()


def _without(body: Json, name: str) -> Json:
    return {key: value for key, value in body.items() if key != name}


def _channel(body: Json, **changes: Any) -> Json:
    return body | {"channel": body["channel"] | changes}


def _filtered(body: Json, *filters: str) -> Json:
    return body | {"_criteria": subscription(ENDPOINT, "2.2.1", *filters)["_criteria"]}


REFUSED: dict[str, Callable[[Json], Json]] = {
    "another topic": lambda s: s | {"criteria": "http://example.org/topic"},
    "no filter": lambda s: _without(s, "_criteria"),
    "another filter": lambda s: _filtered(s, "patient=1"),
    "an empty filter": lambda s: _filtered(s, "org-identifier="),
    "a filter of commas": lambda s: _filtered(s, "org-identifier=,,"),
    "no name": lambda s: _filtered(s, "1245319599"),
    "a filter that is no text": lambda s: (
        s | {"_criteria": {"extension": [{"url": BACKPORT + "filter-criteria", "valueInteger": 1}]}}
    ),
    "another extension": lambda s: (
        s | {"_criteria": {"extension": [{"url": "http://example.org/x", "valueString": "identifier=1"}]}}
    ),
    "too many filters": lambda s: _filtered(s, *["identifier=1"] * 21),
    "an end without zone": lambda s: s | {"end": "2026-09-01T16:04:07"},
    "websocket": lambda s: _channel(s, type="websocket"),
    "another payload": lambda s: _channel(s, payload="application/fhir+xml"),
    "no payload": lambda s: s | {"channel": _without(s["channel"], "payload")},
    "no content": lambda s: s | {"channel": _without(s["channel"], "_payload")},
    "no endpoint": lambda s: s | {"channel": _without(s["channel"], "endpoint")},
    **{
        f"endpoint {endpoint}": partial(_channel, endpoint=endpoint)
        for endpoint in (
            "http://hooks.example.org/pas/in",
            "https://user:secret@hooks.example.org/in",
            "https://hooks.example.org@evil.example.org/in",
            "https://hooks.example.org.evil.example.org/in",
            "https://hooks.example.org:444/in",
            "https://hooks.example.org/in?to=them",
            "https://hooks.example.org/in#x",
            "https://evil.example.org/in",
            "https://127.0.0.1/in",
            "https://169.254.169.254/latest",
            "https://[::1]/in",
            "https://hooks.example.org/../in",
            "file:///etc/passwd",
            "https://hooks.example.org\\@evil.example.org/",
        )
    },
    **{
        f"header {header[:20]!r}": partial(_channel, header=[header])
        for header in ("no colon", "A: b\r\nHost: evil", "Host: evil", "Content-Length: 1", "X: \u00e4", ": x", "X:")
    },
    "too many headers": lambda s: _channel(s, header=["X: y"] * 21),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.requirement("spec-56", "spec-57", "spec-58")
def test_what_is_not_done_is_refused(check: StructureCheck, name: str) -> None:
    with pytest.raises((BusinessRule, InvalidResource)) as refused:
        accepted(REFUSED[name](subscription(ENDPOINT)), check)
    for secret in ("secret", "evil", "169.254"):
        assert secret not in refused.value.text


@pytest.mark.parametrize(("version", "other"), [("2.2.1", "2.0.1"), ("2.0.1", "2.2.1")])
@pytest.mark.requirement("spec-62")
def test_each_version_has_its_content(check: StructureCheck, version: Any, other: Any) -> None:
    with pytest.raises(BusinessRule, match="content"):
        accepted(subscription(ENDPOINT, other), check, version)


@pytest.mark.parametrize("body", [None, [], "x", {}, {"resourceType": "Patient"}, {"resourceType": "Subscription"}])
def test_what_is_no_subscription_is_refused(check: StructureCheck, body: Any) -> None:
    with pytest.raises((InvalidResource, BusinessRule)):
        accepted(body, check)


def test_headers_are_taken_as_written() -> None:
    body = subscription(ENDPOINT, header=["Authorization:Bearer a.b=", "X-Two:  one  two  "])
    assert headers_of(body) == [("Authorization", "Bearer a.b="), ("X-Two", "one  two")]


@pytest.mark.requirement("spec-54")
async def test_create_answers_requested_with_our_id(notified: Notified) -> None:
    body = subscription("http://127.0.0.1:1/hook") | {"id": "theirs", "status": "active"}
    answer = await notified.call("POST", "/fhir/Subscription", body)
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"https://payer.example.org/fhir/Subscription/{made['id']}"
    assert made == body | {"id": made["id"], "status": "requested"}
    assert made["id"] != "theirs"
    assert (await notified.call("GET", f"/fhir/Subscription/{made['id']}")).json() == made
    assert notified.payer.scopes == ["system/Subscription.c", "system/Subscription.r"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.requirement("spec-54")
async def test_status_says_where_it_stands(notified: Notified, check: StructureCheck, method: str) -> None:
    made = await notified.subscribe(subscription("http://127.0.0.1:1/hook"))
    answer = await notified.call(method, f"/fhir/Subscription/{made}/$status")
    bundle = answer.json()
    assert (answer.status_code, bundle["type"], bundle["total"]) == (200, "searchset", 1)
    assert bundle["link"] == [
        {"relation": "self", "url": f"https://payer.example.org/fhir/Subscription/{made}/$status"}
    ]
    assert check.check(bundle) == ()
    [entry] = bundle["entry"]
    values = {
        one["name"]: next(value for key, value in one.items() if key.startswith("value"))
        for one in entry["resource"]["parameter"]
    }
    assert values == {
        "subscription": {"reference": f"https://payer.example.org/fhir/Subscription/{made}"},
        "topic": "http://hl7.org/fhir/us/davinci-pas/SubscriptionTopic/PASSubscriptionTopic",
        "status": "requested",
        "type": "query-status",
        "events-since-subscription-start": "0",
    }


@pytest.mark.requirement("spec-59")
async def test_another_s_is_not_there(notified: Notified) -> None:
    body = subscription("http://127.0.0.1:1/hook")
    made = await notified.subscribe(body)
    calls = [
        ("GET", f"/fhir/Subscription/{made}", None),
        ("GET", f"/fhir/Subscription/{made}/$status", None),
        ("POST", f"/fhir/Subscription/{made}/$status", None),
        ("PUT", f"/fhir/Subscription/{made}", body | {"id": made}),
        ("DELETE", f"/fhir/Subscription/{made}", None),
    ]
    for method, path, sent in calls:
        stranger = await notified.call(method, path, sent, client="stranger")
        unknown = await notified.call(method, path.replace(made, "unknown"), sent and {**sent, "id": "unknown"})
        # The other version's base does not know it either.
        elsewhere = await notified.call(method, f"/2.0.1{path}", sent)
        assert [stranger.status_code, unknown.status_code, elsewhere.status_code] == [404, 404, 404]
        assert stranger.json() == unknown.json()
    assert (await notified.call("GET", f"/fhir/Subscription/{made}")).json() == body | {"id": made}


async def test_an_update_names_its_own_id_and_is_checked_like_a_new_one(notified: Notified) -> None:
    body = subscription("http://127.0.0.1:1/hook")
    made = await notified.subscribe(body)
    path = f"/fhir/Subscription/{made}"
    assert (await notified.call("PUT", path, body)).status_code == 400
    assert (await notified.call("PUT", path, body | {"id": "other"})).status_code == 400
    assert (await notified.call("PUT", path, body | {"id": made, "criteria": "x"})).status_code == 422
    assert (await notified.call("GET", path)).json() == body | {"id": made}


async def test_a_client_has_so_many_and_no_more(notified: Notified, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscription_routes, "MOST", 2)
    body = subscription("http://127.0.0.1:1/hook")
    codes = [(await notified.call("POST", "/fhir/Subscription", body)).status_code for _ in range(3)]
    assert codes == [201, 201, 422]
    assert (await notified.call("POST", "/fhir/Subscription", body, client="other")).status_code == 201


async def test_a_broken_body_is_an_operation_outcome(notified: Notified, make: Make) -> None:
    answer = await notified.call("POST", "/fhir/Subscription", subscription("https://evil.example.org/"))
    assert answer.status_code == 422
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["expression"] == ["Subscription.channel.endpoint"]

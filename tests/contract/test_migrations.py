"""Cases of older schemas are found under the names that newer ones look for."""

from __future__ import annotations

import json
from decimal import Decimal

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from service.policy.case import ClientId
from service.store.changes import trace_name
from service.store.connect import WRITES, open_engine
from tests.contract.cases import EHR, NOW, case
from tests.contract.conftest import opened
from tests.doubles import FrozenClock

BEFORE_NAMES = "0002"
URL = "urn:uuid:a0000000-0000-4000-8000-000000000001"
TRACE = {
    "url": "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-itemTraceNumber",
    "valueIdentifier": {"system": "urn:trnorg:1", "value": "LINE-1"},
}
CLAIM = {"resourceType": "Claim", "item": [{"sequence": 1, "extension": [{"url": "urn:other"}, TRACE]}]}
BUNDLE = {"resourceType": "Bundle", "entry": [{"fullUrl": URL, "resource": CLAIM}]}
CARRIED: dict[str, object] = {
    "sequence": 1,
    "extension": [{**TRACE, "valueIdentifier": {"value": "LINE-9"}}],
    "quantity": {"value": 72.5},
}
REQUESTS = [
    BUNDLE,
    {"resourceType": "Parameters", "parameter": [{"name": "x"}, {"name": "resource", "resource": BUNDLE}]},
    {"resourceType": "Bundle", "entry": []},
]


async def test_cases_accepted_before_they_had_names_are_found(database: str, clock: FrozenClock) -> None:
    _accept_in_the_old_schema(database)
    async with opened(database, clock) as store:
        found = await store.case_by_number("PA-1")
        assert found is not None
        assert (found.id, found.revision, found.due) == (case(1).id, 1, None)
        newest = await store.case_for_claim(EHR, URL, ())
        assert newest is not None
        assert newest.id == case(1).id
        last = await store.case_for_claim(EHR, "", ("urn:x|1",))
        assert last is not None
        assert last.id == case(2).id
        assert await store.case_for_claim(ClientId("ehr-2"), URL, ("urn:x|1",)) is None
        assert len(await store.open_cases()) == len(REQUESTS)


async def test_cases_accepted_before_they_had_traces_are_found_by_them(database: str, clock: FrozenClock) -> None:
    """The newest with that number, for the client that gave it, and its form is asked for by it."""
    _accept_in_the_old_schema(database)
    async with opened(database, clock) as store:
        found = await store.case_by_trace(EHR, "LINE-1")
        assert found is not None
        assert (found.id, [line.trace for line in found.lines]) == (case(1).id, ["LINE-1"])
        assert await store.case_by_trace(ClientId("ehr-2"), "LINE-1") is None
        assert await store.case_by_trace(EHR, "LINE-2") is None
        # Its request cannot be read; the line was kept from an earlier one, in the digits that it had.
        kept = await store.case_by_trace(EHR, "LINE-9")
        assert kept is not None
        assert kept.id == case(2).id
        assert str(kept.lines[0].carried) == str(CARRIED | {"quantity": {"value": Decimal("72.50")}})


async def test_a_case_that_had_its_trace_already_stays_the_newest(database: str, clock: FrozenClock) -> None:
    """Names that older cases are given now do not make them the newer ones."""
    _accept_in_the_old_schema(database, "0008")
    engine = open_engine(database, connections=1).execution_options(**{WRITES: True})
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE cases SET document = replace(document, :old, :new) WHERE id = :id"),
            {"id": case(1).id, "old": '"carried": null', "new": '"trace": "LINE-1"'},
        )
        connection.execute(
            sa.text("INSERT INTO case_names (lookup, case_id) VALUES (:name, :id)"),
            {"name": trace_name(EHR, "LINE-1"), "id": case(1).id},
        )
    engine.dispose()
    async with opened(database, clock) as store:
        newest = await store.case_by_trace(EHR, "LINE-1")
        assert newest is not None
        assert newest.id == case(1).id


def _accept_in_the_old_schema(database: str, then: str = BEFORE_NAMES) -> None:
    """One case for each request, as the first version of the service wrote them; the schema goes on to `then`."""
    config = Config()
    config.set_main_option("script_location", "service.store:migrations")
    engine = open_engine(database, connections=1).execution_options(**{WRITES: True})
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, BEFORE_NAMES)
        for number, request in enumerate(REQUESTS):
            _insert(connection, number, json.dumps(request).encode())
        command.upgrade(config, then)
    engine.dispose()


def _insert(connection: sa.Connection, number: int, request: bytes) -> None:
    decision = {"outcome": "pended", "clinician": None, "reasons": ["why"]}
    line: dict[str, object] = {
        "authorizationNumber": None,
        "referenceNumber": f"PA-{number}",
        "sequence": 1,
        "code": None,
        "decision": decision,
        "period": None,
        "policy": None,
        "pathway": None,
        "findings": [],
        "obstacles": [],
        "notes": [],
        "carried": CARRIED if number == len(REQUESTS) - 1 else None,
    }
    one = case(number)
    document = {
        "format": 1,
        "id": one.id,
        "client": one.client,
        "guideVersion": one.guide_version,
        "receivedAt": one.received_at.isoformat(),
        "decidedAt": one.decided_at.isoformat(),
        "member": one.member,
        "providers": [],
        "claimIdentifiers": ["urn:x|1"],
        "firstService": None,
        "lines": [line],
        "linked": [],
    }
    hashed = f"sha256:{number}"
    connection.execute(
        sa.text(
            "INSERT INTO submissions (client, content_hash, case_id, request, reply_status, reply_body) "
            "VALUES (:client, :hash, :id, :request, 200, :request)"
        ),
        {"client": one.client, "hash": hashed, "id": one.id, "request": request},
    )
    connection.execute(
        sa.text(
            "INSERT INTO cases (id, client, member, outcome, received_at, content_hash, document) "
            "VALUES (:id, :client, :member, 'pended', :at, :hash, :document)"
        ),
        {
            "id": one.id,
            "client": one.client,
            "member": one.member,
            "at": NOW.isoformat(sep=" "),
            "hash": hashed,
            "document": json.dumps(document).replace("72.5", "72.50"),
        },
    )

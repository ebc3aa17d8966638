"""What stays of a call: the record of it, and the assertions that lead to the form. Nothing else, nowhere else."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from service.store.sql import open_store
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.world import Json, medication_request, patient, request, searchset

Opened = Callable[..., Endpoint]
# Words that stand nowhere but in what the client sent.
OF_THE_PATIENT = ("Garbo", "1958-02-03", "M-1", "Small cell", "Seasick Lane", "House-MD", "s3cr3t-token")


def chart() -> Json:
    person = {**patient(), "address": [{"line": ["5 Seasick Lane"]}]}
    disease = {
        "resourceType": "Condition",
        "id": "c1",
        "subject": {"reference": "Patient/p1"},
        "code": {"text": "Small cell lung cancer"},
    }
    doctor = {"resourceType": "Practitioner", "id": "d1", "name": [{"family": "House-MD"}]}
    return {"patient": person, "conditions": searchset(disease), "practitioners": searchset(doctor)}


def rows_of(file: Path) -> dict[str, str]:
    """Every table that holds a row -> all that it holds, as text."""
    with sqlite3.connect(file) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        held = {name: database.execute(f'SELECT * FROM "{name}"').fetchall() for name in names}
    database.close()
    text = {
        name: " ".join(v.decode() if isinstance(v, bytes) else str(v) for row in rows for v in row)
        for name, rows in held.items()
        if rows
    }
    return {name: told for name, told in text.items() if name not in ("alembic_version", "sqlite_sequence")}


@pytest.mark.requirement("sec-5", "sec-6", "found-37")
async def test_what_was_received_is_kept_for_disputes_and_for_the_form_only(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="service")
    file = tmp_path / "store.db"
    store = open_store(f"sqlite:///{file}")
    endpoint = opened(store=store)
    body = request(medication_request(), fhirAuthorization={"access_token": "s3cr3t-token", "token_type": "Bearer"})
    body["prefetch"] |= chart()
    await endpoint.call(body)
    await endpoint.call({**body, "hook": "order-select", "context": {**body["context"], "selections": []}})
    await store.close()
    held = rows_of(file)
    assert set(held) == {"assertions", "exchanges"}
    # The record of the call has all of it but the token; the assertion has none.
    assert [word for word in OF_THE_PATIENT if word in held["exchanges"]] == list(OF_THE_PATIENT[:-1])
    assert [word for word in OF_THE_PATIENT if word in held["assertions"]] == []
    assert "zorvex-initial" in held["assertions"]
    assert not any(word in str(vars(record)) for record in caplog.records for word in OF_THE_PATIENT)


@pytest.mark.requirement("sec-6", "found-11")
async def test_an_answer_that_was_not_wanted_is_not_kept_as_given(opened: Opened, tmp_path: Path) -> None:
    """A client that wants no coverage-information was told nothing that could be honoured later."""
    file = tmp_path / "store.db"
    store = open_store(f"sqlite:///{file}")
    body = request()
    body["extension"] = {"davinci-crd.configuration": {"coverage-info": False}}
    await opened(store=store).call(body)
    await store.close()
    assert set(rows_of(file)) == {"exchanges"}

"""The documents of a draft: where they are kept, what is read again, and what is taken back."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from service.dtr.app.documents import MOST_BYTES, Attached, from_file, from_record
from service.dtr.app.draft_documents import (
    kept_in_ehr,
    read_documents,
    take_back,
    with_documents,
    without_contained,
)
from tests.doubles import CountingIds
from tests.unit.dtr.samples import validate
from tests.unit.dtr_app.clinic import NOW, PATIENT, Clinic
from tests.unit.dtr_app.test_opening import a_draft

MAY = frozenset({"patient/DocumentReference.cu"})


def a_file(content: bytes = b"Grown.", name: str = "ct.txt") -> Attached:
    data = base64.b64encode(content).decode()
    about: Any = ({"resourceType": "Patient", "id": PATIENT}, {"display": "Dr. Okafor"})
    return from_file(name, data, about, ("n1", NOW))


def content_of(document: Attached) -> bytes:
    return base64.b64decode(document.resource["content"][0]["attachment"]["data"])


@pytest.mark.parametrize("scopes", [MAY, {"patient/*.cruds"}, {"user/*.*"}, {"patient/DocumentReference.write"}])
async def test_a_file_is_kept_in_the_ehr_where_the_token_allows_it(clinic: Clinic, scopes: Any) -> None:
    (kept,) = await kept_in_ehr(clinic.ehr(), frozenset(scopes), (a_file(),))
    assert (kept.in_ehr, kept.reference) == (True, "DocumentReference/made")
    held = clinic.store.read("DocumentReference", "made")
    validate(held)
    response = with_documents(a_draft(await clinic.open()), (kept,))
    assert "contained" not in response
    read = await read_documents(clinic.ehr(), PATIENT, response, CountingIds())
    assert [(content_of(each), each.uploaded, each.in_ehr) for each in read.documents] == [(b"Grown.", True, True)]


@pytest.mark.parametrize("scopes", [set(), {"patient/*.rs"}, {"patient/Observation.c"}, {"system/*.cruds"}])
async def test_without_the_right_it_is_inside_the_draft(clinic: Clinic, scopes: Any) -> None:
    (kept,) = await kept_in_ehr(clinic.ehr(), frozenset(scopes), (a_file(),))
    assert not kept.in_ehr
    response = with_documents(a_draft(await clinic.open()), (kept,))
    validate(response)
    assert [each["resourceType"] for each in response["contained"]] == ["DocumentReference"]
    read = await read_documents(clinic.ehr(), PATIENT, response, CountingIds())
    (again,) = read.documents
    assert (content_of(again), again.title, again.uploaded, again.in_ehr) == (b"Grown.", "ct.txt", True, False)
    assert "contained" not in without_contained(response)


async def test_an_ehr_that_refuses_leaves_it_inside_the_draft(clinic: Clinic) -> None:
    clinic.silent.add("DocumentReference")
    (kept,) = await kept_in_ehr(clinic.ehr(), MAY, (a_file(),))
    assert not kept.in_ehr


async def test_a_record_of_the_chart_is_named_and_never_changed(clinic: Clinic) -> None:
    content = [{"attachment": {"contentType": "text/plain", "data": "R3Jvd24u"}}]
    clinic.add({"resourceType": "DocumentReference", "id": "r1", "status": "current", "content": content})
    record = await from_record(clinic.ehr(), PATIENT, "DocumentReference/r1")
    (kept,) = await kept_in_ehr(clinic.ehr(), MAY, (record,))
    response = with_documents(a_draft(await clinic.open()), (kept,))
    await take_back(clinic.ehr(), response, ())
    assert clinic.store.read("DocumentReference", "r1")["status"] == "current"
    read = await read_documents(clinic.ehr(), PATIENT, response, CountingIds())
    assert [(each.reference, each.uploaded) for each in read.documents] == [("DocumentReference/r1", False)]


async def test_a_file_taken_off_the_draft_is_marked_as_an_error(clinic: Clinic) -> None:
    (kept,) = await kept_in_ehr(clinic.ehr(), MAY, (a_file(),))
    response = with_documents(a_draft(await clinic.open()), (kept,))
    await take_back(clinic.ehr(), response, (kept,))
    assert clinic.store.read("DocumentReference", "made")["status"] == "current"
    await take_back(clinic.ehr(), response, ())
    assert clinic.store.read("DocumentReference", "made")["status"] == "entered-in-error"
    read = await read_documents(clinic.ehr(), PATIENT, response, CountingIds())
    assert (read.documents, read.lost) == ((), 1)


@pytest.mark.parametrize(
    "change",
    [
        {"subject": {"reference": "Patient/another"}},
        {"content": [{"attachment": {"data": base64.b64encode(b"MZ\x00\x01").decode()}}]},
        {"content": [{"attachment": {"data": base64.b64encode(b"a" * (MOST_BYTES + 1)).decode()}}]},
        {"content": [{"attachment": {"url": "https://elsewhere.example.org/x"}}]},
        {"resourceType": "Binary"},
    ],
    ids=["another patient's", "a program", "too large", "an address", "no document"],
)
async def test_a_draft_is_not_believed(clinic: Clinic, change: Any) -> None:
    document = a_file()
    changed = replace(document, resource={**document.resource, **change})
    response = with_documents(a_draft(await clinic.open()), (changed,))
    read = await read_documents(clinic.ehr(), PATIENT, response, CountingIds())
    assert (read.documents, read.lost) == ((), 1)

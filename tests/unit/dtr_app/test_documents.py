"""Documents for a request: what is taken, what is refused, and what goes out."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from service.dtr.app.documents import (
    MOST_BYTES,
    MOST_DOCUMENTS,
    MOST_TOGETHER,
    Attached,
    from_file,
    from_record,
    with_document,
    without_document,
)
from service.errors import InvalidResource, MissingElement, NotFound, TooLarge
from tests.unit.dtr.samples import validate
from tests.unit.dtr_app.clinic import NOW, PATIENT, Clinic

PNG = b"\x89PNG\r\n\x1a\nxx"


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def uploaded(content: bytes, name: Any = "scan.png") -> Attached:
    about: Any = ({"resourceType": "Patient", "id": "p1"}, {"display": "Dr. Okafor"})
    return from_file(name, encoded(content), about, ("n1", NOW))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"%PDF-1.7 ...", "application/pdf"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (PNG, "image/png"),
        ("Befund: größer\r\n\tja".encode(), "text/plain"),
    ],
)
def test_the_four_types_are_known_by_their_content(content: bytes, kind: str) -> None:
    resource = uploaded(content).resource
    validate(resource)
    attachment = resource["content"][0]["attachment"]
    assert (attachment["contentType"], base64.b64decode(attachment["data"])) == (kind, content)
    assert resource["subject"] == {"reference": "Patient/p1"}


@pytest.mark.parametrize("content", [b"MZ\x00\x01", b"PK\x03\x04", b"\xff\xfe\x00", b"a\x00b"])
def test_other_types_are_refused_whatever_they_are_called(content: bytes) -> None:
    with pytest.raises(InvalidResource, match="no PDF"):
        uploaded(content, "report.pdf")


@pytest.mark.parametrize("data", [None, "", "%%%", 7, "a"])
def test_what_is_no_base64_is_refused(data: Any) -> None:
    with pytest.raises(InvalidResource, match="could not be read"):
        from_file("x", data, ({"id": "p1"}, {}), ("n1", NOW))


def test_a_file_may_have_so_many_bytes_and_no_more() -> None:
    assert uploaded(b"a" * MOST_BYTES).size == MOST_BYTES
    with pytest.raises(TooLarge):
        uploaded(b"a" * (MOST_BYTES + 1))


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("C:\\fakepath\\a.pdf", "a.pdf"),
        ("../../etc/x", "x"),
        ("a\x00\nb", "ab"),
        (None, "A file"),
        ("x" * 500, "x" * 120),
    ],
)
def test_a_file_keeps_its_last_name_alone(name: Any, title: str) -> None:
    assert uploaded(PNG, name).title == title


def test_documents_are_bounded_together_and_each_is_once() -> None:
    half = Attached({"resourceType": "DocumentReference", "id": "a"}, "a", MOST_TOGETHER // 2 + 1)
    other = Attached({"resourceType": "DocumentReference", "id": "b"}, "b", MOST_TOGETHER // 2 + 1)
    assert with_document((half,), half) == (half,)
    with pytest.raises(TooLarge):
        with_document((half,), other)
    many = tuple(Attached({"resourceType": "DocumentReference", "id": str(n)}, "", 1) for n in range(MOST_DOCUMENTS))
    with pytest.raises(TooLarge):
        with_document(many, half)
    assert without_document(many, "DocumentReference/0") == many[1:]


def a_document(**attachment: Any) -> dict[str, Any]:
    return {
        "resourceType": "DocumentReference",
        "id": "doc",
        "status": "current",
        "description": "Report",
        "content": [{"attachment": {"contentType": "text/plain", **attachment}}],
    }


@pytest.mark.parametrize("by", ["data", "url"])
async def test_a_record_goes_out_with_its_content_inside(clinic: Clinic, by: str) -> None:
    clinic.store.put({"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "data": encoded(b"Grown.")})
    clinic.add(a_document(**{by: encoded(b"Grown.") if by == "data" else "Binary/b1"}))
    attached = await from_record(clinic.ehr(), PATIENT, "DocumentReference/doc")
    attachment = attached.resource["content"][0]["attachment"]
    assert attachment == {"contentType": "text/plain", "data": encoded(b"Grown.")}
    assert (attached.title, attached.size) == ("Report", 6)


@pytest.mark.parametrize("url", ["https://elsewhere.example.org/fhir/Binary/b1", "Binary/none", "Patient/" + PATIENT])
async def test_content_that_the_ehr_does_not_give_is_told(clinic: Clinic, url: str) -> None:
    clinic.add(a_document(url=url))
    with pytest.raises(MissingElement, match="Upload the file"):
        await from_record(clinic.ehr(), PATIENT, "DocumentReference/doc")


async def test_a_document_of_another_patient_is_not_given(clinic: Clinic) -> None:
    clinic.add({**a_document(data=encoded(b"x")), "subject": {"reference": "Patient/another"}})
    with pytest.raises(NotFound):
        await from_record(clinic.ehr(), PATIENT, "DocumentReference/doc")


async def test_a_report_takes_its_results_along(clinic: Clinic) -> None:
    observation = {"resourceType": "Observation", "id": "size", "status": "final", "code": {"text": "Size"}}
    clinic.add(observation)
    clinic.add({**observation, "id": "foreign", "subject": {"reference": "Patient/another"}})
    results = [{"reference": "Observation/size"}, {"reference": "Observation/foreign"}]
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "status": "final",
        "code": {"text": "CT"},
        "result": results,
    }
    clinic.add(report)
    attached = await from_record(clinic.ehr(), PATIENT, "DiagnosticReport/r")
    assert [each["id"] for each in attached.related] == ["size"]

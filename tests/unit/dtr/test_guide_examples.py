"""The DTR guides' own examples: read and written without loss, and taken or cleanly refused by every operation."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from service.dtr.versions import Version
from service.fhir.json import decode, encode
from tests.unit.dtr.samples import ROOT, VERSIONS, Service

Json = dict[str, Any]
GUIDES = ROOT.parent / "shared" / "ig"
OPERATIONS = ("$questionnaire-package", "$next-question", "$log-questionnaire-errors")
# Accepted differences between an example and what is written of it, by name and why. There are none.
ACCEPTED: dict[str, str] = {}


def examples(version: Version) -> dict[str, bytes]:
    package = GUIDES / f"dtr-{version}.tgz"
    if not package.exists():
        pytest.skip("NO GUIDE PACKAGES: ../shared/ig is absent, so the DTR guide's examples are not checked")
    found = {}
    with tarfile.open(package) as archive:
        for name in archive.getnames():
            if name.startswith("package/example/") and name.endswith(".json"):
                content = archive.extractfile(name)
                assert content is not None
                found[Path(name).stem] = content.read()
    return found


def _texts(body: bytes) -> Any:
    """The document with numbers as they were written."""
    return json.loads(body.decode("utf-8-sig"), parse_float=str, parse_int=str)


@pytest.mark.parametrize("version", VERSIONS)
def test_reading_and_writing_an_example_loses_nothing(version: Version) -> None:
    found = examples(version)
    assert len(found) >= 16
    for name, body in found.items():
        written = encode(decode(body, max_bytes=10_000_000, max_depth=100))
        assert (_texts(written) == _texts(body)) != (name in ACCEPTED), name


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_operation_answers_or_refuses_cleanly(service: Service, version: Version) -> None:
    asked = 0
    for name, body in examples(version).items():
        resource = json.loads(body.decode("utf-8-sig"))
        for operation in OPERATIONS:
            response = await service.call(version, "POST", f"/Questionnaire/{operation}", json=resource)
            assert response.status_code < 500, (name, operation, response.text)
            if response.status_code >= 400:
                outcome = response.json()
                assert outcome["resourceType"] == "OperationOutcome", (name, operation)
                assert all(issue["details"]["text"] for issue in outcome["issue"])
            asked += 1
    assert asked >= 48


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_package_input_is_understood(service: Service, version: Version) -> None:
    """It asks for what we have no form for, or names another payer: that is said, not that it could not be read."""
    sent = json.loads(examples(version)["Parameters-QuestionnairePackageInputParamsExample"].decode("utf-8-sig"))
    response = await service.call(version, "POST", "/Questionnaire/$questionnaire-package", json=sent)
    assert response.status_code in {200, 404, 422}, response.text
    assert "No form is needed" in response.text or "payer" in response.text

"""The guides' own hook requests get an answer or a clean refusal."""

from __future__ import annotations

import base64
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.crd.conftest import Endpoint

GUIDES = Path(__file__).parents[4] / "shared" / "ig"


def _example(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Any:
    content = archive.extractfile(member)
    assert content is not None
    document = json.loads(content.read().decode("utf-8-sig"))
    # Some packages hold the request itself, some a Binary around it.
    return json.loads(base64.b64decode(document["data"])) if "data" in document else document


def hook_requests() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for package in sorted(GUIDES.glob("crd-*.tgz")):
        with tarfile.open(package) as archive:
            for member in archive:
                if "/example/Binary-CRDServiceRequest" in member.name:
                    found[f"{package.stem}/{Path(member.name).stem}"] = _example(archive, member)
    return found


@pytest.fixture(scope="module")
def examples() -> dict[str, Any]:
    found = hook_requests()
    if not found:
        pytest.skip("NO GUIDE PACKAGES: ../shared/ig is absent, so the guides' hook requests are not checked")
    return found


async def test_examples_get_an_answer_or_a_clean_refusal(endpoint: Endpoint, examples: dict[str, Any]) -> None:
    assert len(examples) >= 4
    for name, body in examples.items():
        for service in {"order-sign-crd", "order-select-crd", f"{body['hook']}-crd"}:
            response = await endpoint.post(body, service)
            assert response.status_code in {200, 400, 412}, (name, response.text)
            if response.status_code != 200:
                outcome = response.json()
                assert outcome["resourceType"] == "OperationOutcome"
                assert all(issue["diagnostics"] for issue in outcome["issue"])
                assert "Baxter" not in response.text


async def test_the_order_sign_example_with_our_payer_is_answered(
    endpoint: Endpoint, examples: dict[str, Any]
) -> None:
    body = examples["crd-2.2.1/Binary-CRDServiceRequest"]
    identifier = {"system": "https://payer.example.org/payer-id", "value": "PAYER01"}
    payer = {"resourceType": "Organization", "id": "acme-payer", "identifier": [identifier]}
    body["prefetch"]["coverage"]["entry"].append(
        {"fullUrl": "http://example.org/someEHR/fhir/Organization/acme-payer", "resource": payer}
    )
    response = await endpoint.post(body)
    assert response.status_code == 200, response.text
    actions = response.json()["systemActions"]
    received = [entry["resource"] for entry in body["context"]["draftOrders"]["entry"]]
    assert [{k: v for k, v in action["resource"].items() if k != "extension"} for action in actions] == received


@pytest.mark.requirement("found-29", "found-26")
async def test_templates_with_fhirpath_are_the_guides_own(
    endpoint: Endpoint, guide: Callable[[str], dict[str, Any]]
) -> None:
    """CRD 2.2.1 found-29: the same data is asked for in the same words, a key after those that its words lean on."""
    binary = guide("crd-2.2.1")["example/Binary-CRDServices.json"]
    theirs = json.loads(base64.b64decode(binary["data"])) if "data" in binary else binary
    standard = {service["hook"]: service["prefetch"] for service in theirs["services"]}
    compared = 0
    for service in (await endpoint.http.get("/cds-services")).json()["services"]:
        for key, template in service["prefetch"].items():
            before = list(service["prefetch"])[: list(service["prefetch"]).index(key)]
            assert set(re.findall(r"%(\w+)", template)) <= set(before), (service["id"], key)
            if key in standard[service["hook"]]:
                assert template == standard[service["hook"]][key], (service["id"], key)
                compared += 1
            else:
                # The guide has no templates for a patient's active orders.
                assert service["hook"] in ("encounter-start", "encounter-discharge")
        if service["hook"] not in ("encounter-start", "encounter-discharge"):
            # Whoever orders may be one who needs no authorization.
            assert {"practitionerRoles", "practitioners"} <= set(service["prefetch"])
    assert compared >= 35

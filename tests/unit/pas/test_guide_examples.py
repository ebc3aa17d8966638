"""The guides' own request Bundles: as they are, and asking this payer for its drug."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from service.errors import InvalidResource
from service.fhir.json import decode
from service.fhir.parse import StructureCheck
from service.pas.shape import Version
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import Payer, code_of, response_of
from tests.unit.pas.test_response import assert_bundle

Json = dict[str, Any]
GUIDES = Path(__file__).resolve().parents[4] / "shared" / "ig"
VERSIONS: tuple[Version, ...] = ("2.0.1", "2.2.1")


def examples(version: Version) -> dict[str, Json]:
    package = GUIDES / f"pas-{version}.tgz"
    if not package.exists():
        pytest.skip("NO GUIDE PACKAGES: ../shared/ig is absent, so the PAS guide's examples are not checked")
    with tarfile.open(package) as archive:
        names = [name for name in archive.getnames() if name.startswith("package/example/Bundle-")]
        return {Path(name).stem: _read(archive, name) for name in names}


def _read(archive: tarfile.TarFile, name: str) -> Json:
    content = archive.extractfile(name)
    assert content is not None
    found: Json = decode(content.read(), max_bytes=10_000_000, max_depth=100)
    return found


def _is_request(bundle: Json) -> bool:
    return bool(bundle["entry"][0]["resource"]["resourceType"] == "Claim")


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_example_gets_an_answer_or_a_clean_refusal(payer: Payer, version: Version) -> None:
    for name, bundle in examples(version).items():
        for operation in (payer.submit, payer.inquire):
            if _is_request(bundle):
                answer = await operation(bundle, version)
                assert answer["resourceType"] in {"Bundle", "Parameters"}, name
            else:
                with pytest.raises(InvalidResource):
                    await operation(bundle, version)


@pytest.mark.parametrize("version", VERSIONS)
async def test_requests_for_this_drug_from_this_payer_get_a_decision(
    payer: Payer, check: StructureCheck, version: Version
) -> None:
    decided = 0
    for name, bundle in examples(version).items():
        if not _is_request(bundle) or "Inquiry" in name:
            continue
        answer = await payer.submit(for_us(bundle), version)
        assert check.check(answer) == (), name
        assert_bundle(answer)
        response = response_of(answer)
        assert {code_of(item) for item in response["item"]} == {"A4"}, name
        assert len(response["item"]) == len(bundle["entry"][0]["resource"]["item"])
        decided += 1
    assert decided >= 5


def for_us(bundle: Json) -> Json:
    """The same Bundle with another drug code and another insurer identifier."""
    changed: Json = json.loads(json.dumps(bundle, default=float))
    for item in changed["entry"][0]["resource"]["item"]:
        item["productOrService"] = b.coded(b.HCPCS, "J9026")
    (insurer,) = [e["resource"] for e in changed["entry"] if "InsurerExample" in e["fullUrl"]]
    insurer["identifier"] = b.insurer()["identifier"]
    return changed


async def test_the_inquiry_example_is_answered_once_it_asks_us(payer: Payer) -> None:
    bundle = examples("2.2.1")["Bundle-PASClaimInquiryBundleExample"]
    assert await payer.inquire(for_us(bundle)) == {"resourceType": "Parameters"}

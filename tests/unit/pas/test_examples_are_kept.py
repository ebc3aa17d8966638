"""The guides' own request Bundles are read, kept and given back: not a member, not a digit is lost."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from service.fhir.json import encode
from service.pas.shape import Version
from service.policy.case import CaseId
from tests.unit.pas.payer import Payer, response_of
from tests.unit.pas.test_guide_examples import GUIDES, VERSIONS, examples, for_us

# Accepted differences between an example and what is kept of it, by name and why. There are none.
ACCEPTED: dict[str, str] = {}


def _texts(body: bytes) -> Any:
    """The document with numbers as they were written."""
    return json.loads(body.decode("utf-8-sig"), parse_float=str, parse_int=str)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_request_is_kept_as_it_was_sent(payer: Payer, version: Version) -> None:
    kept = 0
    for name, bundle in examples(version).items():
        if bundle["entry"][0]["resource"]["resourceType"] != "Claim" or "Inquiry" in name:
            continue
        sent = for_us(bundle)
        case_id = CaseId(response_of(await payer.submit(sent, version))["id"])
        requests = await payer.store.requests(case_id)
        assert (_texts(requests[-1]) == _texts(encode(sent))) != (name in ACCEPTED), name
        kept += 1
    assert kept >= 5


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_an_answer_repeats_is_as_it_was_sent(payer: Payer, version: Version) -> None:
    """Patient and parties come back in the answer's Bundle word for word."""
    repeated = 0
    for name, bundle in examples(version).items():
        if bundle["entry"][0]["resource"]["resourceType"] != "Claim" or "Inquiry" in name:
            continue
        sent = for_us(bundle)
        theirs = {entry["fullUrl"]: entry["resource"] for entry in sent["entry"]}
        for entry in (await payer.submit(sent, version))["entry"]:
            if entry["fullUrl"] in theirs:
                assert _texts(encode(entry["resource"])) == _texts(encode(theirs[entry["fullUrl"]])), name
                repeated += 1
    assert repeated >= 10


@pytest.mark.parametrize("version", VERSIONS)
def test_reading_and_writing_an_example_loses_nothing(version: Version) -> None:
    package = GUIDES / f"pas-{version}.tgz"
    read = examples(version)
    with tarfile.open(package) as archive:
        for name in read:
            content = archive.extractfile(str(Path("package/example") / f"{name}.json"))
            assert content is not None
            assert (_texts(encode(read[name])) == _texts(content.read())) != (name in ACCEPTED), name

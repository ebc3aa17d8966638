"""What the profiles support is taken, what they do not make mandatory is not asked for: read from the guides."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from service.fhir.json import encode
from service.fhir.parse import StructureCheck
from service.pas.shape import Version
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import BOTH, claim_url
from tests.unit.pas.payer import PAS, Payer, code_of, response_of
from tests.unit.pas.profiles import Guide, is_mandatory, is_supported
from tests.unit.pas.stories import STORIES
from tests.unit.pas.test_inquire import found
from tests.unit.pas.test_strict import conformant

Json = dict[str, Any]
Read = Callable[[str], dict[str, Any]]
PROFILE = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/profile-"
LOCATION, ENCOUNTER, SUBSCRIBER = (claim_url(number) for number in (71, 72, 73))
TARGETS = {
    "profile-beneficiary": b.PATIENT,
    "profile-subscriber": SUBSCRIBER,
    "profile-coverage": b.COVERAGE,
    "profile-insurer": b.INSURER,
    "profile-requestor": b.REQUESTOR,
    "profile-practitioner": b.PRACTITIONER,
    "profile-practitionerrole": b.ROLE,
    "profile-location": LOCATION,
    "profile-encounter": ENCOUNTER,
    "profile-medicationrequest": b.ORDER,
    "other": ENCOUNTER,
}
PARTIES = {
    b.PATIENT: "beneficiary",
    b.COVERAGE: "coverage",
    b.INSURER: "insurer",
    b.REQUESTOR: "requestor",
    b.PRACTITIONER: "practitioner",
    b.ROLE: "practitionerrole",
    b.ORDER: "medicationrequest",
}


def others() -> dict[str, Json]:
    """What a full request refers to beyond the base request."""
    return {
        LOCATION: {"resourceType": "Location", "name": "Infusion center"},
        ENCOUNTER: {
            "resourceType": "Encounter",
            "status": "planned",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "subject": b.refer(b.PATIENT),
        },
        SUBSCRIBER: {**b.patient(), "id": "subscriber"},
    }


def everything(guide: Guide, claim: str) -> Json:
    """A request with all that the Claim's profile and the parties' profiles support."""
    whole = b.resources() | others()
    made = {b.CLAIM: guide.filled(whole[b.CLAIM], PROFILE + claim)}
    for url, profile in PARTIES.items():
        made[url] = guide.filled(whole[url], PROFILE + profile)
    return b.bundle(others() | made)


def paths(node: Any, here: str = "") -> set[str]:
    """Every path that is filled, extensions by the last part of their url."""
    if isinstance(node, list):
        return {path for child in node for path in paths(child, here)}
    if not isinstance(node, dict):
        return set()
    made = set()
    for name, value in node.items():
        place = f"{here}.{name}" if here else name
        if name == "extension":
            made |= {f"{place}:{one['url'].rpartition('/')[2]}" for one in value}
        else:
            made |= {place} | paths(value, place)
    return made


@BOTH
@pytest.mark.parametrize("profile", ["claim", "claim-update", "claim-inquiry"])
@pytest.mark.requirement("conf-4", "conf-5")
async def test_all_that_the_profiles_support_is_taken(
    payer: Payer, check: StructureCheck, guide: Read, version: Version, profile: str
) -> None:
    profiles = Guide.of(guide(f"pas-{version}"), TARGETS)
    request = everything(profiles, profile)
    assert check.check(json.loads(encode(request))) == ()
    claim = request["entry"][0]["resource"]
    # The request is as full as the test says: more than half of these are not in the base request.
    assert len(paths(claim) - paths(b.claim())) >= {"2.0.1": 8, "2.2.1": 25}[version]
    if profile == "claim-inquiry":
        await payer.submit(b.bundle(), version)
        assert all(response["outcome"] != "error" for response in found(await payer.inquire(request, version)))
        return
    claim.pop("related", None)
    response = response_of(await payer.submit(request, version))
    assert "error" not in response
    assert {code_of(item) for item in response["item"]} <= {"A1", "A4"}


@BOTH
@pytest.mark.requirement("conf-11", "conf-12", "conf-14")
async def test_an_approval_needs_nothing_that_the_profiles_do_not_support(
    payer: Payer, guide: Read, version: Version
) -> None:
    """Everything else is taken out of a rich request, and it is approved as before."""
    profiles = Guide.of(guide(f"pas-{version}"), TARGETS)
    request = conformant()
    for entry in request["entry"]:
        name = {b.CLAIM: "claim"} | PARTIES
        if entry["fullUrl"] in name:
            url = PROFILE + name[entry["fullUrl"]]
            entry["resource"] = profiles.stripped(entry["resource"], url, is_supported)
    assert "id" not in request["entry"][1]["resource"]
    response = response_of(await payer.submit(request, version))
    assert [code_of(item) for item in response["item"]] == ["A1"]


@BOTH
@pytest.mark.requirement("conf-14", "conf-12")
async def test_what_is_mandatory_is_enough_for_an_answer(payer: Payer, guide: Read, version: Version) -> None:
    """Without anything optional the evidence is missing: it waits, and is no error."""
    profiles = Guide.of(guide(f"pas-{version}"), TARGETS)
    request = conformant()
    for entry in request["entry"]:
        name = {b.CLAIM: "claim"} | PARTIES
        if entry["fullUrl"] in name:
            url = PROFILE + name[entry["fullUrl"]]
            entry["resource"] = profiles.stripped(entry["resource"], url, is_mandatory)
    claim = request["entry"][0]["resource"]
    assert "supportingInfo" not in claim
    assert "quantity" not in claim["item"][0]
    response = response_of(await payer.submit(request, version))
    assert [code_of(item) for item in response["item"]] == ["A4"]
    assert "error" not in response


SUPPLEMENTARY = ("us-core-3.1.1", "us-core-6.1.0", "us-core-7.0.0")


@BOTH
@pytest.mark.parametrize("package", SUPPLEMENTARY)
@pytest.mark.requirement("spec-1")
async def test_us_core_resources_are_taken_as_supporting_information(
    payer: Payer, check: StructureCheck, guide: Read, version: Version, package: str
) -> None:
    """All examples of US Core at once, each pointed to by the Claim; one has a hash that is no base64."""
    resources = [
        one
        for name, one in guide(package).items()
        if name.startswith("example/") and one.get("resourceType", "Bundle") != "Bundle" and not check.check(one)
    ]
    claim, sent = b.claim(), {}
    del claim["item"][0]["informationSequence"]
    for number, resource in enumerate(resources, start=2):
        url = claim_url(1000 + number)
        sent[url] = resource
        category = copy.deepcopy(claim["supportingInfo"][0]["category"])
        claim["supportingInfo"].append({"sequence": number, "category": category, "valueReference": b.refer(url)})
    assert len(sent) >= 40
    request = b.bundle({b.CLAIM: claim} | sent)
    body = encode(request)
    response = response_of(json.loads(await payer.submit_bytes(body, version)))
    # A chart of somebody else's examples may hold what makes a reviewer look; it is never an error.
    assert {code_of(item) for item in response["item"]} <= {"A1", "A4"}
    assert "error" not in response


@BOTH
@pytest.mark.requirement("conf-15", "spec-23")
async def test_answers_use_the_guides_own_elements(payer: Payer, guide: Read, version: Version) -> None:
    """Every extension of an answer is one that the guide, or FHIR itself, defines; none is made up."""
    package = guide(f"pas-{version}")
    defined = {one["url"] for one in package.values() if one.get("resourceType") == "StructureDefinition"}
    nested = {
        element["fixedUri"]
        for one in package.values()
        if one.get("resourceType") == "StructureDefinition"
        for element in one["snapshot"]["element"]
        if element["path"].endswith("extension.url") and "fixedUri" in element
    }
    used: set[str] = set()
    for story in STORIES.values():
        answer = await payer.submit(story(), version)
        for entry in answer["entry"]:
            if entry["resource"]["resourceType"] in {"ClaimResponse", "CommunicationRequest", "Task"}:
                used |= set(_urls(entry["resource"]))
    assert len(used) >= 10
    assert PAS + "reviewAction" in used
    assert used <= defined | nested


def _urls(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [one["url"] for one in node.get("extension", [])]
        return own + [url for child in node.values() for url in _urls(child)]
    return [url for child in node for url in _urls(child)] if isinstance(node, list) else []

"""The guide's statements on a request Bundle: what is refused from all, what from strict partners, what is read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import httpx
import pytest

from service.errors import InvalidResource, UnresolvedReference
from service.fhir.json import encode
from service.pas.codes import load_codes
from service.pas.filed import filed
from service.pas.response import claim_response
from service.pas.routes import SHAPES
from service.pas.shape import Rendering, Version
from service.policy.case import CaseId
from service.policy.dates import DatePeriod
from service.policy.decision import Decision, Outcome
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import (
    BOTH,
    CANCELLED,
    UNMET,
    cancelled,
    claim_url,
    codes,
    first,
    info,
    update,
)
from tests.unit.pas.payer import PAS, Payer, code_of, extension_of, response_of
from tests.unit.pas.test_response import PERSON, literal_references
from tests.unit.pas.test_strict import conformant, strictly

Json = dict[str, Any]
CLAIM = "Bundle.entry[0].resource"
OTHER = claim_url(81)


async def refusal(payer: Payer, bundle: Json, version: Version = "2.2.1") -> tuple[str, ...]:
    """The places that a strict partner is told; everybody else is answered."""
    with pytest.raises(InvalidResource) as refused:
        await strictly(payer, bundle, version)
    assert response_of(await payer.submit(bundle, version))["outcome"] != "error"
    return refused.value.expression


def entry_of(bundle: Json, url: str) -> Json:
    [found] = [one for one in bundle["entry"] if one["fullUrl"] == url]
    return dict(found)


def claim_in(bundle: Json) -> Json:
    found: Json = bundle["entry"][0]["resource"]
    return found


@pytest.mark.parametrize("base", ["/fhir", "/2.0.1/fhir"])
@pytest.mark.parametrize("operation", ["submit", "inquire"])
@pytest.mark.requirement("spec-11")
async def test_a_request_in_xml_is_refused(http: httpx.AsyncClient, base: str, operation: str) -> None:
    sent = b'<Bundle xmlns="http://hl7.org/fhir"><type value="collection"/></Bundle>'
    headers = {"content-type": "application/fhir+xml"}
    answer = await http.post(f"{base}/Claim/${operation}", content=sent, headers=headers)
    assert 400 <= answer.status_code < 500
    assert answer.json()["resourceType"] == "OperationOutcome"


@BOTH
@pytest.mark.requirement("spec-12")
async def test_the_claim_stands_first(payer: Payer, version: Version) -> None:
    bundle = conformant()
    bundle["entry"].append(bundle["entry"].pop(0))
    for strict in (True, False):
        with pytest.raises(InvalidResource) as refused:
            await (strictly(payer, bundle, version) if strict else payer.submit(bundle, version))
        assert refused.value.expression == (CLAIM,)


# What the decision reads is refused from everybody (test_request, FAULTS); the rest from strict partners.
@BOTH
@pytest.mark.parametrize("missing", [b.PRACTITIONER, b.ROLE, b.ORDER])
@pytest.mark.requirement("spec-13", "spec-18")
async def test_whatever_is_referred_to_must_be_sent(payer: Payer, version: Version, missing: str) -> None:
    bundle = conformant()
    bundle["entry"].remove(entry_of(bundle, missing))
    places = await refusal(payer, bundle, version)
    assert any("resource." in place for place in places)


@pytest.mark.requirement("spec-13", "spec-18")
async def test_what_supporting_information_refers_to_must_be_sent(payer: Payer) -> None:
    """Behind the answers an Observation, behind it a performer: each is looked for."""
    bundle = conformant()
    observation = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "performer": [b.refer(claim_url(82))],
    }
    bundle["entry"].append({"fullUrl": OTHER, "resource": observation})
    claim_in(bundle)["supportingInfo"].append(
        {**claim_in(bundle)["supportingInfo"][0], "sequence": 2, "valueReference": b.refer(OTHER)}
    )
    number = len(bundle["entry"]) - 1
    assert await refusal(payer, bundle) == (f"Bundle.entry[{number}].resource.performer[0]",)
    bundle["entry"].append({"fullUrl": claim_url(82), "resource": {"resourceType": "Practitioner"}})
    await strictly(payer, bundle)


@BOTH
@pytest.mark.requirement("spec-14")
async def test_a_resource_is_sent_once(payer: Payer, version: Version) -> None:
    for url in (b.PATIENT, b.RESPONSE, b.CLAIM):
        bundle = conformant()
        bundle["entry"].append(copy.deepcopy(entry_of(bundle, url)))
        with pytest.raises(InvalidResource) as refused:
            await payer.submit(bundle, version)
        assert refused.value.expression == (f"Bundle.entry[{len(bundle['entry']) - 1}].fullUrl",)
    assert await payer.cases() == []


@BOTH
@pytest.mark.parametrize("name", ["patient", "insurer", "provider"])
async def test_a_reference_that_fits_two_entries_is_refused(payer: Payer, version: Version, name: str) -> None:
    """Two of one type and id, on two servers: nobody can say who is meant (pas.md 1.7)."""
    bundle = b.bundle()
    url = claim_in(bundle)[name]["reference"]
    meant = entry_of(bundle, url)["resource"]
    relative = f"{meant['resourceType']}/{meant['id']}"
    claim_in(bundle)[name] = b.refer(relative)
    bundle["entry"].append({"fullUrl": f"https://other.example.org/fhir/{relative}", "resource": meant})
    with pytest.raises(UnresolvedReference) as refused:
        await payer.submit(bundle, version)
    assert refused.value.expression == (f"{CLAIM}.{name}",)
    bundle["entry"].pop()
    assert codes(response_of(await payer.submit(bundle, version))) == {1: "A1"}


@BOTH
@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("https://ehr.example.org/fhir/Practitioner/20", True),
        ("https://ehr.example.org/fhir/Practitioner/20/_history/3", True),
        ("urn:uuid:20000000-0000-4000-8000-00000000000f", True),
        ("urn:uuid:20", False),
        ("urn:oid:1.2.3", False),
        ("Practitioner/20", False),
        ("https://ehr.example.org/", False),
    ],
)
@pytest.mark.requirement("spec-16")
async def test_a_full_url_is_an_address_or_a_guid(payer: Payer, version: Version, url: str, fits: bool) -> None:
    text = encode(conformant()).replace(b.PRACTITIONER.encode(), url.encode())
    bundle = _decoded(text)
    if fits:
        await strictly(payer, bundle, version)
    else:
        assert "Bundle.entry[6].fullUrl" in await refusal(payer, bundle, version)


def _decoded(text: bytes) -> Json:
    found: Json = json.loads(text)
    return found


@BOTH
@pytest.mark.requirement("spec-17")
async def test_guids_of_ours_never_come_again_and_those_of_others_may(payer: Payer, version: Version) -> None:
    """The same patient and coverage in a later request: a case of its own, with ids that no answer had before."""
    answers = []
    for day in ("2026-09-08", "2026-10-08", "2026-11-08"):
        claim = b.claim(b.item(servicedPeriod={"start": day, "end": day}))
        answers.append(await payer.submit(b.bundle({b.CLAIM: claim}), version))
    made = [
        [answer["id"], answer["identifier"]["value"], answer["entry"][0]["fullUrl"], response_of(answer)["id"]]
        for answer in answers
    ]
    assert len({name for names in made for name in names}) == 12
    assert len(await payer.cases()) == 3


@BOTH
@pytest.mark.requirement("spec-20")
async def test_only_what_the_claim_points_to_supports_it(payer: Payer, version: Version) -> None:
    """An answer that lies in the Bundle, and to which no supportingInfo leads, is no evidence."""
    bundle = conformant()
    claim = claim_in(bundle)
    del claim["supportingInfo"], claim["item"][0]["informationSequence"]
    assert await refusal(payer, bundle, version) == ("Bundle.entry[8].resource",)
    assert codes(response_of(await payer.submit(bundle, version))) == {1: "A4"}


@BOTH
@pytest.mark.requirement("spec-22")
async def test_sequences_of_supporting_information_are_unique(payer: Payer, version: Version) -> None:
    bundle = conformant()
    claim_in(bundle)["supportingInfo"] *= 2
    with pytest.raises(InvalidResource) as refused:
        await payer.submit(bundle, version)
    assert refused.value.expression == (f"{CLAIM}.supportingInfo[1].sequence",)


@BOTH
@pytest.mark.requirement("spec-26")
async def test_the_payer_has_every_byte_of_the_bundle(payer: Payer, version: Version) -> None:
    """Spaces, the order of members, digits, and resources that nobody reads: all is there afterwards."""
    bundle = b.bundle({OTHER: {"resourceType": "Basic", "code": {"text": "for our own use"}}})
    body = b" " + encode(bundle).replace(b'"value":61', b'"value":61.00') + b"\n"
    response = response_of(_decoded(await payer.submit_bytes(body, version)))
    found = await payer.store.case(CaseId(response["id"]))
    assert found is not None
    assert found[1] == body


# --- changes


def conformant_update(*items: Json, **rest: Any) -> Json:
    """A change as the guide wants it: the prior Claim, and nothing that it changed itself, in the Bundle."""
    bundle = update(*items, **rest)
    scope = [{"url": PAS + "careTeamClaimScope", "valueBoolean": True}]
    relationship = b.coded("http://terminology.hl7.org/CodeSystem/subscriber-relationship", "self")
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "Claim":
            entry["resource"]["careTeam"][0]["extension"] = scope
        elif entry["fullUrl"] == b.COVERAGE:
            entry["resource"]["relationship"] = relationship
    prior = entry_of(bundle, b.CLAIM)["resource"] if len(bundle["entry"]) > 9 else None
    if prior is None:
        scoped = b.claim()
        scoped["careTeam"][0]["extension"] = scope
        bundle["entry"].append({"fullUrl": claim_url(1), "resource": scoped})
    return bundle


@pytest.mark.requirement("spec-65", "spec-67")
async def test_the_changed_claim_is_in_the_bundle(payer: Payer) -> None:
    await payer.submit(first(b.item()))
    bundle = conformant_update(info(b.item(quantity={"value": 5, "unit": "unit"}), "changed"))
    await strictly(payer, copy.deepcopy(bundle))
    alone = copy.deepcopy(bundle)
    alone["entry"].remove(entry_of(alone, claim_url(1)))
    assert f"{CLAIM}.related[0].claim" in await refusal(payer, alone)
    unresolved = copy.deepcopy(bundle)
    unresolved["entry"].remove(entry_of(unresolved, b.PRACTITIONER))
    assert await refusal(payer, unresolved)
    named = _changed_id(alone)
    assert await refusal(payer, copy.deepcopy(named)) == (f"{CLAIM}.related[0].claim",)
    named["entry"][0]["fullUrl"] = claim_url(3)
    await strictly(payer, named, "2.0.1")


def _changed_id(bundle: Json) -> Json:
    """2.0.1 sends no prior Claim: it names it by identifier."""
    identifier = {"system": "urn:trnorg:1245319599", "value": "TRN-2026-000123"}
    claim_in(bundle)["related"][0]["claim"] = {"identifier": identifier}
    return bundle


@pytest.mark.requirement("spec-66")
async def test_what_the_changed_claim_changed_is_not_in_the_bundle(payer: Payer) -> None:
    await payer.submit(first(b.item()))
    bundle = conformant_update(info(b.item(quantity={"value": 5, "unit": "unit"}), "changed"))
    prior = entry_of(bundle, claim_url(1))["resource"]
    prior["related"] = [{**claim_in(bundle)["related"][0], "claim": b.refer(claim_url(9))}]
    await strictly(payer, copy.deepcopy(bundle))
    bundle["entry"].append({"fullUrl": claim_url(9), "resource": b.claim()})
    assert f"Bundle.entry[{len(bundle['entry']) - 1}].resource" in await refusal(payer, bundle)


@BOTH
@pytest.mark.requirement("spec-69", "spec-70")
async def test_a_cancelled_item_says_so_twice(payer: Payer, version: Version) -> None:
    """Either of the two is enough for us to cancel; strict partners send both."""
    await payer.submit(first(b.item(1), b.item(2)), version)
    half = conformant_update(b.item(1), cancelled(b.item(2), certification=False))
    assert any("item[1]" in place for place in await refusal(payer, half, version))
    case = (await payer.cases())[0]
    assert [line.determination.outcome for line in case.lines] == ["approved", "cancelled"]


@BOTH
@pytest.mark.requirement("spec-69")
async def test_what_was_taken_back_supports_nothing(payer: Payer, version: Version) -> None:
    """The answers are still in the Bundle and pointed to, and marked as removed: nothing is approved on them."""
    await payer.submit(first(b.item(), RESPONSE=UNMET), version)
    gone = update(info(b.item(), "changed"))
    marked = [{"url": CANCELLED, "valueBoolean": True}]
    claim_in(gone)["supportingInfo"][0] |= {"modifierExtension": marked}
    response = response_of(await payer.submit(gone, version))
    assert codes(response) == {1: "A4"}
    kept = update(info(b.item(), "changed"), number=3)
    claim_in(kept)["supportingInfo"][0] |= {"modifierExtension": [{**marked[0], "valueBoolean": False}]}
    assert codes(response_of(await payer.submit(kept, version))) == {1: "A1"}


@BOTH
@pytest.mark.requirement("spec-71", "spec-72")
async def test_a_change_is_marked_as_one(payer: Payer, version: Version) -> None:
    """ "added" and "changed" are both taken for new entries: the guide says one here and the other there."""
    await payer.submit(first(b.item(1)), version)
    for number, said in enumerate(("added", "changed"), start=2):
        bundle = conformant_update(b.item(1), info(b.item(2), said), number=number, prior=1)
        await strictly(payer, bundle, version)
    silent = conformant_update(b.item(1, quantity={"value": 3, "unit": "unit"}), number=7, prior=1)
    assert f"{CLAIM}.item[0]" in await refusal(payer, silent, version)
    wrong = conformant_update(info(b.item(1, quantity={"value": 4, "unit": "unit"}), "odd"), number=8, prior=1)
    assert f"{CLAIM}.item[0].extension" in await refusal(payer, wrong, version)


@pytest.mark.requirement("spec-69", "spec-71")
async def test_an_entry_that_is_left_out_is_missed(payer: Payer) -> None:
    await payer.submit(first(b.item(1)))
    bundle = conformant_update(b.item(1))
    prior = entry_of(bundle, claim_url(1))["resource"]
    prior["item"] = [b.item(1), b.item(2)]
    assert f"{CLAIM}.item" in await refusal(payer, bundle)


# --- quantities, addresses


QUANTITIES: dict[str, tuple[Json, Json]] = {
    "a unit": ({"value": 61, "unit": "unit"}, {"value": 61, "unit": "unit"}),
    "a code of X12": (
        {"value": 61, "system": "https://codesystem.x12.org/005010/673", "code": "UN", "unit": "unit"},
        {"value": 61, "system": "https://codesystem.x12.org/005010/673", "code": "UN", "unit": "unit"},
    ),
    "a code of UCUM": (
        {"value": 61, "system": "http://unitsofmeasure.org", "code": "mg"},
        {"value": 61, "unit": "mg"},
    ),
    "a code beside a unit": (
        {"value": 61, "system": "http://unitsofmeasure.org", "code": "mg", "unit": "milligram"},
        {"value": 61, "unit": "milligram"},
    ),
    "nothing": ({"value": 61}, {"value": 61, "unit": "unit"}),
}


@BOTH
@pytest.mark.parametrize("said", QUANTITIES)
@pytest.mark.requirement("prof-2", "prof-3")
async def test_a_quantity_has_a_unit_or_a_code_of_x12(payer: Payer, version: Version, said: str) -> None:
    """In our answers always. In a request any is taken; what the rules cannot count waits for a reviewer."""
    asked, told = QUANTITIES[said]
    pended = response_of(await payer.submit(b.bundle({b.CLAIM: b.claim(b.item(quantity=asked))}), version))
    stored = await payer.store.case(CaseId(pended["id"]))
    assert stored is not None
    whole = filed(*stored, payer.settings)
    (line,) = whole.case.lines
    decision = Decision(Outcome.APPROVED, PERSON, ("Indicated.",))
    valid = DatePeriod(date(2026, 9, 8), date(2027, 9, 7))
    granted = replace(line.determination, decision=decision, period=valid)
    decided = replace(line, determination=granted, authorization_number="PA1")
    rendering = Rendering(payer.settings, load_codes(), SHAPES[version])
    response = claim_response(replace(whole.case, lines=(decided,)), whole.received, rendering, "urn:profile")
    detail = extension_of(response["item"][0], "itemAuthorizedDetail")
    assert detail is not None
    assert [part["valueQuantity"] for part in detail["extension"] if part["url"] == "quantity"] == [told]


ZIP = {"line": ["1 Main Street"], "city": "Springfield", "state": "IL", "postalCode": "62701-1234", "country": "US"}


@BOTH
@pytest.mark.requirement("prof-ben-1", "prof-sub-1", "prof-loc-1", "prof-org-1", "prof-prac-1")
async def test_a_zip_code_with_a_dash_is_expected_and_comes_back_as_it_was(payer: Payer, version: Version) -> None:
    """Only in X12 the dash has no place, and nothing is turned into X12 here."""
    subscriber, place = claim_url(83), claim_url(84)
    with_address: dict[str, Callable[[], Json]] = {
        b.PATIENT: b.patient,
        b.REQUESTOR: b.requestor,
        b.INSURER: b.insurer,
        b.PRACTITIONER: lambda: {**b.resources()[b.PRACTITIONER]},
        subscriber: b.patient,
    }
    changed = {url: {**make(), "address": [ZIP]} for url, make in with_address.items()}
    changed[place] = {"resourceType": "Location", "name": "Infusion center", "address": ZIP}
    changed[b.COVERAGE] = b.coverage(subscriber=b.refer(subscriber))
    item = b.item()
    del item["locationCodeableConcept"]
    changed[b.CLAIM] = b.claim({**item, "locationReference": b.refer(place)})
    answer = await payer.submit(b.bundle(changed), version)
    assert code_of(response_of(answer)["item"][0]) == "A1"
    echoed = {entry["fullUrl"]: entry["resource"] for entry in answer["entry"]}
    assert {b.PATIENT, b.REQUESTOR, b.INSURER, b.PRACTITIONER} <= set(echoed)
    assert all(one == changed[url] for url, one in echoed.items() if url in changed)
    assert set(literal_references(response_of(answer))) <= {*echoed, b.CLAIM}

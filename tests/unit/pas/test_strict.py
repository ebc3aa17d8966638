"""Strict and lenient intake: what a partner's requests must be like, and what is answered all the same."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

import pytest

from service.errors import InvalidResource
from service.fhir.json import encode
from service.pas.routes import SHAPES
from service.pas.shape import Version
from service.pas.submit import Submit
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import cancelled
from tests.unit.pas.payer import CLINIC, PAS, Payer, code_of, response_of

Json = dict[str, Any]


def conformant() -> Json:
    """The base request with all that the profiles of 2.2.1 demand."""
    claim = b.claim()
    claim["careTeam"][0]["extension"] = [{"url": PAS + "careTeamClaimScope", "valueBoolean": True}]
    relationship = b.coded("http://terminology.hl7.org/CodeSystem/subscriber-relationship", "self")
    return b.bundle({b.CLAIM: claim, b.COVERAGE: b.coverage(relationship=relationship)})


def foreign() -> Json:
    """As a provider's reference implementation sends it: relative references, urn fullUrls, half of the profile."""
    bundle = copy.deepcopy(b.bundle())
    names = {}
    for number, entry in enumerate(bundle["entry"]):
        resource = entry["resource"]
        resource["id"] = f"local-{number}"
        names[entry["fullUrl"]] = f"{resource['resourceType']}/local-{number}"
    bundle = dict(_relative(bundle, names))
    claim = bundle["entry"][0]["resource"]
    for name in ("id", "identifier", "careTeam"):
        del claim[name]
    claim["provider"] = b.refer(names[b.PRACTITIONER])
    claim["supportingInfo"][0]["category"] = b.coded("urn:foreign", "questionnaire")
    (item,) = claim["item"]
    for name in ("extension", "category", "locationCodeableConcept", "careTeamSequence"):
        del item[name]
    del bundle["identifier"], bundle["timestamp"]
    return bundle


def _relative(node: Any, names: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {
            key: names.get(value, value) if key == "reference" else _relative(value, names)
            for key, value in node.items()
        }
    return [_relative(child, names) for child in node] if isinstance(node, list) else node


async def strictly(payer: Payer, bundle: Json, version: Version = "2.2.1") -> None:
    await Submit(payer.dependencies, SHAPES[version])(encode(bundle), CLINIC, strict=True)


@pytest.mark.parametrize("version", ["2.0.1", "2.2.1"])
async def test_a_conformant_request_is_taken_from_a_strict_partner(payer: Payer, version: Version) -> None:
    await strictly(payer, conformant(), version)
    (case,) = await payer.cases()
    assert case.authorization_number is not None


async def test_a_foreign_request_is_answered_and_its_departures_are_logged(
    payer: Payer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = await payer.submit(foreign())
    response = response_of(answer)
    assert code_of(response["item"][0]) == "A1"
    urls = {entry["fullUrl"] for entry in answer["entry"]}
    assert {response[name]["reference"] for name in ("patient", "insurer", "requestor")} <= urls
    (record,) = [r for r in caplog.records if r.getMessage() == "a request departs from the profiles"]
    assert "Bundle.entry[0].resource.item[0].category" in record.__dict__["reason"]


async def test_a_foreign_request_is_updated_under_the_address_that_we_gave(payer: Payer) -> None:
    old = response_of(await payer.submit(foreign()))
    bundle = foreign()
    claim = bundle["entry"][0]["resource"]
    claim["related"] = [{"claim": b.refer(f"https://payer.example.org/fhir/Claim/{old['id']}")}]
    claim["item"] = [cancelled({**claim["item"][0], "extension": []})]
    assert code_of(response_of(await payer.submit(bundle))["item"][0]) == "C"


async def test_a_foreign_request_is_refused_from_a_strict_partner(payer: Payer) -> None:
    with pytest.raises(InvalidResource) as refused:
        await strictly(payer, foreign())
    assert "Bundle.identifier" in refused.value.expression
    assert "Bundle.entry[0].resource.item[0].category" in refused.value.expression
    assert await payer.cases() == []


def _without(*path: str | int) -> Callable[[Json], None]:
    def change(bundle: Json) -> None:
        node: Any = bundle
        for step in path[:-1]:
            node = node[step]
        del node[path[-1]]

    return change


def _set(value: Any, *path: str | int) -> Callable[[Json], None]:
    def change(bundle: Json) -> None:
        node: Any = bundle
        for step in path[:-1]:
            node = node[step]
        node[path[-1]] = value

    return change


CLAIM = ("entry", 0, "resource")
ITEM = (*CLAIM, "item", 0)
DEPARTURES: dict[str, tuple[Callable[[Json], None], str, bool]] = {
    "no sender's id": (_without("identifier"), "Bundle.identifier", True),
    "no timestamp": (_without("timestamp"), "Bundle.timestamp", True),
    "no trace number": (_without(*CLAIM, "identifier"), "identifier", True),
    "a trace number of nobody": (_without(*CLAIM, "identifier", 0, "system"), "identifier[0].system", True),
    "another type": (_set(b.coded("urn:x", "vision"), *CLAIM, "type"), "type", True),
    "a person asks": (_set(b.refer(b.PRACTITIONER), *CLAIM, "provider"), "provider", True),
    "a team of unknown scope": (_without(*CLAIM, "careTeam", 0, "extension"), "careTeam[0].extension", True),
    "not focal": (_set(False, *CLAIM, "insurance", 0, "focal"), "insurance[0].focal", True),
    "relative": (_set(b.refer(f"Patient/{b.patient()['id']}"), *CLAIM, "patient"), "patient", True),
    "no category": (_without(*ITEM, "category"), "item[0].category", True),
    "a time in a date": (_set({"start": "2026-09-08T10:00:00Z"}, *ITEM, "servicedPeriod"), "servicedPeriod", True),
    "no place": (_without(*ITEM, "locationCodeableConcept"), "item[0].location", False),
    "no kind of request": (_set(b.item()["extension"][2:], *ITEM, "extension"), "item[0].extension", False),
}


@pytest.mark.parametrize("departure", DEPARTURES)
async def test_each_departure_is_named_to_a_strict_partner_and_forgiven_to_others(
    payer: Payer, departure: str
) -> None:
    change, place, both = DEPARTURES[departure]
    bundle = conformant()
    change(bundle)
    with pytest.raises(InvalidResource) as refused:
        await strictly(payer, bundle)
    assert any(place in expression for expression in refused.value.expression)
    await payer.submit(bundle)
    if not both:
        await strictly(payer, bundle, "2.0.1")

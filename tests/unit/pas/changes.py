"""Requests that change earlier ones, and what is asked of their answers."""

from __future__ import annotations

from typing import Any

import pytest

from service.policy.case import Case, CaseId, MemberId
from service.policy.decision import Clinician
from service.policy.review import Deny, apply
from service.ports import CaseChange
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import PAS, Payer, code_of, extension_of

Json = dict[str, Any]
CODES = "http://terminology.hl7.org/CodeSystem/ex-relatedclaimrelationship"
CERTIFICATION = "https://codesystem.x12.org/005010/1322"
CANCELLED = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/modifierextension-infoCancelled"
UNMET = b.response({**b.ANSWERS, "es-sclc": False})
BOTH = pytest.mark.parametrize("version", ["2.0.1", "2.2.1"])


def claim_url(number: int) -> str:
    return f"urn:uuid:a0000000-0000-4000-8000-{number:012d}"


def first(*items: Json, **changed: Json) -> Json:
    """The first version of a request: its Claim is claim_url(1)."""
    return b.bundle({b.CLAIM: b.claim(*items)} | {getattr(b, name): value for name, value in changed.items()})


def update(*items: Json, number: int = 2, prior: int | None = None, changed: Json | None = None, **rest: Any) -> Json:
    """A later version, in the form of 2.2.1: the prior Claim, without its own prior, is in the Bundle."""
    prior_url = claim_url(number - 1 if prior is None else prior)
    related = [{"claim": b.refer(prior_url), "relationship": b.coded(CODES, "prior")}]
    identifier = [{"system": "urn:trnorg:1245319599", "value": f"TRN-{number}"}]
    claim = b.claim(*items, **{"related": related, "identifier": identifier, **rest})
    bundle = b.bundle({b.CLAIM: claim, prior_url: b.claim()} | (changed or {}))
    if prior_url == b.CLAIM:
        bundle = b.bundle({b.CLAIM: claim} | (changed or {}))
    bundle["entry"][0]["fullUrl"] = claim_url(number)
    return bundle


def info(item: Json, said: str) -> Json:
    return {**item, "extension": [*item["extension"], {"url": PAS + "infoChanged", "valueCode": said}]}


def cancelled(item: Json, *, certification: bool = True, newly: bool = True) -> Json:
    made = {**item, "modifierExtension": [{"url": CANCELLED, "valueBoolean": True}]}
    if certification:
        made["extension"] = [
            {"url": PAS + "certificationType", "valueCodeableConcept": b.coded(CERTIFICATION, "3")}
            if one["url"] == PAS + "certificationType"
            else one
            for one in item["extension"]
        ]
    return info(made, "changed") if newly else made


def whole_cancel() -> Json:
    return {"url": PAS + "certificationType", "valueCodeableConcept": b.coded(CERTIFICATION, "3")}


def codes(response: Json) -> dict[int, str]:
    return {item["itemSequence"]: code_of(item) for item in response["item"]}


def previous_of(item: Json) -> str | None:
    found = extension_of(item, "authorizationNumber")
    return None if found is None else str(found["valueString"])


async def case_of(payer: Payer, response: Json) -> Case:
    found = await payer.store.case(CaseId(response["id"]))
    assert found is not None
    return found[0]


async def on_file(payer: Payer) -> list[str]:
    return [found.number for found in await payer.store.authorizations(MemberId("M000123"), "imdelltra")]


async def denied(payer: Payer, response: Json, *sequences: int) -> None:
    case = await case_of(payer, response)
    person = Clinician("Dr. A", "1888888884", "207RH0003X")
    verdicts = {sequence: Deny("Not indicated.") for sequence in sequences}
    changed = apply(case, verdicts, person, payer.clock.now(), "unused")
    await payer.store.save(CaseChange(changed, case.revision, {"kind": "decision"}))

"""The PAS request Bundle of an order in an EHR: the order, the answers, and everything that they refer to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final

from service.dtr.app.claim_parts import (
    ADDITIONAL,
    ELECTRONICALLY,
    INITIAL,
    MEDICAL_CARE,
    PRINCIPAL,
    REPORT,
    REQUEST_TYPE,
    Numbers,
    instant,
    reachable,
    to,
)
from service.dtr.app.criteria import diagnoses
from service.dtr.app.documents import Attached
from service.dtr.app.opening import Opened
from service.dtr.order import requested_start
from service.errors import MissingElement
from service.fhir import canonical
from service.fhir.build import (
    Json,
    bundle,
    code_concept,
    entry,
    extension,
    identifier,
    nested_extension,
    prune,
    quantity,
)
from service.fhir.canonical import HCPCS_SYSTEMS, ICD10_CM, NDC
from service.ports import Resource

# PAS 2.2.1 profile-claim has Claim.item.location[x] 1..1, and no record of an EHR says where by CMS's codes: 99 is
# the code for a place that none of the others names (CMS, Place of Service Codes for Professional Claims).
_SOMEWHERE: Final = code_concept(canonical.PLACE_OF_SERVICE, "99", "Other Place of Service")
_NAMING: Final = ("medicationCodeableConcept", "code", "codeCodeableConcept")
_PRODUCT_SYSTEMS: Final = frozenset({*HCPCS_SYSTEMS, NDC})


def request_bundle(opened: Opened, response: Json, numbers: Numbers, attached: Sequence[Attached] = ()) -> Json:
    """The request (PAS 2.2.1), the Claim first, each resource once; documents after the answers.

    MissingElement when the EHR does not say who asks or who insures: nobody could answer such a request.
    """
    evidence = [_evidence(response), *(_document(each, n) for n, each in enumerate(attached, start=2))]
    claim = _claim(opened, evidence, numbers)
    added = [resource for each in attached for resource in (each.resource, *each.related)]
    resources = [claim, *_reachable(claim, opened, (response, *added))]
    return bundle(
        "collection",
        [entry(f"{opened.base}/{r['resourceType']}/{r['id']}", r) for r in resources],
        meta={"profile": [canonical.PAS_REQUEST_BUNDLE]},
        identifier=identifier(canonical.URI_SYSTEM, f"urn:uuid:{numbers.bundle}"),
        timestamp=instant(numbers.made_at),
    )


def _claim(opened: Opened, evidence: Sequence[Json], numbers: Numbers) -> Json:
    parties, matter = opened.parties, opened.matter
    provider = parties.organization or parties.role
    if provider is None or parties.insurer is None:
        missing = "who insures the patient" if provider else "for which organization the order was written"
        raise MissingElement(f"The EHR does not say {missing}. Add it there, then send the request again.")
    claim: Json = prune(
        {
            "resourceType": "Claim",
            "id": numbers.claim,
            "meta": {"profile": [canonical.PAS_CLAIM]},
            "identifier": [identifier(canonical.URI_SYSTEM, f"urn:uuid:{numbers.trace}")],
            "status": "active",
            "type": code_concept(canonical.CLAIM_TYPE, "professional"),
            "use": "preauthorization",
            "patient": to(matter.patient),
            "created": instant(numbers.made_at),
            "insurer": to(parties.insurer),
            "provider": to(provider),
            "priority": code_concept(canonical.PROCESS_PRIORITY, "normal"),
            "careTeam": _care_team(opened),
            "supportingInfo": list(evidence),
            "diagnosis": list(_diagnoses(opened)),
            "insurance": [{"sequence": 1, "focal": True, "coverage": to(matter.coverage)}],
            "item": [_line(opened, numbers, len(evidence))],
        }
    )
    return claim


def _care_team(opened: Opened) -> list[Json]:
    member = opened.parties.role or opened.parties.practitioner
    if member is None:
        return []
    scope = extension(canonical.PAS_CARE_TEAM_CLAIM_SCOPE, valueBoolean=True)
    return [{"extension": [scope], "sequence": 1, "provider": to(member)}]


def _evidence(response: Json) -> Json:
    kind = extension("reportTypeCode", valueCodeableConcept=REPORT)
    return {
        "extension": [nested_extension(canonical.PAS_DOCUMENT_INFORMATION, kind)],
        "sequence": 1,
        "category": ADDITIONAL,
        "valueReference": to(response),
    }


def _document(attached: Attached, sequence: int) -> Json:
    """As PAS 2.2.1's referral example sends a note: what kind, by which way, and in words what it is."""
    return {
        "extension": [
            nested_extension(
                canonical.PAS_DOCUMENT_INFORMATION,
                extension("reportTypeCode", valueCodeableConcept=REPORT),
                extension("transmissionMethod", valueCodeableConcept=ELECTRONICALLY),
                extension("description", valueString=attached.title),
            )
        ],
        "sequence": sequence,
        "category": ADDITIONAL,
        "valueReference": to(attached.resource),
    }


def _diagnoses(opened: Opened) -> Iterator[Json]:
    """ICD-10-CM codes of the order's reasons, as payers read them."""
    codings = [c for concept in diagnoses(opened) for c in concept.get("coding") or () if c.get("system") == ICD10_CM]
    for number, coding in enumerate(codings, start=1):
        yield {
            "sequence": number,
            "diagnosisCodeableConcept": {"coding": [coding]},
            "type": [PRINCIPAL] if number == 1 else [],
        }


def _line(opened: Opened, numbers: Numbers, documents: int) -> Json:
    order = opened.matter.order
    count = len(list(_diagnoses(opened)))
    return {
        "extension": [
            extension(canonical.PAS_SERVICE_ITEM_REQUEST_TYPE, valueCodeableConcept=REQUEST_TYPE),
            extension(canonical.PAS_CERTIFICATION_TYPE, valueCodeableConcept=INITIAL),
            extension(canonical.PAS_REQUESTED_SERVICE, valueReference=to(order)),
        ],
        "sequence": 1,
        "careTeamSequence": [1] if _care_team(opened) else [],
        "diagnosisSequence": list(range(1, count + 1)),
        "informationSequence": list(range(1, documents + 1)),
        "category": MEDICAL_CARE,
        "productOrService": _product(opened),
        **_serviced(order, numbers.made_at.date()),
        "locationCodeableConcept": _SOMEWHERE,
        "quantity": _quantity(order),
    }


def _product(opened: Opened) -> Json:
    """What is ordered; of several codes the billing ones, as a line names one product."""
    order, medication = opened.matter.order, opened.matter.medication
    held = next((order[name] for name in _NAMING if isinstance(order.get(name), Mapping)), None)
    concept = dict(held or (medication or {}).get("code") or {})
    if not concept:
        raise MissingElement("The order does not name what it orders. Add a code to it in the EHR.")
    billing = [c for c in concept.get("coding") or () if c.get("system") in _PRODUCT_SYSTEMS]
    return {**concept, "coding": billing} if billing else concept


def _serviced(order: Resource, today: date) -> Json:
    """The days that the order is for: its validity, its timing, or the one day from which it asks."""
    repeats = (((each.get("timing") or {}).get("repeat") or {}) for each in order.get("dosageInstruction") or ())
    periods: list[Any] = [
        (order.get("dispenseRequest") or {}).get("validityPeriod"),
        order.get("occurrencePeriod"),
        *(repeat.get("boundsPeriod") for repeat in repeats),
    ]
    for period in periods:
        if period and period.get("start") and period.get("end"):
            return {"servicedPeriod": {"start": period["start"][:10], "end": period["end"][:10]}}
    return {"servicedDate": requested_start(order, today).isoformat()}


def _quantity(order: Resource) -> Json | None:
    held = (order.get("dispenseRequest") or {}).get("quantity") or order.get("quantityQuantity")
    if not isinstance(held, Mapping) or held.get("value") is None:
        return None
    return quantity(held["value"], unit=held.get("unit") or held.get("code"))


def _reachable(claim: Json, opened: Opened, sent: Sequence[Resource]) -> Iterator[Json]:
    """What the claim refers to, directly or through others, each once (PAS 2.2.1 spec-13)."""
    matter, parties = opened.matter, opened.parties
    every = (matter.patient, matter.order, matter.coverage, matter.medication, *sent, *opened.conditions)
    people = (parties.practitioner, parties.role, parties.organization, parties.insurer)
    held = {f"{r['resourceType']}/{r['id']}": dict(r) for r in (*every, *people) if r is not None}
    return reachable(claim, held, opened.base)

"""The PAS request Bundle: the order, its evidence and everything that they refer to (PAS 2.2.1 and 2.0.1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from service.demo.chart import Chart
from service.demo.payer import Guides
from service.dtr.app.claim_parts import (
    ADDITIONAL,
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

# As the PAS 2.2.1 examples use it: Office.
_OFFICE: Final = code_concept(canonical.PLACE_OF_SERVICE, "11")


def request_bundle(chart: Chart, response: Json, numbers: Numbers, guides: Guides) -> Json:
    """The request for the chart's order, with the answered form; each resource once, the Claim first."""
    claim = _claim(chart, response, numbers, guides)
    return _bundle([claim, *_reachable(claim, chart, response)], chart, numbers, canonical.PAS_REQUEST_BUNDLE)


def inquiry_bundle(request: Json, numbers: Numbers) -> Json:
    """An inquiry about a request that was sent: the same parties and line, without the evidence (PAS 5e)."""
    resources = [held["resource"] for held in request["entry"]]
    sent = resources[0]
    line = {name: sent["item"][0][name] for name in ("sequence", "productOrService")}
    kept = ("resourceType", "status", "type", "use", "patient", "insurer", "provider", "priority", "insurance")
    claim = {
        **{name: sent[name] for name in kept},
        "id": numbers.claim,
        "meta": {"profile": [canonical.PAS_CLAIM_INQUIRY]},
        "identifier": [{**sent["identifier"][0], "value": numbers.trace}],
        "created": instant(numbers.made_at),
        "item": [{**line, "category": MEDICAL_CARE}],
    }
    parties = [r for r in resources if r["resourceType"] in ("Patient", "Coverage", "Organization")]
    base = request["entry"][0]["fullUrl"].partition("/Claim/")[0]
    entries = [entry(f"{base}/{r['resourceType']}/{r['id']}", r) for r in (claim, *parties)]
    return _wrapped(entries, numbers, canonical.PAS_INQUIRY_REQUEST_BUNDLE)


def _claim(chart: Chart, response: Json, numbers: Numbers, guides: Guides) -> Json:
    profile = canonical.PAS_CLAIM if guides is Guides.NEWEST else canonical.PAS_CLAIM_UPDATE
    clinic_npi = chart.clinic["identifier"][0]["value"]
    claim: Json = prune(
        {
            "resourceType": "Claim",
            "id": numbers.claim,
            "meta": {"profile": [profile]},
            "identifier": [identifier(canonical.TRACE_NUMBER_PREFIX + clinic_npi, numbers.trace)],
            "status": "active",
            "type": code_concept(canonical.CLAIM_TYPE, "professional"),
            "use": "preauthorization",
            "patient": to(chart.patient),
            "created": instant(numbers.made_at),
            "insurer": to(chart.payer),
            "provider": to(chart.clinic),
            "priority": code_concept(canonical.PROCESS_PRIORITY, "normal"),
            "careTeam": [
                {
                    "extension": [extension(canonical.PAS_CARE_TEAM_CLAIM_SCOPE, valueBoolean=True)],
                    "sequence": 1,
                    "provider": to(chart.role),
                }
            ],
            "supportingInfo": [_evidence(response, guides)],
            "diagnosis": [
                {
                    "sequence": number,
                    "diagnosisCodeableConcept": {"coding": [coding]},
                    "type": [PRINCIPAL] if number == 1 else [],
                }
                for number, coding in enumerate(chart.diagnoses, start=1)
            ],
            "insurance": [{"sequence": 1, "focal": True, "coverage": to(chart.coverage)}],
            "item": [_line(chart, clinic_npi)],
        }
    )
    return claim


def _evidence(response: Json, guides: Guides) -> Json:
    """The answered form as additional information; 2.2.1 also wants to know what kind of report it is."""
    described = nested_extension(
        canonical.PAS_DOCUMENT_INFORMATION, extension("reportTypeCode", valueCodeableConcept=REPORT)
    )
    return {
        "extension": [described] if guides is Guides.NEWEST else [],
        "sequence": 1,
        "category": ADDITIONAL,
        "valueReference": to(response),
    }


def _line(chart: Chart, clinic_npi: str) -> Json:
    start, end = chart.service_period
    ordered = chart.order["dispenseRequest"]["quantity"]["value"]
    trace = identifier(canonical.TRACE_NUMBER_PREFIX + clinic_npi, "LINE-1")
    return {
        "extension": [
            extension(canonical.PAS_SERVICE_ITEM_REQUEST_TYPE, valueCodeableConcept=REQUEST_TYPE),
            extension(canonical.PAS_CERTIFICATION_TYPE, valueCodeableConcept=INITIAL),
            extension(canonical.PAS_ITEM_TRACE_NUMBER, valueIdentifier=trace),
            extension(canonical.PAS_REQUESTED_SERVICE, valueReference=to(chart.order)),
        ],
        "sequence": 1,
        "careTeamSequence": [1],
        "diagnosisSequence": [number for number, _ in enumerate(chart.diagnoses, start=1)],
        "informationSequence": [1],
        "category": MEDICAL_CARE,
        "productOrService": chart.order["medicationCodeableConcept"],
        "servicedPeriod": {"start": start, "end": end},
        "locationCodeableConcept": _OFFICE,
        # The billing unit of the order's HCPCS code is 1 mg.
        "quantity": quantity(ordered, unit="unit"),
    }


def _reachable(claim: Json, chart: Chart, response: Json) -> Iterator[Json]:
    """What the claim refers to, directly or through others, each once (PAS 2.2.1 spec-13)."""
    held = {
        f"{r['resourceType']}/{r['id']}": r
        for r in (*chart.records, chart.order, response, chart.practitioner, chart.role, chart.clinic, chart.payer)
    }
    return reachable(claim, held)


def _bundle(resources: list[Json], chart: Chart, numbers: Numbers, profile: str) -> Json:
    entries = [entry(f"{chart.base}/{r['resourceType']}/{r['id']}", r) for r in resources]
    return _wrapped(entries, numbers, profile)


def _wrapped(entries: list[Json], numbers: Numbers, profile: str) -> Json:
    return bundle(
        "collection",
        entries,
        meta={"profile": [profile]},
        identifier=identifier(canonical.URI_SYSTEM, f"urn:uuid:{numbers.bundle}"),
        timestamp=instant(numbers.made_at),
    )

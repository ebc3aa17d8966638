"""What is measured of a call: CRDMetricData of CRD 2.2.1, as the payer sees it, without the patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.crd.answering import Answered
from service.crd.coverage_information import CoverageInformation
from service.crd.reading import object_at, objects_at, text_at
from service.crd.review_order import Reviewed
from service.fhir.build import Json, coding
from service.policy.case import ClientId
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Measured:
    """One call: the hook of the service, the request's JSON as far as it could be read, and how it was answered.

    `token_use` is a code of metricTokenUse (CRD 2.2.1).
    """

    hook: str
    client: ClientId
    received: object
    requested_at: datetime
    answered_at: datetime
    status: int
    issues: tuple[str, ...]
    reviewed: Reviewed | None
    token_use: str


def metric_data(measured: Measured, settings: Settings) -> Json:
    """The logical model CRDMetricData as JSON. What a broken request does not tell is left out."""
    received = measured.received if isinstance(measured.received, dict) else {}
    user = text_at(object_at(received, "context"), "userId")
    instance = text_at(received, "hookInstance")
    reviewed = measured.reviewed
    return {
        "source": "payer-src",
        **({"hookInstance": instance} if instance else {}),
        "hookType": measured.hook,
        **({"providerId": {"value": user}} if user else {}),
        "groupId": {"value": measured.client},
        "payerId": {"system": settings.payer_id_system, "value": settings.payer_id},
        "requestTime": measured.requested_at.isoformat(),
        "responseTime": measured.answered_at.isoformat(),
        "httpResponse": measured.status,
        **_listed("issue", [{"code": code} for code in measured.issues]),
        "tokenUse": measured.token_use,
        **_listed("resources", list(_resources(received))),
        **_listed("request", [_request(each) for each in reviewed.answered] if reviewed else []),
    }


def _resources(received: Mapping[str, Any]) -> Iterator[Json]:
    kinds: Counter[str] = Counter()
    for value in object_at(received, "prefetch").values():
        if isinstance(value, dict):
            bundled = value.get("resourceType") == "Bundle"
            sent = [object_at(entry, "resource") for entry in objects_at(value, "entry")] if bundled else [value]
            kinds.update(kind for resource in sent if (kind := text_at(resource, "resourceType")))
    for kind, count in sorted(kinds.items()):
        yield {"type": kind, "count": count, "prefetch": True}


def _request(answered: Answered) -> Json:
    codes = sorted((code.system, code.code) for code in answered.order.named.codes)
    return {
        "type": answered.order.resource["resourceType"],
        "orderDetail": {"coding": [coding(*code) for code in codes]} if codes else {"text": "no code"},
        "response": [{"type": "coverage-info", "coverageInfo": [_coverage_info(answered.information)]}],
    }


def _coverage_info(information: CoverageInformation) -> Json:
    return {
        "covered": str(information.covered),
        **({"paNeeded": str(information.pa_needed)} if information.pa_needed else {}),
        # The model has one of each; the first in the order of their codes stands for the rest.
        **({"docNeeded": str(min(information.doc_needed))} if information.doc_needed else {}),
        **({"infoNeeded": str(information.info_needed[0])} if information.info_needed else {}),
        **_listed(
            "questionnaire",
            [{"reference": url, "adaptive": False, "response": False} for url in information.questionnaires],
        ),
        "assertionId": information.assertion.id,
        **({"satisfiedId": information.satisfied_pa_id} if information.satisfied_pa_id else {}),
    }


def _listed(name: str, values: list[Json]) -> Json:
    return {name: values} if values else {}

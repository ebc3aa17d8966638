"""The requests whose answers are kept as golden files under tests/golden/pas/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.unit.pas import bundles as b
from tests.unit.pas.payer import PAS

Json = dict[str, Any]


def _answers(**changed: Any) -> Json:
    answers = b.ANSWERS | {name.replace("_", "-"): value for name, value in changed.items()}
    return b.bundle({b.RESPONSE: b.response({k: v for k, v in answers.items() if v is not None})})


def _lines() -> Json:
    other = b.item(2, code="99212")
    other["extension"] = other["extension"][:3]
    return b.bundle({b.CLAIM: b.claim(b.item(1), other, b.item(3, quantity={"value": 0, "unit": "unit"}))})


def _rich() -> Json:
    """All that an answer takes over: modifiers, price, revenue, transmission identifiers, a claim-wide team."""
    item = b.item(
        modifier=[b.coded(b.HCPCS, "JW")],
        unitPrice={"value": 1500.50, "currency": "USD"},
        revenue=b.coded("https://www.nubc.org/CodeSystem/RevenueCodes", "0636"),
        servicedDate="2026-09-08",
    )
    del item["servicedPeriod"], item["careTeamSequence"]
    parts = {
        "applicationSenderCode": "EHR01",
        "applicationReceiverCode": "PAYER01",
        "interchangeSenderID": "SENDER-0001",
    }
    transmission = {
        "url": PAS + "TransmissionIdentifiers",
        "extension": [{"url": url, "valueString": value} for url, value in parts.items()],
    }
    claim = b.claim(item, extension=[transmission])
    claim["careTeam"][0]["extension"] = [{"url": PAS + "careTeamClaimScope", "valueBoolean": True}]
    return b.bundle({b.CLAIM: claim})


def _early() -> Json:
    early = b.item(servicedPeriod={"start": "2026-03-01", "end": "2026-03-31"})
    return b.bundle({b.CLAIM: b.claim(early)})


STORIES: dict[str, Callable[[], Json]] = {
    "approved": b.bundle,
    "approved-rich": _rich,
    "pended-unmet": lambda: _answers(es_sclc=False),
    "pended-unknown": lambda: _answers(progression_on_platinum=None),
    "pended-coverage": lambda: b.bundle({b.COVERAGE: b.coverage(status="cancelled")}),
    "pended-other-service": lambda: b.bundle({b.CLAIM: b.claim(b.item(code="99212"))}),
    "pended-before-policy": _early,
    "lines": _lines,
    "error-wrong-payer": lambda: b.bundle({b.INSURER: b.insurer("OTHER")}),
}

"""An EHR's requests and a payer with one invented drug, for the hook tests."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from starlette.requests import Request

from service.fhir.canonical import CRD_COVERAGE_INFORMATION, HCPCS, NDC
from service.policy.case import Authorization, ClientId, MemberId
from service.policy.match import Match, Named, match_policy
from service.policy.model import (
    INITIAL,
    RENEWAL,
    DrugCode,
    Pathway,
    PathwayName,
    Policy,
    PolicyRef,
    QuantityRule,
)
from service.policy.model import Drug as PolicyDrug
from service.ports import Caller, LibraryRef, LoadedPolicy, LogicSet, Resource
from service.settings import Settings
from service.store.memory import MemoryStore

Json = dict[str, Any]
NOW = datetime(2026, 12, 1, 15, 30, tzinfo=UTC)
TODAY = NOW.date()
CLIENT = ClientId("ehr-1")
INITIAL_FORM = "https://payer.example.org/Questionnaire/zorvex-initial"
RENEWAL_FORM = "https://payer.example.org/Questionnaire/zorvex-renewal"
TRUSTING = Settings(trust_presented_coverage=True)


def policy(**changes: Any) -> Policy:
    """The invented drug's policy: in force since 1 April 2026, renewals within 90 days."""

    def pathway(name: PathwayName, form: str) -> Pathway:
        return Pathway(name, form, "1.0.0", ())

    made = Policy(
        ref=PolicyRef("zorvex", "2026-04-01", "sha256:0"),
        title="Zorvex",
        document="9.99.999",
        source_url="https://payer.example.org/policies/9.99.999",
        effective=date(2026, 4, 1),
        ends=None,
        drug=PolicyDrug(
            display="Zorvex (zorvexumab)",
            codes=(DrugCode(HCPCS, "J0000"), DrugCode(NDC, "99999000001")),
            names=("zorvexumab", "zorvex"),
            billing=DrugCode(HCPCS, "J0000"),
        ),
        quantity=QuantityRule({}, {}),
        pathways={INITIAL: pathway(INITIAL, INITIAL_FORM), RENEWAL: pathway(RENEWAL, RENEWAL_FORM)},
        attested=frozenset(),
        approval_months=12,
        renewal_window_days=90,
    )
    return replace(made, **changes)


@dataclass(frozen=True)
class OneDrug:
    """A PolicyRegistry of the invented drug."""

    policies: tuple[Policy, ...] = (policy(),)

    def match(self, named: Named, on: date) -> Match | None:
        return match_policy(self.policies, named, on)

    def loaded(self, policy: Policy) -> LoadedPolicy:
        forms = {p.questionnaire: {"title": f"Zorvex, {name}"} for name, p in policy.pathways.items()}
        return LoadedPolicy(policy, forms, LogicSet("", (), ()), LibraryRef("", ""), None, (), ())

    def all(self) -> Sequence[LoadedPolicy]:
        return [self.loaded(policy) for policy in self.policies]

    def questionnaire(self, canonical: str) -> tuple[LoadedPolicy, Resource] | None:
        raise AssertionError("a hook looks up no form by canonical")


class AuthorizingStore(MemoryStore):
    """A store with authorizations on file."""

    def __init__(self, *held: Authorization) -> None:
        super().__init__()
        self.held = held

    async def authorizations(self, member: MemberId, policy_id: str) -> Sequence[Authorization]:
        return [a for a in self.held if (a.member, a.policy_id) == (member, policy_id)]


async def anyone(request: Request, body: bytes) -> Caller:
    return Caller(CLIENT, frozenset())


def medication_request(**changes: Any) -> Json:
    order: Json = {
        "resourceType": "MedicationRequest",
        "id": "mr1",
        "status": "draft",
        "intent": "order",
        "medicationCodeableConcept": {"coding": [{"system": HCPCS, "code": "J0000", "display": "Zorvex"}]},
        "subject": {"reference": "Patient/p1"},
        "authoredOn": "2026-12-01",
        "requester": {"reference": "Practitioner/d1"},
        "dispenseRequest": {"validityPeriod": {"start": "2026-12-04"}},
    }
    return {name: value for name, value in {**order, **changes}.items() if value is not None}


def service_request(**changes: Any) -> Json:
    order: Json = {
        "resourceType": "ServiceRequest",
        "id": "sr1",
        "status": "draft",
        "intent": "order",
        "code": {"coding": [{"system": "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "code": "J0000"}]},
        "subject": {"reference": "Patient/p1"},
        "authoredOn": "2026-12-01",
        "occurrenceDateTime": "2026-12-04T09:00:00-05:00",
    }
    return {name: value for name, value in {**order, **changes}.items() if value is not None}


def coverage(**changes: Any) -> Json:
    made: Json = {
        "resourceType": "Coverage",
        "id": "cov1",
        "status": "active",
        "subscriberId": "M-1",
        "beneficiary": {"reference": "Patient/p1"},
        "period": {"start": "2026-01-01"},
        "payor": [{"reference": "Organization/payer"}],
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def payer(value: str = "PAYER01", system: str = "https://payer.example.org/payer-id") -> Json:
    identifier = {"system": system, "value": value}
    return {"resourceType": "Organization", "id": "payer", "name": "Payer", "identifier": [identifier]}


def patient() -> Json:
    return {"resourceType": "Patient", "id": "p1", "birthDate": "1958-02-03", "name": [{"family": "Garbo"}]}


def searchset(*resources: Json) -> Json:
    return {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": r} for r in resources]}


def request(*orders: Json, hook: str = "order-sign", version: str | None = None, **changes: Any) -> Json:
    """A hook request over the drafts; `changes` replace whole members of the request, None removes one."""
    drafts = orders or (medication_request(),)
    context: Json = {
        "userId": "Practitioner/d1",
        "patientId": "p1",
        "draftOrders": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": o} for o in drafts]},
    }
    if hook == "order-select":
        context["selections"] = [f"{order['resourceType']}/{order['id']}" for order in drafts]
    made: Json = {
        "hook": hook,
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": context,
        "prefetch": {"patient": patient(), "coverage": searchset(coverage(), payer())},
    }
    if version:
        made["extension"] = {"davinci-crd.requestedVersion": version}
    return {name: value for name, value in {**copy.deepcopy(made), **changes}.items() if value is not None}


def blocks(resource: Mapping[str, Any]) -> list[Json]:
    return [e for e in resource.get("extension", []) if e["url"] == CRD_COVERAGE_INFORMATION]


def facts(block: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Sub-extension url -> its values, nested ones as they are."""
    found: dict[str, list[Any]] = {}
    for part in block["extension"]:
        value = part["extension"] if "extension" in part else next(v for k, v in part.items() if k != "url")
        found.setdefault(part["url"], []).append(value)
    return found


def said(response: Mapping[str, Any], index: int = 0) -> dict[str, list[Any]]:
    """The coverage-information of one system action."""
    (block,) = blocks(response["systemActions"][index]["resource"])
    return facts(block)

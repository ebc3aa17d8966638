"""The started service over real sockets: durable, closed without clients, open to every example, never a 5xx."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app.parts import Rules
from tests.conftest import SECOND_POLICY
from tests.e2e.requests import for_member, review_action, submission
from tests.e2e.server import Served, serving

FHIR = {"Content-Type": "application/fhir+json"}
PAYER = {"system": "https://payer.example.org/payer-id", "value": "PAYER01"}
J9026 = {"system": "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "code": "J9026"}
Guide = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    environment = {"PA_POLICIES": str(SECOND_POLICY)}
    with serving(tmp_path_factory.mktemp("service"), environment=environment) as running:
        yield running


def post(http: httpx.Client, path: str, body: Any) -> httpx.Response:
    return http.post(path, content=json.dumps(body), headers=FHIR)


def assert_clean(answer: httpx.Response, where: str) -> None:
    """An answer, or a 4xx that says in an OperationOutcome what was wrong."""
    assert answer.status_code < 500, where
    if answer.status_code >= 400:
        outcome = answer.json()
        assert outcome["resourceType"] == "OperationOutcome", where
        assert all(issue["diagnostics"] and issue["details"]["text"] for issue in outcome["issue"]), where


# --- what was acknowledged is never lost


@pytest.mark.parametrize(("base", "version"), [("/fhir", "2.2.1"), ("/2.0.1/fhir", "2.0.1")])
def test_an_acknowledged_decision_survives_a_power_cut(tmp_path: Path, rules: Rules, base: str, version: str) -> None:
    request = submission(rules)
    with serving(tmp_path) as first:
        answer = post(first.http, f"{base}/Claim/$submit", request)
        first.kill()
    assert answer.status_code == 200
    assert review_action(answer.json()) == "A1"
    response = answer.json()["entry"][0]["resource"]
    with serving(tmp_path) as second:
        again = post(second.http, f"{base}/Claim/$submit", request)
        assert again.content == answer.content
        read = second.http.get(f"{base}/ClaimResponse/{response['id']}")
        assert read.status_code == 200
        assert read.json()["preAuthRef"] == response["preAuthRef"]
        inquiry = post(second.http, f"{base}/Claim/$inquire", request).json()
        found = inquiry["parameter"][0]["resource"] if version == "2.2.1" else inquiry
        assert found["entry"][0]["resource"]["preAuthRef"] == response["preAuthRef"]
        assert second.stop() == 0


# --- who may call


OPEN = ("/health/live", "/health/ready", "/fhir/metadata", "/2.0.1/fhir/metadata", "/")
OPEN_DISCOVERY = ("/fhir/.well-known/smart-configuration", "/2.0.1/fhir/.well-known/smart-configuration")
CLOSED = (
    ("GET", "/cds-services"),
    ("POST", "/cds-services/order-sign-crd"),
    ("POST", "/cds-services/order-sign-crd/feedback"),
    ("POST", "/fhir/Questionnaire/$questionnaire-package"),
    ("POST", "/fhir/Claim/$submit"),
    ("POST", "/2.0.1/fhir/Claim/$submit"),
    ("POST", "/fhir/Claim/$inquire"),
    ("GET", "/fhir/ClaimResponse/x"),
    ("GET", "/fhir/Questionnaire?url=https://payer.example.org/fhir/Questionnaire/imdelltra-initial"),
    ("GET", "/fhir/Library/ImdelltraCriteria"),
    ("GET", "/2.0.1/fhir/ValueSet/tarlatamab"),
)


def test_without_registered_clients_nobody_may_call(tmp_path: Path) -> None:
    with serving(tmp_path, demo=False) as service:
        for path in (*OPEN, *OPEN_DISCOVERY):
            assert service.http.get(path).status_code == 200, path
        for method, path in CLOSED:
            answer = service.http.request(method, path, content=b"{}", headers={"Authorization": "Bearer guess"})
            assert answer.status_code == 401, path
            assert answer.json()["resourceType"] == "OperationOutcome"
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert service.http.get("/demo").status_code == 404


def test_development_access_is_for_this_machine_under_its_own_name(served: Served) -> None:
    assert served.http.get("/cds-services").status_code == 200
    assert served.http.get("/cds-services", headers={"Host": "rebound.example.org"}).status_code == 401
    assert served.http.get("/cds-services", headers={"X-Forwarded-For": "203.0.113.9"}).status_code == 401
    assert served.http.get("/cds-services", headers={"Origin": "https://elsewhere.example.org"}).status_code == 401


# --- the guides' own examples


@pytest.mark.parametrize(("package", "base"), [("pas-2.2.1", "/fhir"), ("pas-2.0.1", "/2.0.1/fhir")])
def test_every_pas_example_gets_an_answer_or_a_clean_refusal(
    served: Served, guide: Guide, package: str, base: str
) -> None:
    seen = 0
    for name, resource in guide(package).items():
        if not name.startswith("example/"):
            continue
        for operation in ("$submit", "$inquire"):
            assert_clean(post(served.http, f"{base}/Claim/{operation}", resource), name)
        seen += 1
    assert seen > 30


def ours(bundle: dict[str, Any]) -> dict[str, Any]:
    """The example with our payer id and our drug's code; nothing else is changed."""
    changed = copy.deepcopy(bundle)
    claim = changed["entry"][0]["resource"]
    for item in claim["item"]:
        item["productOrService"]["coding"] = [J9026]
    insurer = claim["insurer"]["reference"]
    for entry in changed["entry"]:
        if entry["fullUrl"].endswith(insurer):
            entry["resource"]["identifier"] = [PAYER]
    return changed


def test_the_newest_pas_examples_for_our_drug_are_decided(served: Served, guide: Guide) -> None:
    decided = 0
    for name, bundle in guide("pas-2.2.1").items():
        if not name.startswith("example/Bundle-") or bundle["entry"][0]["resource"]["resourceType"] != "Claim":
            continue
        if "Inquiry" in name:
            continue
        answer = post(served.http, "/fhir/Claim/$submit", ours(bundle))
        assert answer.status_code == 200, name
        response = answer.json()["entry"][0]["resource"]
        assert response["outcome"] in {"complete", "partial"}, name
        assert {review_action(answer.json(), index) for index in range(len(response["item"]))} <= {"A1", "A4", "C"}, (
            name
        )
        decided += 1
    assert decided >= 5


@pytest.mark.parametrize("package", ["crd-2.2.1", "crd-2.0.1"])
def test_every_crd_example_gets_an_answer_or_a_clean_refusal(served: Served, guide: Guide, package: str) -> None:
    for name, resource in guide(package).items():
        if not name.startswith("example/"):
            continue
        body = (
            json.loads(base64.b64decode(resource["data"])) if resource.get("resourceType") == "Binary" else resource
        )
        for service in ("order-sign-crd", "order-select-crd"):
            assert_clean(post(served.http, f"/cds-services/{service}", body), f"{name} to {service}")


# --- bad input


BROKEN = (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"resourceType": "Bundle"}', b'{"a":' * 200 + b"1" + b"}" * 200)
POSTS = (
    *(path for method, path in CLOSED if method == "POST"),
    "/2.0.1/fhir/Questionnaire/$questionnaire-package",
)


@pytest.mark.parametrize("path", POSTS)
def test_what_cannot_be_read_gets_a_clean_refusal(served: Served, path: str) -> None:
    for body in BROKEN:
        answer = served.http.post(path, content=body, headers=FHIR)
        assert 400 <= answer.status_code < 500, body[:20]
        assert_clean(answer, path)


def test_nothing_received_is_said_back_in_an_error(served: Served, rules: Rules) -> None:
    request = submission(rules)
    request["entry"][1]["resource"]["birthDate"] = "SECRET-NAME"
    request["entry"][1]["resource"]["secretElement"] = "SECRET-VALUE"
    answer = post(served.http, "/fhir/Claim/$submit", request)
    assert answer.status_code == 400
    assert "SECRET" not in answer.text
    assert "Bundle.entry[1].resource.birthDate" in answer.text


@pytest.mark.parametrize("path", ["/nowhere", "/fhir/Claim", "/fhir/Claim/$other", "/fhir/ClaimResponse/unknown"])
def test_unknown_addresses_are_an_operation_outcome(served: Served, path: str) -> None:
    answer = served.http.get(path)
    assert answer.status_code in {404, 405}
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_a_body_that_is_too_large_is_refused(served: Served) -> None:
    answer = served.http.post("/fhir/Claim/$submit", content=b" " * 11_000_000, headers=FHIR)
    assert answer.status_code == 413
    assert answer.json()["resourceType"] == "OperationOutcome"


# --- a policy is data alone


@pytest.mark.requirement("CRD impl-3")
def test_the_second_policy_goes_through_every_flow(served: Served, rules: Rules) -> None:
    code = {"system": J9026["system"], "code": "X0001"}
    patient = {"resourceType": "Patient", "id": "p1", "birthDate": "1990-05-05"}
    coverage = {
        "resourceType": "Coverage", "id": "c1", "status": "active", "subscriberId": "DEMO-9",
        "beneficiary": {"reference": "Patient/p1"}, "payor": [{"identifier": PAYER}],
    }  # fmt: skip
    order = {
        "resourceType": "MedicationRequest", "id": "m1", "status": "draft", "intent": "order",
        "medicationCodeableConcept": {"coding": [code]}, "subject": {"reference": "Patient/p1"},
    }  # fmt: skip
    hook = {
        "hook": "order-sign",
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "context": {
            "userId": "Practitioner/x", "patientId": "p1",
            "draftOrders": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": order}]},
        },
        "prefetch": {
            "patient": patient,
            "coverage": {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": coverage}]},
        },
    }  # fmt: skip
    discovered = post(served.http, "/cds-services/order-sign-crd", hook)
    assert discovered.status_code == 200
    signed = discovered.json()["systemActions"][0]["resource"]
    said = {part["url"]: part for part in signed["extension"][0]["extension"]}
    assert said["pa-needed"]["valueCode"] == "auth-needed"
    canonical = said["questionnaire"]["valueCanonical"]
    assert canonical == "https://second.example.org/fhir/Questionnaire/zelvora-initial|3.0.0"

    weight = {
        "resourceType": "Observation", "id": "o1", "status": "final", "subject": {"reference": "Patient/p1"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]}, "effectiveDateTime": "2026-05-01",
        "valueQuantity": {"value": 71.5, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
    }  # fmt: skip
    parameters = [
        {"name": "coverage", "resource": coverage},
        {"name": "order", "resource": signed},
        {"name": "context", "valueString": said["coverage-assertion-id"]["valueString"]},
        *({"name": "referenced", "resource": resource} for resource in (patient, weight)),
    ]
    package = post(
        served.http,
        "/fhir/Questionnaire/$questionnaire-package",
        {"resourceType": "Parameters", "parameter": parameters},
    ).json()
    entries = [entry["resource"] for entry in package["parameter"][0]["resource"]["entry"]]
    assert entries[0]["url"] == "https://second.example.org/fhir/Questionnaire/zelvora-initial"
    draft = next(entry for entry in entries if entry["resourceType"] == "QuestionnaireResponse")
    answered = {item["linkId"]: item["answer"][0] for item in draft["item"] if "answer" in item}
    assert answered["weight"]["valueDecimal"] == 71.5

    severe = {"valueCoding": {"system": "https://second.example.org/fhir/CodeSystem/severity", "code": "severe"}}
    answers = {"weight": 71.5, "severity": severe, "active-infection": False}
    request = submission(rules, "zelvorimab", answers=answers, diagnoses=[], quantity=100, unit="mg")
    assert review_action(post(served.http, "/fhir/Claim/$submit", request).json()) == "A1"
    light = submission(rules, "zelvorimab", answers=answers | {"weight": 20.0}, diagnoses=[], quantity=100, unit="mg")
    pended = post(served.http, "/2.0.1/fhir/Claim/$submit", for_member(light, "CASE-2")).json()
    assert review_action(pended) == "A4"
    assert "Body weight of 30 kg or more" in pended["entry"][0]["resource"]["processNote"][0]["text"]


# --- nothing of a patient in the log


def test_the_log_holds_nothing_of_a_patient(served: Served, rules: Rules) -> None:
    request = for_member(submission(rules), "MEMBER-IN-LOG")
    request["entry"][1]["resource"]["name"] = [{"family": "Familyname", "given": ["Givenname"]}]
    assert post(served.http, "/fhir/Claim/$submit", request).status_code == 200
    post(served.http, "/fhir/Claim/$submit", request | {"entry": request["entry"] * 2})
    served.http.get("/fhir/ClaimResponse/MEMBER-IN-LOG?name=Familyname")
    log = served.log.read_text()
    assert "answered" in log
    for secret in ("MEMBER-IN-LOG", "Familyname", "Givenname", "1958-02-03"):
        assert secret not in log

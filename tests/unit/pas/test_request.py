"""What a PAS Bundle is read into, and every fault of structure with its place (pas.md 1.7)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from service.errors import InvalidResource, MissingElement, ServiceError, TooLarge, UnresolvedReference
from service.fhir.parse import StructureCheck
from service.pas.request import parse
from service.policy.dates import PartialDate
from tests.unit.pas import bundles as b

Json = dict[str, Any]
Change = Callable[[Json], object]


def changed(change: Change) -> Json:
    bundle = copy.deepcopy(b.bundle())
    change(bundle)
    return bundle


def claim_of(bundle: Json) -> Json:
    found: Json = bundle["entry"][0]["resource"]
    return found


def on_claim(change: Change) -> Change:
    return lambda bundle: change(claim_of(bundle))


def without(url: str) -> Change:
    return lambda bundle: bundle["entry"].remove(next(e for e in bundle["entry"] if e["fullUrl"] == url))


def test_a_whole_request_is_read(check: StructureCheck) -> None:
    request = parse(b.bundle(), check, member_system=b.MEMBER_SYSTEM)
    assert request.member == "M000123"
    assert request.patient_references == {b.PATIENT, "Patient/b0000000-0000-4000-8000-000000000001"}
    assert request.insurer_ids == request.payor_ids == {("https://payer.example.org/payer-id", "PAYER01")}
    assert request.provider_npis == {"1245319599", "1003000126"}
    assert request.claim_identifiers == ("urn:trnorg:1245319599|TRN-2026-000123",)
    assert request.created == PartialDate(2026, 9, 1)
    assert request.created_at == datetime(2026, 9, 1, 15, 4, 5, tzinfo=UTC)
    (line,) = request.lines
    assert (line.sequence, line.path) == (1, "Bundle.entry[0].resource.item[0]")
    assert (line.code, line.code_system) == ("J9026", b.HCPCS)
    assert (line.serviced.start, line.serviced.end) == (PartialDate(2026, 9, 8), PartialDate(2026, 11, 30))
    assert [d["diagnosisCodeableConcept"]["coding"][0]["code"] for d in line.diagnoses] == ["C34.90"]
    assert [r["resourceType"] for r in line.responses] == ["QuestionnaireResponse"]
    (order,) = line.orders
    assert order.resource is not None
    assert {code.code for code in order.named.codes} == {"J9026"}
    kinds = {r["resourceType"] for r in line.evidence}
    assert kinds == {"Claim", "Patient", "Coverage", "QuestionnaireResponse", "MedicationRequest"}


def test_the_bundle_may_come_as_the_parameter_resource(check: StructureCheck) -> None:
    wrapped = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": b.bundle()}]}
    assert parse(wrapped, check) == parse(b.bundle(), check)


def test_resources_are_kept_as_received(check: StructureCheck) -> None:
    bundle = b.bundle()
    before = copy.deepcopy(bundle)
    request = parse(bundle, check)
    assert bundle == before
    assert request.claim is claim_of(bundle)


NO_BUNDLES: list[Any] = [
    None,
    [],
    "Bundle",
    7,
    {},
    {"resourceType": "Claim"},
    {"resourceType": "Parameters"},
    {"resourceType": "Parameters", "parameter": [{"name": "other", "resource": {"resourceType": "Bundle"}}]},
    {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": {"resourceType": "Claim"}}]},
]


@pytest.mark.parametrize("body", NO_BUNDLES)
def test_what_is_no_bundle_is_refused(body: Any, check: StructureCheck) -> None:
    with pytest.raises(InvalidResource) as refused:
        parse(body, check)
    assert refused.value.expression == ("Bundle",)


CLAIM = "Bundle.entry[0].resource"
ITEM = f"{CLAIM}.item[0]"


def second_item(claim: Json) -> None:
    claim["item"].append(copy.deepcopy(claim["item"][0]))


def second_document(claim: Json) -> None:
    claim["supportingInfo"].append(copy.deepcopy(claim["supportingInfo"][0]))


def second_diagnosis(claim: Json) -> None:
    claim["diagnosis"].append(copy.deepcopy(claim["diagnosis"][0]))


def dangling_diagnosis(claim: Json) -> None:
    claim["diagnosis"] = [{"sequence": 1, "diagnosisReference": {"reference": "Condition/nowhere"}}]


def two_focal(claim: Json) -> None:
    claim["insurance"].append({**claim["insurance"][0], "sequence": 2})


def patient_of_wrong_type(claim: Json) -> None:
    claim["patient"] = {"reference": b.INSURER}


FAULTS: dict[str, tuple[Change, type[ServiceError], str]] = {
    "empty entry": (lambda bundle: bundle.update(entry=[]), MissingElement, "Bundle.entry"),
    "no entry": (lambda bundle: bundle.pop("entry"), MissingElement, "Bundle.entry"),
    "another type": (lambda bundle: bundle.update(type="searchset"), InvalidResource, "Bundle.type"),
    "first entry no Claim": (lambda bundle: bundle["entry"].reverse(), InvalidResource, CLAIM),
    "no fullUrl": (lambda bundle: bundle["entry"][1].pop("fullUrl"), MissingElement, "Bundle.entry[1].fullUrl"),
    "no resource": (lambda bundle: bundle["entry"][1].pop("resource"), MissingElement, "Bundle.entry[1].resource"),
    "one fullUrl twice": (
        lambda bundle: bundle["entry"].append(copy.deepcopy(bundle["entry"][1])),
        InvalidResource,
        "Bundle.entry[9].fullUrl",
    ),
    "not active": (on_claim(lambda c: c.update(status="cancelled")), InvalidResource, f"{CLAIM}.status"),
    "not a preauthorization": (on_claim(lambda c: c.update(use="claim")), InvalidResource, f"{CLAIM}.use"),
    "no insurer": (on_claim(lambda c: c.pop("insurer")), MissingElement, f"{CLAIM}.insurer"),
    "no item": (on_claim(lambda c: c.pop("item")), MissingElement, f"{CLAIM}.item"),
    "dangling patient": (without(b.PATIENT), UnresolvedReference, f"{CLAIM}.patient"),
    "dangling insurer": (without(b.INSURER), UnresolvedReference, f"{CLAIM}.insurer"),
    "dangling provider": (without(b.REQUESTOR), UnresolvedReference, f"{CLAIM}.provider"),
    "dangling coverage": (without(b.COVERAGE), UnresolvedReference, f"{CLAIM}.insurance[0].coverage"),
    "dangling document": (without(b.RESPONSE), UnresolvedReference, f"{CLAIM}.supportingInfo[0].valueReference"),
    "dangling diagnosis": (
        on_claim(dangling_diagnosis),
        UnresolvedReference,
        f"{CLAIM}.diagnosis[0].diagnosisReference",
    ),
    "patient is an organization": (on_claim(patient_of_wrong_type), InvalidResource, f"{CLAIM}.patient"),
    "item sequence twice": (on_claim(second_item), InvalidResource, f"{CLAIM}.item[1].sequence"),
    "document sequence twice": (on_claim(second_document), InvalidResource, f"{CLAIM}.supportingInfo[1].sequence"),
    "diagnosis sequence twice": (on_claim(second_diagnosis), InvalidResource, f"{CLAIM}.diagnosis[1].sequence"),
    "unknown document": (
        on_claim(lambda c: c["item"][0].update(informationSequence=[2])),
        InvalidResource,
        f"{ITEM}.informationSequence",
    ),
    "unknown diagnosis": (
        on_claim(lambda c: c["item"][0].update(diagnosisSequence=[9])),
        InvalidResource,
        f"{ITEM}.diagnosisSequence",
    ),
    "two focal insurances": (on_claim(two_focal), InvalidResource, f"{CLAIM}.insurance"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.requirement("spec-35")
def test_a_fault_of_structure_is_told_with_its_place(name: str, check: StructureCheck) -> None:
    change, kind, place = FAULTS[name]
    with pytest.raises(ServiceError) as refused:
        parse(changed(change), check)
    assert type(refused.value) is kind
    assert place in refused.value.expression


R4_MANDATORY = ["status", "type", "use", "patient", "created", "provider", "insurance"]


@pytest.mark.parametrize("element", R4_MANDATORY)
def test_what_r4_makes_mandatory_is_told_with_its_place(element: str, check: StructureCheck) -> None:
    with pytest.raises(InvalidResource) as refused:
        parse(changed(on_claim(lambda claim: claim.pop(element))), check)
    assert refused.value.expression == (f"{CLAIM}.{element}",)


@pytest.mark.parametrize("element", ["sequence", "productOrService"])
def test_what_r4_makes_mandatory_on_a_line_is_told_with_its_place(element: str, check: StructureCheck) -> None:
    with pytest.raises(InvalidResource) as refused:
        parse(changed(on_claim(lambda claim: claim["item"][0].pop(element))), check)
    assert refused.value.expression == (f"{ITEM}.{element}",)


@pytest.mark.parametrize(
    ("element", "sibling"), [("type", "_created"), ("created", "_created"), ("status", "_status")]
)
def test_an_extension_in_place_of_a_value_is_no_value(element: str, sibling: str, check: StructureCheck) -> None:
    def change(claim: Json) -> None:
        claim.pop(element)
        claim[sibling] = {
            "extension": [
                {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "masked"}
            ]
        }

    with pytest.raises(ServiceError):
        parse(changed(on_claim(change)), check)


OPTIONAL: dict[str, Change] = {
    "location": on_claim(lambda c: c["item"][0].pop("locationCodeableConcept")),
    "npi": lambda bundle: bundle["entry"][3]["resource"].pop("identifier"),
    "care team": on_claim(lambda c: [c.pop("careTeam"), c["item"][0].pop("careTeamSequence")]),
    "Bundle.identifier": lambda bundle: bundle.pop("identifier"),
    "Claim.identifier": on_claim(lambda c: c.pop("identifier")),
    "extensions": on_claim(lambda c: c["item"][0].pop("extension")),
    "serviced": on_claim(lambda c: c["item"][0].pop("servicedPeriod")),
    "response": on_claim(lambda c: [c.pop("supportingInfo"), c["item"][0].pop("informationSequence")]),
    "the order's resource": without(b.ORDER),
    "the care team's person": without(b.PRACTITIONER),
}


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.requirement("conf-14")
def test_what_is_optional_and_missing_is_no_error(name: str, check: StructureCheck) -> None:
    assert len(parse(changed(OPTIONAL[name]), check).lines) == 1


@pytest.mark.parametrize("name", ["item", "supportingInfo", "diagnosis"])
def test_more_than_can_be_answered_in_time_is_refused(name: str, check: StructureCheck) -> None:
    def change(claim: Json) -> None:
        claim[name] = [{**claim[name][0], "sequence": number} for number in range(1, 502)]

    with pytest.raises(TooLarge):
        parse(changed(on_claim(change)), check)


def test_a_patient_named_by_identifier_alone_is_not_sent(check: StructureCheck) -> None:
    claim = b.claim(patient={"identifier": {"system": b.MEMBER_SYSTEM, "value": "ELSEWHERE"}})
    with pytest.raises(MissingElement) as refused:
        parse(b.bundle({b.CLAIM: claim}), check)
    assert refused.value.expression == (f"{CLAIM}.patient.reference",)


@pytest.mark.parametrize("created", ["2026-09-01", "2026-12-31T23:59:60Z"])
def test_a_time_that_no_clock_shows_is_no_instant(created: str, check: StructureCheck) -> None:
    request = parse(b.bundle({b.CLAIM: b.claim(created=created)}), check)
    assert request.created_at is None
    assert str(request.created) == created[:10]


def test_npis_are_read_behind_a_role_that_names_them(check: StructureCheck) -> None:
    role = {
        "resourceType": "PractitionerRole",
        "practitioner": {"identifier": {"system": b.NPI, "value": "1777777777"}},
        "organization": b.refer("urn:uuid:nowhere"),
    }
    assert "1777777777" in parse(b.bundle({b.ROLE: role}), check).provider_npis


def test_an_order_that_was_not_sent_is_kept_without_resource(check: StructureCheck) -> None:
    (order,) = parse(changed(without(b.ORDER)), check).lines[0].orders
    assert (order.reference, order.resource) == (b.ORDER, None)


def test_medications_are_read_where_the_order_points(check: StructureCheck) -> None:
    coded = b.coded(b.HCPCS, "J9026")
    contained = {**b.order(), "medicationReference": {"reference": "#m"}}
    contained.pop("medicationCodeableConcept")
    contained["contained"] = [{"resourceType": "Medication", "id": "m", "code": coded}]
    sent = {**contained, "medicationReference": {"reference": "urn:uuid:5"}}
    del sent["contained"]
    changes: list[dict[str, Json]] = [
        {b.ORDER: contained},
        {b.ORDER: sent, "urn:uuid:5": {"resourceType": "Medication", "code": coded}},
    ]
    for change in changes:
        line = parse(b.bundle(change), check).lines[0]
        assert {code.code for code in line.orders[0].named.codes} == {"J9026"}
        assert "Medication" in {resource["resourceType"] for resource in line.evidence}


def test_a_diagnosis_is_read_from_its_condition(check: StructureCheck) -> None:
    condition = {"resourceType": "Condition", "subject": b.refer(b.PATIENT), "code": b.coded("urn:icd", "C50")}
    claim = b.claim(diagnosis=[{"sequence": 1, "diagnosisReference": b.refer("urn:uuid:6")}])
    line = parse(b.bundle({b.CLAIM: claim, "urn:uuid:6": condition}), check).lines[0]
    assert [d["diagnosisCodeableConcept"] for d in line.diagnoses] == [b.coded("urn:icd", "C50")]
    assert condition in line.evidence


def test_responses_in_a_dtr_bundle_count_in_the_bundles_order(check: StructureCheck) -> None:
    inner = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": "urn:uuid:71", "resource": {**b.response(), "id": "inner"}}],
    }
    claim = b.claim(b.item(informationSequence=[2, 1]))
    claim["supportingInfo"] = [
        {"sequence": 1, "category": {"text": "x"}, "valueReference": b.refer("urn:uuid:70")},
        {"sequence": 2, "category": {"text": "x"}, "valueReference": b.refer(b.RESPONSE)},
    ]
    line = parse(b.bundle({b.CLAIM: claim, "urn:uuid:70": inner}), check).lines[0]
    assert [r["id"] for r in line.responses] == ["response", "inner"]


def test_a_line_has_only_the_responses_and_diagnoses_that_it_points_to(check: StructureCheck) -> None:
    first = b.item(1, informationSequence=[1], diagnosisSequence=[1])
    second = b.item(2)
    del second["informationSequence"], second["diagnosisSequence"]
    claim = b.claim(first, second)
    claim["supportingInfo"].append(
        {"sequence": 2, "category": {"text": "x"}, "valueReference": b.refer("urn:uuid:80")}
    )
    claim["diagnosis"].append({"sequence": 2, "diagnosisCodeableConcept": b.coded("urn:icd", "C50")})
    other = {**b.response(), "id": "other"}
    lines = parse(b.bundle({b.CLAIM: claim, "urn:uuid:80": other}), check).lines
    assert [[r["id"] for r in line.responses] for line in lines] == [["response"], ["response", "other"]]
    assert [len(line.diagnoses) for line in lines] == [1, 2]


def test_member_ids_that_disagree_name_nobody(check: StructureCheck) -> None:
    other = b.coverage(identifier=[{"type": b.MB, "value": "OTHER"}])
    assert parse(b.bundle({b.COVERAGE: other}), check).member is None


def test_the_subscriber_id_stands_in_for_a_missing_member_id(check: StructureCheck) -> None:
    coverage = b.coverage(identifier=[{"type": b.MB}])
    assert parse(b.bundle({b.COVERAGE: coverage}), check).member == "M000123"


def test_our_member_system_counts_as_member_id_without_a_type(check: StructureCheck) -> None:
    patient = {**b.patient(), "identifier": [{"system": b.MEMBER_SYSTEM, "value": "M000123"}]}
    assert parse(b.bundle({b.PATIENT: patient}), check, member_system=b.MEMBER_SYSTEM).member == "M000123"
    assert parse(b.bundle({b.PATIENT: patient}), check).member is None


def test_parties_may_be_named_by_identifier_alone(check: StructureCheck) -> None:
    payer = {"identifier": {"system": "https://payer.example.org/payer-id", "value": "PAYER01"}}
    claim = b.claim(insurer=payer, provider={"identifier": {"system": b.NPI, "value": "1245319599"}})
    bundle = b.bundle({b.CLAIM: claim, b.COVERAGE: b.coverage(payor=[payer])})
    bundle["entry"] = [e for e in bundle["entry"] if e["fullUrl"] not in {b.INSURER, b.REQUESTOR}]
    request = parse(bundle, check)
    assert request.insurer_ids == request.payor_ids == {("https://payer.example.org/payer-id", "PAYER01")}
    assert "1245319599" in request.provider_npis


def test_an_identifier_beside_a_resolved_insurer_does_not_speak_for_it(check: StructureCheck) -> None:
    both = {
        "reference": b.INSURER,
        "identifier": {"system": "https://payer.example.org/payer-id", "value": "PAYER01"},
    }
    bundle = b.bundle({b.CLAIM: b.claim(insurer=both), b.INSURER: b.insurer("OTHER")})
    assert parse(bundle, check).insurer_ids == {("https://payer.example.org/payer-id", "OTHER")}


def test_two_payors_are_in_doubt(check: StructureCheck) -> None:
    coverage = b.coverage(payor=[b.refer(b.INSURER), b.refer(b.REQUESTOR)])
    assert parse(b.bundle({b.COVERAGE: coverage}), check).payor_ids == frozenset()


def test_an_id_that_two_patients_share_refers_to_neither(check: StructureCheck) -> None:
    request = parse(b.bundle({"urn:uuid:99": b.patient()}), check)
    assert request.patient_references == {b.PATIENT}


def test_relative_references_are_resolved_beside_the_claim(check: StructureCheck) -> None:
    base = "https://ehr.example.org/fhir/"
    bundle = b.bundle()
    for entry in bundle["entry"]:
        kind, tail = entry["resource"]["resourceType"], entry["fullUrl"][9:]
        entry["resource"]["id"] = tail
        entry["fullUrl"] = f"{base}{kind}/{tail}"
    text = str(bundle)
    for url in (b.PATIENT, b.COVERAGE, b.INSURER, b.REQUESTOR, b.ROLE, b.PRACTITIONER, b.ORDER, b.RESPONSE):
        entry = next(e for e in bundle["entry"] if e["resource"]["id"] == url[9:])
        text = text.replace(url, f"{entry['resource']['resourceType']}/{url[9:]}")
    request = parse(eval(text), check, member_system=b.MEMBER_SYSTEM)  # our own literal, with references rewritten
    assert f"Patient/{b.PATIENT[9:]}" in request.patient_references
    assert request.member == "M000123"

"""Each kind of fault is found with its FHIRPath; what R4 allows is let through."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import InvalidResource
from service.fhir.parse import MAX_DEPTH, MAX_FAULTS, StructureCheck

Json = dict[str, Any]


def patient(**elements: Any) -> Json:
    return {"resourceType": "Patient", **elements}


def found(check: StructureCheck, resource: object) -> list[tuple[str, str]]:
    return [(fault.expression, fault.code) for fault in check.check(resource)]


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"birthDate": "1958"},
        {"birthDate": "1958-02"},
        {"birthDate": "2024-02-29"},
        {"active": False},
        {"multipleBirthInteger": 0},
        {"name": [{"given": ["A", "B"], "_given": [None, {"id": "x"}]}]},
        {"name": [{"given": ["A"], "_given": [None]}]},
        {"birthDate": "1958", "_birthDate": {"id": "x"}},
        {"name": [{"given": [None, "B"], "_given": [{"extension": [{"url": "u", "valueCode": "c"}]}, None]}]},
        {"_birthDate": {"extension": [{"url": "u", "valueString": "x"}]}},
        {"extension": [{"url": "u", "_valueCode": {"extension": [{"url": "v", "valueCode": "unknown"}]}}]},
        {"extension": [{"url": "u", "extension": [{"url": "v", "valueMeta": {"versionId": "1"}}]}]},
        {"contained": [{"resourceType": "Organization", "id": "o"}]},
        {"text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}},
        {"photo": [{"data": "QUJD\nRA=="}]},
        {"name": [{"text": "non\u00a0breaking and \u2003 wide"}]},
    ],
)
def test_what_r4_allows_has_no_fault(check: StructureCheck, elements: Json) -> None:
    assert check.check(patient(**elements)) == ()


@pytest.mark.parametrize(
    ("elements", "expression", "code"),
    [
        ({"colour": "red"}, "Patient.colour", "structure"),
        ({"active": "true"}, "Patient.active", "structure"),
        ({"active": 1}, "Patient.active", "structure"),
        ({"active": None}, "Patient.active", "structure"),
        ({"active": [True]}, "Patient.active", "structure"),
        ({"gender": ""}, "Patient.gender", "value"),
        ({"gender": " male"}, "Patient.gender", "value"),
        ({"gender": {}}, "Patient.gender", "structure"),
        ({"birthDate": "2026-02-30"}, "Patient.birthDate", "value"),
        ({"birthDate": "2026-13"}, "Patient.birthDate", "value"),
        ({"birthDate": "1958-02-03T00:00:00Z"}, "Patient.birthDate", "value"),
        ({"birthDate": 1958}, "Patient.birthDate", "structure"),
        ({"deceasedDateTime": "2026-01-01T10:00:00"}, "Patient.deceased", "value"),
        ({"deceasedBoolean": True, "deceasedDateTime": "2026"}, "Patient.deceased", "structure"),
        ({"deceasedBoolean": True, "_deceasedDateTime": {"id": "x"}}, "Patient.deceased", "structure"),
        ({"deceasedString": "x"}, "Patient.deceasedString", "structure"),
        ({"multipleBirthInteger": Decimal("1.0")}, "Patient.multipleBirth", "structure"),
        ({"multipleBirthInteger": True}, "Patient.multipleBirth", "structure"),
        ({"multipleBirthInteger": 2**31}, "Patient.multipleBirth", "value"),
        ({"name": {"text": "x"}}, "Patient.name", "structure"),
        ({"name": []}, "Patient.name", "structure"),
        ({"name": [{}]}, "Patient.name[0]", "structure"),
        ({"name": [{"id": "x"}]}, "Patient.name[0]", "structure"),
        ({"name": [None]}, "Patient.name[0]", "structure"),
        ({"name": [{"given": [None]}]}, "Patient.name[0].given[0]", "structure"),
        ({"_birthDate": {"id": "x"}}, "Patient.birthDate", "structure"),
        ({"_birthDate": {"id": "x", "value": "y"}, "birthDate": "1958"}, "Patient.birthDate.value", "structure"),
        ({"_birthDate": "x"}, "Patient.birthDate", "structure"),
        ({"name": [{"given": [None], "_given": [None]}]}, "Patient.name[0].given[0]", "structure"),
        ({"name": [{"given": ["A", None], "_given": [{"id": "x"}]}]}, "Patient.name[0].given[1]", "structure"),
        ({"name": [{"given": "A"}]}, "Patient.name[0].given", "structure"),
        ({"name": [{"text": "a\x00b"}]}, "Patient.name[0].text", "value"),
        ({"maritalStatus": "M"}, "Patient.maritalStatus", "structure"),
        ({"_birthDate": {}}, "Patient.birthDate", "structure"),
        ({"_name": [{"id": "x"}]}, "Patient._name", "structure"),
        ({"id": "a_b"}, "Patient.id", "value"),
        ({"meta": {"project": "x"}}, "Patient.meta.project", "structure"),
        ({"photo": [{"data": "not base64!"}]}, "Patient.photo[0].data", "value"),
        ({"photo": [{"data": 7}]}, "Patient.photo[0].data", "structure"),
        ({"photo": [{"data": ""}]}, "Patient.photo[0].data", "value"),
        ({"photo": [{"data": "QUJ"}]}, "Patient.photo[0].data", "value"),
        ({"photo": [{"size": -1}]}, "Patient.photo[0].size", "value"),
        ({"text": {"status": "generated", "div": "hello"}}, "Patient.text.div", "value"),
        ({"text": {"status": "generated"}}, "Patient.text.div", "required"),
        ({"link": [{"type": "refer"}]}, "Patient.link[0].other", "required"),
        ({"contained": [{"id": "o"}]}, "Patient.contained[0]", "required"),
        ({"contained": ["o"]}, "Patient.contained[0]", "structure"),
        ({"contained": [{"resourceType": "Nonsense"}]}, "Patient.contained[0]", "value"),
        ({"contained": [{"resourceType": {}}]}, "Patient.contained[0]", "structure"),
        ({"contained": [{"resourceType": "HumanName", "text": "x"}]}, "Patient.contained[0]", "value"),
        ({"extension": [{"valueCode": "c"}]}, "Patient.extension[0].url", "required"),
        ({"extension": [{"url": "u"}]}, "Patient.extension[0].value", "required"),
        ({"extension": [{"url": "u", "valueRatioRange": {}}]}, "Patient.extension[0].valueRatioRange", "structure"),
        (
            {"extension": [{"url": "u", "valueCode": "c", "extension": [{"url": "v", "valueCode": "c"}]}]},
            "Patient.extension[0].value",
            "structure",
        ),
    ],
)  # fmt: skip
def test_a_fault_is_found_where_it_is(check: StructureCheck, elements: Json, expression: str, code: str) -> None:
    assert (expression, code) in found(check, patient(**elements))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("Infinity"), "1", None, True])
def test_a_decimal_is_a_finite_number(check: StructureCheck, value: object) -> None:
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    assert check.check(observation | {"valueQuantity": {"value": Decimal("72.50")}}) == ()
    assert check.check(observation | {"valueQuantity": {"value": 72.5}}) == ()
    assert [where for where, _ in found(check, observation | {"valueQuantity": {"value": value}})] == [
        "Observation.value.value"
    ]


@pytest.mark.parametrize(
    "value",
    [None, 3, "x", [], [{"resourceType": "Patient"}], {}, {"resourceType": None}, {"resourceType": 7},
     {"resourceType": []}, {"resourceType": "Nonsense"}, {"resourceType": "Resource"}, {"resourceType": "HumanName"},
     {"resourceType": "Extension"}, {"resourceType": ""}],
)  # fmt: skip
def test_what_is_no_resource_is_one_fault_at_the_root(check: StructureCheck, value: object) -> None:
    assert [where for where, _ in found(check, value)] == ["Resource"]


def test_all_faults_are_reported_each_with_its_path(check: StructureCheck) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"resource": patient(active="x")},
            {"resource": {"resourceType": "Claim", "status": "active", "item": [{"sequence": 0}]}},
        ],
    }
    places = dict(found(check, bundle))
    assert places["Bundle.entry[0].resource.active"] == "structure"
    assert places["Bundle.entry[1].resource.item[0].sequence"] == "value"
    assert places["Bundle.entry[1].resource.item[0].productOrService"] == "required"
    missing = {"type", "use", "patient", "created", "provider", "priority", "insurance"}
    assert {f"Bundle.entry[1].resource.{name}" for name in missing} <= set(places)


def test_a_required_choice_is_missed(check: StructureCheck) -> None:
    request = {"resourceType": "MedicationRequest", "status": "draft", "intent": "order", "subject": {"display": "x"}}
    assert found(check, request) == [("MedicationRequest.medication", "required")]
    assert check.check(request | {"medicationCodeableConcept": {"text": "x"}}) == ()


def test_a_required_primitive_may_say_why_it_is_absent(check: StructureCheck) -> None:
    reason = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    encounter = {"resourceType": "Encounter", "class": {"code": "AMB"}}
    assert found(check, encounter) == [("Encounter.status", "required")]
    assert check.check(encounter | {"_status": {"extension": [reason]}}) == ()


def test_items_nest_by_content_reference(check: StructureCheck) -> None:
    inner = {"linkId": "b", "type": "string", "colour": "x"}
    form = {
        "resourceType": "Questionnaire",
        "status": "draft",
        "item": [{"linkId": "a", "type": "group", "item": [inner]}],
    }
    assert found(check, form) == [("Questionnaire.item[0].item[0].colour", "structure")]
    answer = {"valueBoolean": True, "item": [{"linkId": "c", "answer": [{"valueString": ""}]}]}
    response = {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        "item": [{"linkId": "a", "answer": [answer]}],
    }
    assert found(check, response) == [("QuestionnaireResponse.item[0].answer[0].item[0].answer[0].value", "value")]


def test_parameters_nest_parts_and_resources(check: StructureCheck) -> None:
    outer = {"name": "a", "part": [{"name": "b", "resource": patient(active="x")}, {"valueString": "c"}]}
    assert found(check, {"resourceType": "Parameters", "parameter": [outer]}) == [
        ("Parameters.parameter[0].part[0].resource.active", "structure"),
        ("Parameters.parameter[0].part[1].name", "required"),
    ]


def test_deep_nesting_is_a_fault_and_no_crash(check: StructureCheck) -> None:
    def nested(levels: int) -> Json:
        item: Json = {"linkId": "x", "type": "group"}
        for _ in range(levels):
            item = {"linkId": "x", "type": "group", "item": [item]}
        return {"resourceType": "Questionnaire", "status": "draft", "item": [item]}

    assert check.check(nested(MAX_DEPTH - 2)) == ()
    for levels in (MAX_DEPTH, 5000):
        assert [code for _, code in found(check, nested(levels))] == ["too-costly"]


def test_a_value_that_holds_itself_ends(check: StructureCheck) -> None:
    extension: Json = {"url": "u"}
    extension["extension"] = [extension]
    assert found(check, patient(extension=[extension]))


def test_the_number_of_faults_is_bounded(check: StructureCheck) -> None:
    assert len(check.check(patient(name=[{}] * 1000))) == MAX_FAULTS


def test_only_expected_types_may_stand_at_the_top(check: StructureCheck) -> None:
    expected = frozenset({"Bundle", "Parameters"})
    (fault,) = check.check(patient(), expected=expected)
    assert (fault.expression, fault.code) == ("Patient", "invalid")
    assert "Bundle or Parameters" in fault.problem
    assert check.check({"resourceType": "Parameters"}, expected=expected) == ()


def test_no_fault_repeats_what_was_received(check: StructureCheck) -> None:
    secret = "Zebediah 1958"
    resource = patient(
        active=secret, birthDate=secret, name=secret, gender={secret: 1}, contact=[{secret: secret}],
        contained=[{"resourceType": secret}], extension=[{"url": "u", secret: 1}],
    )  # fmt: skip
    resource[secret] = secret
    with pytest.raises(InvalidResource) as caught:
        check.require(resource)
    said = " ".join([caught.value.text, *(f.expression + f.problem for f in caught.value.faults)])
    assert len(caught.value.faults) >= 8
    assert secret not in said
    assert "Zebediah" not in said


def test_require_gives_the_resource_back_or_all_its_faults(check: StructureCheck) -> None:
    good = patient(active=True)
    assert check.require(good) is good
    with pytest.raises(InvalidResource) as caught:
        check.require(patient(active=1, gender=""))
    assert caught.value.expression == ("Patient.active", "Patient.gender")
    assert "2 faults" in caught.value.text
    with pytest.raises(InvalidResource, match="must be a resource"):
        check.require([])


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | st.text()
_NAMES = st.text() | st.sampled_from(["resourceType", "id", "item", "_status", "valueCode", "extension", "contained"])
_JSON = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(_NAMES, inner), max_leaves=20)


@given(value=_JSON, name=_NAMES | st.sampled_from(["status", "patient", "insurance", "created", "_created"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_value_anywhere_is_answered_and_never_a_crash(check: StructureCheck, value: Any, name: str) -> None:
    check.check(value)
    check.check({"resourceType": "Claim", name: value})
    check.check({"resourceType": "Bundle", "type": "batch", "entry": [{"resource": value}, value]})

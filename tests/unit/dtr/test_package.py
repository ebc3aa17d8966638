"""$questionnaire-package: which forms, in which shape, with what beside them."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import date
from random import Random
from typing import Any

import pytest

from service.dtr.versions import SHAPES, Version
from service.policy.case import ClientId
from service.settings import Settings
from tests.unit.dtr.samples import (
    CLIENT,
    HCPCS,
    INITIAL,
    LIBRARY,
    RENEWAL,
    ROOT,
    VERSIONS,
    Access,
    Json,
    Service,
    assertion,
    by_canonical,
    by_order,
    content,
    coverage,
    draft,
    form_urls,
    held,
    issues,
    order,
    packages,
    patient,
    request_for,
    resource,
    validate,
)
from tests.unit.fhir.mutations import SENTINEL, mutate_blindly

each_version = pytest.mark.parametrize("version", VERSIONS)


def context(assertion_id: str) -> Json:
    return {"name": "context", "valueString": assertion_id}


async def answer_to(service: Service, version: Version, body: Json) -> Json:
    response = await service.package(version, body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/fhir+json"
    answer: Json = response.json()
    validate(answer)
    return answer


@each_version
async def test_order_of_the_drug_gets_the_initial_form(service: Service, version: Version) -> None:
    answer = await answer_to(service, version, by_order())
    assert form_urls(answer) == [INITIAL]
    assert issues(answer) == []


@pytest.mark.requirement("oper-10")
async def test_shape_of_220_is_always_parameters(service: Service) -> None:
    answer = await answer_to(service, "2.2.0", by_order())
    assert [p["name"] for p in answer["parameter"]] == ["packagebundle"]
    kinds = [e["resource"]["resourceType"] for e in packages(answer)[0]["entry"]]
    assert kinds[:2] == ["Questionnaire", "QuestionnaireResponse"]
    assert kinds[2:] == ["Library"] + ["ValueSet"] * 8


async def test_one_package_without_remarks_is_a_bare_bundle_in_201(service: Service) -> None:
    answer = await answer_to(service, "2.0.1", by_order())
    assert answer["resourceType"] == "Bundle"
    assert answer["type"] == "collection"
    assert answer["entry"][0]["resource"]["resourceType"] == "Questionnaire"


async def test_several_packages_are_parameters_in_201(service: Service) -> None:
    answer = await answer_to(service, "2.0.1", by_canonical(INITIAL, RENEWAL))
    assert [p["name"] for p in answer["parameter"]] == ["PackageBundle", "PackageBundle"]
    assert form_urls(answer) == [INITIAL, RENEWAL]


@each_version
@pytest.mark.parametrize("canonical", [INITIAL, f"{INITIAL}|1.0.0"])
async def test_canonical_with_and_without_version(service: Service, version: Version, canonical: str) -> None:
    assert form_urls(await answer_to(service, version, by_canonical(canonical))) == [INITIAL]


@pytest.mark.requirement("oper-9")
@pytest.mark.parametrize("canonical", [f"{INITIAL}|9.9.9", "https://elsewhere.example.org/Questionnaire/secret-7"])
async def test_unknown_canonical_is_a_warning(service: Service, canonical: str) -> None:
    body = by_canonical(INITIAL, canonical)
    for version, name in (("2.0.1", "operationOutcome"), ("2.2.0", "outcome")):
        answer = await answer_to(service, version, body)  # type: ignore[arg-type]  # the loop widens the literal
        assert form_urls(answer) == [INITIAL]
        [issue] = issues(answer)
        assert (issue["severity"], issue["expression"]) == ("warning", ["Parameters.parameter[2]"])
        assert answer["parameter"][-1]["name"] == name
        assert "secret-7" not in str(issue)


@each_version
async def test_union_of_order_and_canonicals_holds_each_form_once(service: Service, version: Version) -> None:
    body = request_for(
        resource("order", order()),
        {"name": "questionnaire", "valueCanonical": f"{INITIAL}|1.0.0"},
        {"name": "questionnaire", "valueCanonical": RENEWAL},
        {"name": "questionnaire", "valueCanonical": RENEWAL},
    )
    assert form_urls(await answer_to(service, version, body)) == [INITIAL, RENEWAL]


@each_version
@pytest.mark.parametrize(
    ("end", "form"),
    [
        (date(2027, 6, 1), RENEWAL),
        (date(2026, 12, 4), RENEWAL),
        (date(2026, 9, 5), RENEWAL),
        (date(2026, 9, 4), INITIAL),
    ],
)
async def test_renewal_form_with_an_authorization_on_file(
    service: Service, version: Version, end: date, form: str
) -> None:
    starting = {"dosageInstruction": [{"timing": {"event": ["2026-12-18", "2026-12-04"]}}]}
    service.ends = {"DEMO-1": end}
    assert form_urls(await answer_to(service, version, by_order(**starting))) == [form]


async def test_renewal_looks_at_the_member_number_before_the_subscriber(service: Service) -> None:
    number = {"type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]}}
    dependent = coverage(identifier=[{"value": "DEMO-2", **number}])
    service.ends = {"DEMO-1": date(2027, 6, 1)}
    answer = await answer_to(service, "2.2.0", request_for(resource("order", order()), cover=dependent))
    assert form_urls(answer) == [INITIAL]
    service.ends = {"DEMO-2": date(2027, 6, 1)}
    answer = await answer_to(service, "2.2.0", request_for(resource("order", order()), cover=dependent))
    assert form_urls(answer) == [RENEWAL]


@each_version
async def test_context_leads_to_the_form_that_crd_named(service: Service, version: Version) -> None:
    service.assertions = (assertion(questionnaire=f"{RENEWAL}|1.0.0"),)
    answer = await answer_to(service, version, request_for(context("assertion-1")))
    assert form_urls(answer) == [RENEWAL]
    assert "MedicationRequest/mr1" in str(draft(answer)["extension"])


@pytest.mark.requirement("spec-128")
async def test_context_names_the_form_for_an_order_edited_since(service: Service) -> None:
    service.assertions = (assertion(questionnaire=f"{RENEWAL}|1.0.0"),)
    edited = order(status="active", note=[{"text": "call first"}])
    answer = await answer_to(service, "2.2.0", request_for(context("assertion-1"), resource("order", edited)))
    assert form_urls(answer) == [RENEWAL]


@pytest.mark.requirement("prof-1")
@pytest.mark.requirement("oper-8")
async def test_context_does_not_hide_that_the_order_is_another(service: Service) -> None:
    service.assertions = (assertion(),)
    other = order("J0897")
    answer = await answer_to(service, "2.2.0", request_for(context("assertion-1"), resource("order", other)))
    assert packages(answer) == []
    [issue] = issues(answer)
    assert issue["severity"] == "information"
    assert "1-800-555-0100" in issue["diagnostics"]


@pytest.mark.requirement("prof-1")
async def test_context_of_another_policy_does_not_choose_the_form(service: Service) -> None:
    service.assertions = (assertion(policy_id="other", questionnaire=f"{RENEWAL}|1.0.0"),)
    answer = await answer_to(service, "2.2.0", request_for(context("assertion-1"), resource("order", order())))
    assert form_urls(answer) == [INITIAL]


@pytest.mark.requirement("oper-8")
@pytest.mark.parametrize("named", [None, "https://payer.example.org/fhir/Questionnaire/gone|1.0.0"])
async def test_context_without_a_form_is_explained(service: Service, named: str | None) -> None:
    service.assertions = (assertion(questionnaire=named),)
    answer = await answer_to(service, "2.2.0", request_for(context("assertion-1")))
    assert packages(answer) == []
    assert issues(answer)[0]["severity"] == "information"


@pytest.mark.requirement("spec-130")
@each_version
@pytest.mark.parametrize("client", [CLIENT, ClientId("another")])
async def test_context_unknown_or_of_another_client_is_not_found(
    service: Service, version: Version, client: ClientId
) -> None:
    service.access = Access(client)
    service.assertions = (assertion(),)
    wanted = "assertion-1" if client != CLIENT else "assertion-2"
    response = await service.package(version, request_for(context(wanted), resource("order", order())))
    assert response.status_code == 404
    assert response.json()["resourceType"] == "OperationOutcome"
    assert wanted not in response.text


async def test_context_of_another_client_reads_like_an_unknown_one(service: Service) -> None:
    service.assertions = (assertion(client=ClientId("another")),)
    foreign = await service.package("2.2.0", request_for(context("assertion-1")))
    unknown = await service.package("2.2.0", request_for(context("nothing")))
    assert foreign.content == unknown.content


@each_version
async def test_order_that_needs_no_form_is_explained(service: Service, version: Version) -> None:
    answer = await answer_to(service, version, by_order(code="J0897"))
    assert [p["name"] for p in answer["parameter"]] == [SHAPES[version].outcome_parameter]
    [issue] = issues(answer)
    assert (issue["severity"], issue["expression"]) == ("information", ["Parameters.parameter[1].resource"])


async def test_an_order_drafted_long_ago_starts_today_at_the_soonest(service: Service) -> None:
    assert form_urls(await answer_to(service, "2.2.0", by_order(authoredOn="2025-01-01"))) == [INITIAL]
    service.ends = {"DEMO-1": date(2026, 12, 4)}
    later = await answer_to(service, "2.2.0", by_order(authoredOn="2027-12-01"))
    assert form_urls(later) == [INITIAL]


async def test_a_form_asked_for_by_canonical_is_for_the_order_beside_it(service: Service) -> None:
    other = order("J0897")
    body = request_for(resource("order", other), {"name": "questionnaire", "valueCanonical": INITIAL})
    assert "MedicationRequest/mr1" in str(draft(await answer_to(service, "2.2.0", body)))


async def test_order_from_before_the_policy_gets_no_form(service: Service) -> None:
    early = {"dispenseRequest": {"validityPeriod": {"start": "2026-03-31"}}}
    answer = await answer_to(service, "2.2.0", by_order(**early))
    assert packages(answer) == []
    assert "2026-04-01" in issues(answer)[0]["diagnostics"]


@pytest.mark.parametrize(
    ("medication", "form"),
    [
        ({"medicationReference": {"reference": "#m"}}, [INITIAL]),
        ({"medicationReference": {"reference": "Medication/m"}}, [INITIAL]),
        ({"medicationReference": {"reference": "Medication/x", "display": "Imdelltra 10 mg"}}, [INITIAL]),
        ({"medicationReference": {"reference": "Medication/x"}}, []),
        ({"medicationCodeableConcept": {"text": "tarlatamab"}}, [INITIAL]),
        ({"medicationCodeableConcept": {"coding": [{"extension": [{"url": "x:y", "valueCode": "z"}]}]}}, []),
    ],
)
async def test_how_an_order_names_its_drug(service: Service, medication: Json, form: list[str]) -> None:
    code = {"coding": [{"system": HCPCS, "code": "J9026"}]}
    asked = order(contained=[{"resourceType": "Medication", "id": "m", "code": code}])
    del asked["medicationCodeableConcept"]
    sent = {"resourceType": "Medication", "id": "m", "code": code}
    body = request_for(resource("order", asked | medication), resource("referenced", sent))
    answer = await answer_to(service, "2.2.0", body)
    assert form_urls(answer) == form
    assert [i["severity"] for i in issues(answer)] == ([] if form else ["warning"])


async def test_billing_code_beside_the_drug_counts(service: Service) -> None:
    billing = {
        "url": "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-billing-options",
        "valueCodeableConcept": {"coding": [{"system": HCPCS, "code": "J9026"}]},
    }
    answer = await answer_to(
        service, "2.2.0", by_order(medicationCodeableConcept={"text": "bispecific", "extension": [billing]})
    )
    assert form_urls(answer) == [INITIAL]


async def test_service_request_gets_the_form_and_other_resources_a_remark(service: Service) -> None:
    service_request = {
        "resourceType": "ServiceRequest",
        "id": "sr1",
        "status": "draft",
        "intent": "order",
        "code": {"coding": [{"system": HCPCS, "code": "J9026"}]},
        "subject": {"reference": "Patient/p1"},
    }
    claim = {"resourceType": "Basic", "code": {"text": "no order"}}
    answer = await answer_to(
        service, "2.0.1", request_for(resource("order", service_request), resource("order", claim))
    )
    assert form_urls(answer) == [INITIAL]
    assert [i["code"] for i in issues(answer)] == ["not-supported"]
    assert "ServiceRequest/sr1" in str(draft(answer)["extension"])


async def test_two_orders_of_one_drug_share_one_form(service: Service) -> None:
    body = request_for(resource("order", order()), resource("order", order(id="mr2")))
    answer = await answer_to(service, "2.2.0", body)
    contexts = [e["valueReference"]["reference"] for e in draft(answer)["extension"] if "qr-context" in e["url"]]
    assert contexts == ["MedicationRequest/mr1", "MedicationRequest/mr2"]


async def test_order_of_another_patient_is_left_out(service: Service) -> None:
    foreign = order(id="mr2", subject={"reference": "Patient/p2"})
    answer = await answer_to(service, "2.2.0", request_for(resource("order", order()), resource("order", foreign)))
    assert "mr2" not in str(draft(answer))
    [issue] = issues(answer)
    assert issue["expression"] == ["Parameters.parameter[2].resource.subject"]


async def test_coverage_of_another_patient_is_remarked(service: Service) -> None:
    body = request_for(resource("order", order()), cover=coverage(beneficiary={"reference": "Patient/p2"}))
    answer = await answer_to(service, "2.2.0", body)
    assert draft(answer)["subject"] == {"reference": "Patient/p1"}
    assert [i["severity"] for i in issues(answer)] == ["warning"]


@each_version
@pytest.mark.parametrize("payor", ["identifier", "contained", "referenced"])
async def test_coverage_of_another_payer_is_refused(service: Service, version: Version, payor: str) -> None:
    identifier = {"system": "https://payer.example.org/payer-id", "value": "PAYER02"}
    organization = {"resourceType": "Organization", "id": "org", "identifier": [identifier]}
    more: dict[str, Json] = {
        "identifier": {"payor": [{"identifier": identifier}]},
        "contained": {"payor": [{"reference": "#org"}], "contained": [organization]},
        "referenced": {"payor": [{"reference": "Organization/org"}]},
    }
    body = request_for(
        resource("order", order()), resource("referenced", organization), cover=coverage(**more[payor])
    )
    response = await service.package(version, body)
    assert response.status_code == 422
    assert issues(response.json())[0]["expression"] == ["Parameters.parameter[0].resource.payor"]
    assert "PAYER02" not in response.text


@pytest.mark.requirement("conf-12")
async def test_coverage_whose_payor_was_not_sent_is_served(service: Service) -> None:
    body = request_for(resource("order", order()), cover=coverage(payor=[{"reference": "Organization/unsent"}]))
    assert form_urls(await answer_to(service, "2.2.0", body)) == [INITIAL]


@pytest.mark.requirement("oper-12")
@each_version
async def test_libraries_carry_cql_and_elm(service: Service, version: Version) -> None:
    answer = await answer_to(service, version, by_order())
    [library] = held(packages(answer)[0], "Library")
    assert library["url"] == LIBRARY
    assert content(library, "text/cql") == (ROOT / "cql/ImdelltraPrepopulation.cql").read_bytes()
    assert b'"identifier":{"id":"ImdelltraPrepopulation"' in content(library, "application/elm+json")


@each_version
async def test_value_sets_are_expanded_and_each_there_once(service: Service, version: Version) -> None:
    package = packages(await answer_to(service, version, by_order()))[0]
    [library] = held(package, "Library")
    needed = [artifact["resource"].partition("|")[0] for artifact in library["relatedArtifact"]]
    value_sets = held(package, "ValueSet")
    assert sorted(v["url"] for v in value_sets) == sorted(needed)
    assert all(v["expansion"]["contains"] for v in value_sets)
    urls = [e["fullUrl"] for e in package["entry"]]
    assert len(urls) == len(set(urls))


@pytest.mark.requirement("oper-16")
@pytest.mark.parametrize("versioned", [True, False])
@each_version
async def test_canonicals_carry_versions_unless_the_setting_strips_them(
    service: Service, version: Version, versioned: bool
) -> None:
    service.settings = Settings(versioned_canonicals=versioned)
    package = packages(await answer_to(service, version, by_order()))[0]
    [form], [response], [library] = (held(package, k) for k in ("Questionnaire", "QuestionnaireResponse", "Library"))
    named = [response["questionnaire"]]
    named += [e["valueCanonical"] for e in form["extension"] if "valueCanonical" in e]
    named += [artifact["resource"] for artifact in library["relatedArtifact"]]
    named += [f["valueSet"] for r in library["dataRequirement"] for f in r.get("codeFilter", ())]
    assert len(named) == 15
    assert {canonical.endswith("|1.0.0") for canonical in named} == {versioned}
    assert form["url"] == INITIAL


@pytest.mark.requirement("spec-96")
async def test_expressions_carry_elm_in_220_only(service: Service) -> None:
    for version in VERSIONS:
        form = held(packages(await answer_to(service, version, by_order()))[0], "Questionnaire")[0]
        birth_date = form["item"][0]["item"][0]
        [initial] = birth_date["extension"]
        assert initial["valueExpression"]["language"] == "text/cql"
        alternatives = initial["valueExpression"].get("extension", [])
        if version == "2.0.1":
            assert alternatives == []
        else:
            [alternative] = alternatives
            assert alternative["url"].endswith("/davinci-dtr/StructureDefinition/alternativeExpression")
            assert alternative["valueExpression"] == {
                "language": "application/elm+json",
                "expression": '{"type":"ExpressionRef","libraryName":"ImdelltraPrepopulation","name":"Birth Date"}',
            }


@each_version
async def test_no_path_of_a_package_depends_on_our_version_specific_address(
    service: Service, version: Version
) -> None:
    service.settings = Settings(public_url="https://pa.example.org/")
    package = packages(await answer_to(service, version, by_order()))[0]
    base = f"https://pa.example.org{SHAPES[version].base_path}"
    assert package["entry"][0]["fullUrl"] == f"{base}/Questionnaire/imdelltra-initial"
    assert package["entry"][1]["fullUrl"] == "urn:uuid:00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("since", "changed"),
    [
        ("2026-03-31T12:00:00Z", True),
        ("2026-04-01T12:00:00Z", True),
        ("2026-04-02T00:00:00Z", False),
        ("2026-11-30T00:00:00-05:00", False),
    ],
)
@each_version
async def test_changed_since(service: Service, version: Version, since: str, changed: bool) -> None:
    body = request_for(resource("order", order()), {"name": "changedsince", "valueInstant": since})
    answer = await answer_to(service, version, body)
    assert form_urls(answer) == ([INITIAL] if changed else [])
    if not changed:
        assert [p["name"] for p in answer["parameter"]] == [SHAPES[version].outcome_parameter]
        assert issues(answer)[0]["severity"] == "information"


async def test_changed_since_takes_a_date_time_too(service: Service) -> None:
    body = request_for(resource("order", order()), {"name": "changedsince", "valueDateTime": "2026-05"})
    assert packages(await answer_to(service, "2.0.1", body)) == []


@each_version
@pytest.mark.parametrize(
    ("parameters", "expression"),
    [
        ([], "Parameters.parameter"),
        ([resource("order", order())], "Parameters.parameter"),
        ([resource("coverage", coverage())], "Parameters.parameter"),
        ([resource("coverage", order()), resource("order", order())], "Parameters.parameter[0].resource"),
        ([{"name": "coverage", "valueString": "x"}], "Parameters.parameter[0]"),
        ([{"name": "questionnaire", "valueInteger": 3}], "Parameters.parameter[0]"),
        ([{"name": "context", "valueInteger": 3}], "Parameters.parameter[0]"),
        ([{"name": "changedsince", "valueString": "yesterday"}], "Parameters.parameter[0]"),
        ([{"name": "changedsince", "valueInstant": "2026-12-31T23:59:60Z"}], "Parameters.parameter[0]"),
        ([resource("coverage", coverage()), context("a"), context("b")], "Parameters.parameter"),
    ],
)
async def test_bad_parameters_are_400(
    service: Service, version: Version, parameters: list[Any], expression: str
) -> None:
    body = {"resourceType": "Parameters"} | ({"parameter": parameters} if parameters else {})
    response = await service.package(version, body)
    assert response.status_code == 400
    assert issues(response.json())[0]["expression"] == [expression]


async def test_request_without_any_reference_to_the_patient_is_400(service: Service) -> None:
    local = order(subject={"reference": "#p"}, contained=[{"resourceType": "Patient", "id": "p"}])
    cover = coverage(beneficiary={"reference": "#p"}, contained=[{"resourceType": "Patient", "id": "p"}])
    response = await service.package("2.2.0", request_for(resource("order", local), cover=cover))
    assert response.status_code == 400


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"resourceType":"Patient"}', b'{"resourceType":"Parameters","secret-7":1}']
)
async def test_what_is_no_parameters_is_400_without_echo(service: Service, body: bytes) -> None:
    response = await service.call("2.2.0", "POST", "/Questionnaire/$questionnaire-package", content=body)
    assert response.status_code == 400
    assert response.json()["resourceType"] == "OperationOutcome"
    assert "secret-7" not in response.text


async def test_unknown_parameters_are_passed_over(service: Service) -> None:
    body = request_for(resource("order", order()), {"name": "futurething", "valueString": "x"})
    assert form_urls(await answer_to(service, "2.2.0", body)) == [INITIAL]


async def test_context_as_identifier(service: Service) -> None:
    service.assertions = (assertion(),)
    body = request_for({"name": "context", "valueIdentifier": {"value": "assertion-1"}})
    assert form_urls(await answer_to(service, "2.0.1", body)) == [INITIAL]


async def test_access_is_asked_for_the_scope(service: Service) -> None:
    await service.package("2.2.0", by_order())
    assert service.access.scopes == ["system/Questionnaire.rs"]


async def test_the_body_is_read_no_further_than_the_limit(service: Service) -> None:
    service.settings = Settings(max_body_bytes=200)
    assert (await service.package("2.2.0", by_order())).status_code == 413


async def test_context_of_a_form_version_that_was_replaced_gives_the_current_one(service: Service) -> None:
    service.assertions = (replace(assertion(), questionnaire=f"{INITIAL}|0.9.0"),)
    assert form_urls(await answer_to(service, "2.2.0", request_for(context("assertion-1")))) == [INITIAL]


async def test_a_broken_request_only_ever_gets_an_answer_or_a_4xx(service: Service) -> None:
    contained = [{"resourceType": "Medication", "id": "m", "code": {"text": "Imdelltra"}}]
    timing = {"repeat": {"boundsPeriod": {"start": "2026-12-04"}}, "event": ["2026-12-05"]}
    full = request_for(
        resource("order", order(contained=contained, dosageInstruction=[{"timing": timing}])),
        resource("referenced", patient()),
        {"name": "questionnaire", "valueCanonical": RENEWAL},
        {"name": "changedsince", "valueInstant": "2026-01-01T00:00:00Z"},
    )
    random = Random(7)
    seen = set()
    for _ in range(100):
        body = copy.deepcopy(full)
        for _ in range(random.randrange(1, 3)):
            mutate_blindly(body, random)
        response = await service.package(random.choice(VERSIONS), body)
        seen.add(response.status_code)
        assert response.status_code == 200 or 400 <= response.status_code < 500
        assert response.status_code == 200 or SENTINEL not in response.text
    assert seen >= {200, 400}

"""What a package is made of: its shape in both versions, libraries, value sets, canonicals."""

from __future__ import annotations

import pytest

from service.dtr.versions import SHAPES, Version
from service.settings import Settings
from tests.unit.dtr.samples import (
    HCPCS,
    INITIAL,
    LIBRARY,
    RENEWAL,
    ROOT,
    VERSIONS,
    Service,
    answer_to,
    by_canonical,
    by_order,
    content,
    draft,
    form_urls,
    held,
    issues,
    order,
    packages,
    request_for,
    resource,
)

each_version = pytest.mark.parametrize("version", VERSIONS)


@pytest.mark.requirement("oper-10")
async def test_shape_of_220_is_always_parameters(service: Service) -> None:
    answer = await answer_to(service, "2.2.0", by_order())
    assert [p["name"] for p in answer["parameter"]] == ["packagebundle"]
    kinds = [e["resource"]["resourceType"] for e in packages(answer)[0]["entry"]]
    assert kinds[:2] == ["Questionnaire", "QuestionnaireResponse"]
    assert kinds[2:] == ["Library"] + ["ValueSet"] * 12


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


@pytest.mark.requirement("oper-13")
@pytest.mark.requirement("spec-95")
@pytest.mark.requirement("spec-99")
@pytest.mark.requirement("spec-87")
@pytest.mark.requirement("oper-12")
@each_version
async def test_libraries_carry_cql_and_elm(service: Service, version: Version) -> None:
    answer = await answer_to(service, version, by_order())
    [library] = held(packages(answer)[0], "Library")
    assert library["url"] == LIBRARY
    assert content(library, "text/cql") == (ROOT / "cql/ImdelltraPrepopulation.cql").read_bytes()
    assert b'"identifier":{"id":"ImdelltraPrepopulation"' in content(library, "application/elm+json")


@pytest.mark.requirement("oper-14")
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
    assert len(named) == 19
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

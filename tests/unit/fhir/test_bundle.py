"""References resolve inside the Bundle as R4 says, and never to one of two."""

from typing import Any

import pytest

from service.fhir.bundle import Entries, references

Json = dict[str, Any]


def patient(logical_id: str | None = None, **rest: Any) -> Json:
    return {"resourceType": "Patient", **({"id": logical_id} if logical_id else {}), **rest}


def claim(**rest: Any) -> Json:
    return {"resourceType": "Claim", **rest}


def entries(*pairs: tuple[str | None, Json]) -> Entries:
    listed = [{"resource": resource} | ({"fullUrl": url} if url else {}) for url, resource in pairs]
    return Entries.of({"resourceType": "Bundle", "entry": listed})


def test_entries_by_type_keep_their_order() -> None:
    one, two = patient("1"), patient("2")
    found = entries(("a", one), ("b", claim()), ("c", two))
    assert found.all("Patient") == (one, two)
    assert found.first("Patient") is one
    assert found.first("Coverage") is None
    assert found.all("Coverage") == ()


def test_an_entry_knows_its_place_and_full_url() -> None:
    one = patient("1")
    found = entries((None, claim()), ("http://a.org/Patient/1/_history/3", one))
    entry = found.entry_of(one)
    assert entry is not None
    assert entry.expression == "Bundle.entry[1].resource"
    assert found.full_url_of(one) == "http://a.org/Patient/1"
    assert found.entry_of(dict(one)) is None


@pytest.mark.parametrize("bundle", [{}, {"entry": None}, {"entry": [None, {}, {"resource": 3}, {"resource": None}]}])
def test_a_bundle_without_resources_is_empty(bundle: Json) -> None:
    assert Entries.of(bundle).all_entries == ()


@pytest.mark.parametrize(
    "reference",
    [
        "urn:uuid:7",
        {"reference": "urn:uuid:7"},
        {"reference": "Patient/p"},
        {"reference": "Patient/p/_history/2"},
    ],
)
def test_full_url_and_resource_id_resolve(reference: object) -> None:
    target, source = patient("p"), claim()
    found = entries(("urn:uuid:1", source), ("urn:uuid:7", target))
    assert found.resolve(reference, within=source) is target


def test_a_restful_full_url_resolves_absolute_and_relative_even_without_resource_id() -> None:
    target, source = patient(), claim()
    found = entries(("http://ehr.org/r4/Claim/1", source), ("http://ehr.org/r4/Patient/9", target))
    assert found.resolve("Patient/9", within=source) is target
    assert found.resolve("http://ehr.org/r4/Patient/9", within=source) is target
    assert found.resolve("http://ehr.org/r4/Patient/9/_history/1", within=source) is target
    assert found.resolve("http://other.org/r4/Patient/9", within=source) is None


def test_a_relative_reference_prefers_its_own_base() -> None:
    here, there, source = patient("9"), patient("9"), claim()
    found = entries(
        ("http://a.org/Claim/1", source), ("http://b.org/Patient/9", there), ("http://a.org/Patient/9", here)
    )
    assert found.resolve("Patient/9", within=source) is here


def test_two_candidates_are_ambiguous_and_resolve_to_nothing() -> None:
    source = claim()
    found = entries(("urn:uuid:1", source), ("urn:uuid:2", patient("9")), ("urn:uuid:3", patient("9")))
    assert found.resolve("Patient/9", within=source) is None
    assert found.ambiguous("Patient/9", within=source)
    assert not found.ambiguous("Patient/8", within=source)
    assert not found.ambiguous("urn:uuid:2", within=source)


def test_one_full_url_on_two_entries_is_a_duplicate_and_ambiguous() -> None:
    source = claim()
    found = entries(("urn:uuid:1", source), ("urn:uuid:2", patient("a")), ("urn:uuid:2/_history/2", patient("b")))
    assert found.duplicate_full_urls() == ("urn:uuid:2",)
    assert found.ambiguous("urn:uuid:2", within=source)
    assert found.resolve("urn:uuid:2", within=source) is None
    assert entries(("a", source), (None, patient()), (None, patient())).duplicate_full_urls() == ()


def test_a_relative_reference_never_reaches_another_type() -> None:
    source = claim()
    found = entries(
        ("http://a.org/Claim/1", source), ("http://a.org/Patient/9", {"resourceType": "Group", "id": "9"})
    )
    assert found.resolve("Patient/9", within=source) is None


def test_contained_resources_resolve_in_their_own_resource_only() -> None:
    inner = patient("in")
    source = claim(contained=[inner])
    found = entries(("urn:uuid:1", source), ("urn:uuid:2", patient("out")))
    assert found.resolve({"reference": "#in"}, within=source) is inner
    assert found.resolve("#", within=source) is source
    assert found.resolve("#out", within=source) is None
    assert found.resolve("Patient/in", within=source) is None
    assert found.ambiguous("#in", within=claim(contained=[inner, patient("in")]))


@pytest.mark.parametrize(
    "reference", [None, 3, "", {}, {"reference": 5}, {"reference": "Patient?identifier=9"}, {"display": "x"}, []]
)
def test_what_is_no_reference_resolves_to_nothing(reference: object) -> None:
    source = claim()
    found = entries(("urn:uuid:1", source), ("urn:uuid:2", patient("9")))
    assert found.resolve(reference, within=source, by_identifier=True) is None
    assert not found.ambiguous(reference, within=source, by_identifier=True)


def test_a_logical_reference_resolves_only_when_asked() -> None:
    target = patient("9", identifier=[{"system": "s", "value": "1"}])
    payer = {"resourceType": "Organization", "identifier": [{"system": "s", "value": "1"}]}
    source = claim()
    found = entries(("urn:uuid:1", source), ("urn:uuid:2", target), ("urn:uuid:3", payer))
    logical = {"type": "Patient", "identifier": {"system": "s", "value": "1"}}
    assert found.resolve(logical, within=source) is None
    assert found.resolve(logical, within=source, by_identifier=True) is target
    assert found.ambiguous({"identifier": logical["identifier"]}, within=source, by_identifier=True)
    other_system = {"identifier": {"system": "t", "value": "1"}}
    assert found.resolve(other_system, within=source, by_identifier=True) is None
    assert found.resolve({"identifier": {"system": "s"}}, within=source, by_identifier=True) is None


def test_references_are_found_at_any_depth_with_their_path() -> None:
    source = claim(
        patient={"reference": "Patient/1"},
        extension=[{"url": "u", "extension": [{"url": "v", "valueReference": {"reference": "Task/1"}}]}],
        contained=[patient("in", generalPractitioner=[{"reference": "Practitioner/1"}])],
        insurer={"identifier": {"value": "x"}},
    )
    assert [(path, one["reference"]) for path, one in references(source)] == [
        ("Claim.patient", "Patient/1"),
        ("Claim.extension[0].extension[0].valueReference", "Task/1"),
        ("Claim.contained[0].generalPractitioner[0]", "Practitioner/1"),
    ]


def test_reachable_follows_references_once_round_a_circle() -> None:
    one = patient("1", managingOrganization={"reference": "urn:uuid:o"})
    payer = {"resourceType": "Organization", "id": "o", "partOf": {"reference": "Patient/1"}}
    other = patient("2")
    source = claim(patient={"reference": "Patient/1"}, insurer={"reference": "urn:uuid:missing"})
    found = entries(("urn:uuid:c", source), ("urn:uuid:o", payer), ("urn:uuid:p", one), ("urn:uuid:q", other))
    assert [id(resource) for resource in found.reachable(source)] == [id(one), id(payer)]

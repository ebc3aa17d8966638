"""ValueSet/$expand: our own value sets, as of now, and nobody else's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest

from service.catalog.registry import Registry
from service.dtr.versions import Version
from tests.unit.dtr.samples import (
    INITIAL,
    PAYER,
    VERSIONS,
    Json,
    Service,
    answer_to,
    by_canonical,
    held,
    issues,
    packages,
    validate,
)

SET = f"{PAYER}/ValueSet/platinum-chemotherapy"
CISPLATIN, CARBOPLATIN = ["1736854", "309311"], ["597195"]
each_version = pytest.mark.parametrize("version", VERSIONS)


async def post(service: Service, version: Version, path: str, *parameters: Json) -> httpx.Response:
    body = {"resourceType": "Parameters", "parameter": list(parameters)}
    return await service.call(version, "POST", path, json=body)


def codes(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    found = response.json()
    validate(found)
    return [each["code"] for each in found["expansion"].get("contains", ())]


URL = {"name": "url", "valueUri": SET}


@each_version
async def test_every_way_to_ask_gives_the_same_codes(service: Service, version: Version) -> None:
    ways = [
        await service.get(version, "/ValueSet/$expand", {"url": SET}),
        await service.get(version, "/ValueSet/$expand", {"url": f"{SET}|1.0.0"}),
        await service.get(version, "/ValueSet/$expand", {"url": SET, "valueSetVersion": "1.0.0"}),
        await service.get(version, "/ValueSet/platinum-chemotherapy/$expand"),
        await post(service, version, "/ValueSet/$expand", URL),
        await post(service, version, "/ValueSet/platinum-chemotherapy/$expand", {"name": "count", "valueInteger": 9}),
    ]
    assert [codes(way) for way in ways] == [[*CISPLATIN, *CARBOPLATIN]] * len(ways)
    assert set(service.access.scopes) == {"system/ValueSet.rs"}


@pytest.mark.requirement("oper-5")
async def test_it_is_expanded_as_of_now_with_active_codes_only(service: Service, registry: Registry) -> None:
    loaded = registry.all()[0]
    contains = [
        {"system": "urn:s", "code": "a", "display": "A"},
        {"system": "urn:s", "code": "old", "inactive": True},
        {"system": "urn:s", "code": "group", "abstract": True, "contains": [{"system": "urn:s", "code": "b"}]},
    ]
    value_set = {**loaded.value_sets[0], "url": "https://x.org/v", "expansion": {"contains": contains}}
    service.registry = Registry((replace(loaded, value_sets=(*loaded.value_sets, value_set)),))
    response = await service.get("2.2.0", "/ValueSet/$expand", {"url": "https://x.org/v"})
    assert codes(response) == ["a", "b"]
    expansion = response.json()["expansion"]
    assert expansion["timestamp"] == "2026-12-01T12:00:00+00:00"
    assert {"name": "activeOnly", "valueBoolean": True} in expansion["parameter"]
    assert "compose" not in response.json()


@each_version
async def test_a_filter_takes_words_of_the_display_or_the_code(service: Service, version: Version) -> None:
    for text, wanted in (
        ("CIS", CISPLATIN),
        ("inj 50 cis", ["1736854"]),
        ("597195", CARBOPLATIN),
        ("platin", []),
        ("cis carb", []),
    ):
        response = await service.get(version, "/ValueSet/$expand", {"url": SET, "filter": text})
        assert codes(response) == wanted
        assert response.json()["expansion"]["total"] == len(wanted)


@each_version
async def test_pages(service: Service, version: Version) -> None:
    every = [*CISPLATIN, *CARBOPLATIN]
    for count, offset, wanted in ((2, 0, every[:2]), (2, 2, every[2:]), (0, 0, []), (5, 9, [])):
        count_, offset_ = {"name": "count", "valueInteger": count}, {"name": "offset", "valueInteger": offset}
        response = await post(service, version, "/ValueSet/$expand", URL, count_, offset_)
        assert codes(response) == wanted
        expansion = response.json()["expansion"]
        assert (expansion["total"], expansion["offset"]) == (3, offset)


REFUSED: list[tuple[dict[str, str], int, str]] = [
    ({}, 400, "required"),
    ({"url": "https://secret.example.org/ValueSet/x"}, 404, "not-found"),
    ({"url": f"{SET}|2"}, 404, "not-found"),
    ({"url": "http://snomed.info/sct?fhir_vs=ecl/%3C363358000"}, 400, "not-supported"),
    ({"url": "http://unitsofmeasure.org/vs"}, 400, "not-supported"),
    ({"url": SET, "count": "-1"}, 400, "value"),
    ({"url": SET, "offset": "secret"}, 400, "value"),
    ({"url": SET, "count": "99999999999"}, 400, "value"),
]


@each_version
@pytest.mark.parametrize(("query", "status", "code"), REFUSED)
async def test_what_is_refused(
    service: Service, version: Version, query: dict[str, str], status: int, code: str
) -> None:
    response = await service.get(version, "/ValueSet/$expand", query)
    assert (response.status_code, response.json()["issue"][0]["code"]) == (status, code)
    assert "secret" not in response.text


@each_version
async def test_an_unknown_id_and_a_value_set_sent_along_are_refused(service: Service, version: Version) -> None:
    assert (await service.get(version, "/ValueSet/secret-7/$expand")).status_code == 404
    sent: dict[str, Any] = {"name": "valueSet", "resource": {"resourceType": "ValueSet", "status": "active"}}
    assert (await post(service, version, "/ValueSet/$expand", sent)).json()["issue"][0]["code"] == "not-supported"
    assert (
        await service.call(version, "POST", "/ValueSet/$expand", json={"resourceType": "Patient"})
    ).status_code == 400


@pytest.mark.requirement("spec-164")
@pytest.mark.requirement("oper-15")
@each_version
@pytest.mark.parametrize("size", [39, 40])
async def test_a_large_value_set_is_left_out_of_the_newer_package(
    service: Service, registry: Registry, version: Version, size: int
) -> None:
    loaded = registry.all()[0]
    contains = [{"system": "urn:s", "code": str(number)} for number in range(size)]
    value_sets = tuple(
        {**vs, "expansion": {**vs["expansion"], "contains": contains}} if vs["url"] == SET else vs
        for vs in loaded.value_sets
    )
    service.registry = Registry((replace(loaded, value_sets=value_sets),))
    answer = await answer_to(service, version, by_canonical(INITIAL))
    [package] = packages(answer)
    left_out = version == "2.2.0" and size == 40
    assert (SET not in [vs["url"] for vs in held(package, "ValueSet")]) is left_out
    assert any(f"{SET}|1.0.0" in i["diagnostics"] for i in issues(answer)) is left_out
    assert len(codes(await service.get(version, "/ValueSet/$expand", {"url": SET}))) == size

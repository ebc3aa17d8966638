"""What our answers refer to can be read: by canonical, with or without version, and by id."""

from __future__ import annotations

import httpx
import pytest

from service.dtr.versions import SHAPES, Version
from tests.unit.dtr.samples import INITIAL, LIBRARY, PAYER, VERSIONS, Service, content, validate

each_version = pytest.mark.parametrize("version", VERSIONS)
SET = f"{PAYER}/ValueSet/cancer-progression"
EVERY = [
    ("Questionnaire", INITIAL, "imdelltra-initial"),
    ("Library", LIBRARY, "ImdelltraPrepopulation"),
    ("Library", f"{PAYER}/Library/ImdelltraCriteria", "ImdelltraCriteria"),
    ("ValueSet", SET, "cancer-progression"),
]


@each_version
@pytest.mark.parametrize(("kind", "url", "logical_id"), EVERY)
async def test_by_canonical(service: Service, version: Version, kind: str, url: str, logical_id: str) -> None:
    for asked in ({"url": url}, {"url": f"{url}|1.0.0"}, {"url": url, "version": "1.0.0"}):
        response = await service.get(version, f"/{kind}", asked)
        found = response.json()
        validate(found)
        assert (response.status_code, found["type"], found["total"]) == (200, "searchset", 1)
        [entry] = found["entry"]
        assert entry["resource"]["url"] == url
        assert entry["fullUrl"].endswith(f"{SHAPES[version].base_path}/{kind}/{logical_id}")


@each_version
@pytest.mark.parametrize(("kind", "url", "logical_id"), EVERY)
async def test_other_version_or_url_is_an_empty_searchset(
    service: Service, version: Version, kind: str, url: str, logical_id: str
) -> None:
    for asked in ({"url": f"{url}|2.0.0"}, {"url": url, "version": "2.0.0"}, {"url": url + "x"}):
        found = (await service.get(version, f"/{kind}", asked)).json()
        assert (found["total"], "entry" in found) == (0, False)


@each_version
async def test_a_searchset_says_what_was_understood(service: Service, version: Version) -> None:
    url = f"{PAYER}/Questionnaire/imdelltra-initial"
    found = (await service.get(version, "/Questionnaire", {"url": f"{url}|1.0.0", "name": "secret-7"})).json()
    [link] = found["link"]
    assert link["relation"] == "self"
    address = httpx.URL(link["url"])
    assert address.path == f"{SHAPES[version].base_path}/Questionnaire"
    assert dict(address.params) == {"url": url, "version": "1.0.0"}


@each_version
@pytest.mark.parametrize(("kind", "url", "logical_id"), EVERY)
async def test_by_id(service: Service, version: Version, kind: str, url: str, logical_id: str) -> None:
    response = await service.get(version, f"/{kind}/{logical_id}")
    assert response.status_code == 200
    assert (response.json()["resourceType"], response.json()["url"]) == (kind, url)


@each_version
@pytest.mark.parametrize("path", ["/Questionnaire/secret-7", "/Library/imdelltra-initial", "/ValueSet/x"])
async def test_unknown_id_is_404_without_echo(service: Service, version: Version, path: str) -> None:
    response = await service.get(version, path)
    assert response.status_code == 404
    assert response.json()["resourceType"] == "OperationOutcome"
    assert "secret-7" not in response.text


async def test_a_type_without_url_lists_all(service: Service) -> None:
    found = (await service.get("2.2.0", "/Questionnaire")).json()
    assert sorted(e["resource"]["id"] for e in found["entry"]) == [
        "imdelltra-initial",
        "imdelltra-initial-adaptive",
        "imdelltra-renewal",
        "imdelltra-renewal-adaptive",
    ]


async def test_the_library_that_is_read_has_its_content(service: Service) -> None:
    library = (await service.get("2.2.0", "/Library/ImdelltraCriteria")).json()
    assert content(library, "text/cql").startswith(b"//")


@pytest.mark.parametrize("kind", ["Questionnaire", "Library", "ValueSet"])
async def test_each_type_has_its_scope(service: Service, kind: str) -> None:
    await service.get("2.2.0", f"/{kind}")
    await service.get("2.2.0", f"/{kind}/x")
    assert service.access.scopes == [f"system/{kind}.rs"] * 2

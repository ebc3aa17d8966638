"""Searches: pages, forms, and servers that leave things out or never end."""

from __future__ import annotations

import pytest
from starlette.responses import Response

from service.errors import EhrRefused, EhrUnavailable
from tests.unit.ehr.conftest import Opened
from tests.unit.ehr.server import Asked, Json, fhir, outcome, patient, searchset, served


def condition(logical_id: str) -> Json:
    return {"resourceType": "Condition", "id": logical_id, "subject": {"reference": "Patient/p1"}}


def ids(resources: object) -> list[str]:
    assert isinstance(resources, tuple)
    return [resource["id"] for resource in resources]


def _paged(asked: Asked) -> Response:
    page = int((asked.values("page") or ["1"])[0])
    following = f"Condition?page={page + 1}" if page < 3 else None
    return fhir(searchset(condition(f"c{page}"), following=following))


async def test_all_pages_are_read(opened: Opened) -> None:
    with served(_paged) as server:
        found = await opened(server.base).search("Condition", ("patient", "p1"))
    assert (ids(found.resources), found.complete) == (["c1", "c2", "c3"], True)
    assert server.asked[0].parameters == [("patient", "p1")]
    assert all("authorization" in asked.headers for asked in server.asked)


async def test_paging_goes_on_where_a_prefetched_page_ends(opened: Opened) -> None:
    with served(_paged) as server:
        sent = searchset(condition("c1"), following=f"{server.base}/Condition?page=2")
        found = await opened(server.base).rest(sent)
    assert (ids(found.resources), found.complete) == (["c2", "c3"], True)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://attacker.example/fhir/Condition?page=2",
        "https://127.0.0.1/fhir/Condition?page=2",
        "//attacker.example/Condition",
        "http://169.254.169.254/latest",
        "http://user@127.0.0.1/x",
        "file:///etc/passwd",
        "http://[broken",
    ],
)
async def test_a_page_elsewhere_is_not_asked_for(opened: Opened, elsewhere: str) -> None:
    with served(lambda asked: fhir(searchset(condition("c1"), following=elsewhere))) as server:
        found = await opened(server.base).search("Condition")
    assert (ids(found.resources), found.complete) == (["c1"], False)
    assert len(server.asked) == 1


async def test_paging_that_never_ends_is_left(opened: Opened) -> None:
    def endless(asked: Asked) -> Response:
        number = len(server.asked)
        return fhir(searchset(condition(f"c{number}"), following=f"Condition?page={number}"))

    with served(endless) as server:
        found = await opened(server.base, max_pages=4).search("Condition")
    assert (len(found.resources), found.complete, len(server.asked)) == (4, False, 4)


async def test_a_page_that_leads_to_itself_is_read_once(opened: Opened) -> None:
    with served(lambda asked: fhir(searchset(condition("c1"), following="Condition?page=1"))) as server:
        found = await opened(server.base).search("Condition")
    assert (found.complete, len(server.asked)) == (False, 2)


async def test_more_resources_than_wanted_are_left(opened: Opened) -> None:
    page = searchset(*(condition(f"c{n}") for n in range(9)), following="Condition?page=2")
    with served(lambda asked: fhir(page)) as server:
        found = await opened(server.base, max_resources=5).search("Condition")
    assert (len(found.resources), found.complete, len(server.asked)) == (5, False, 1)


async def test_what_came_before_a_page_failed_is_kept(opened: Opened) -> None:
    def second_fails(asked: Asked) -> Response:
        return fhir(outcome(), 500) if asked.values("page") else fhir(searchset(condition("c1"), following="?page=2"))

    with served(second_fails) as server:
        found = await opened(server.base).search("Condition")
    assert (ids(found.resources), found.complete) == (["c1"], False)


async def test_one_bad_entry_is_dropped_and_told_of(opened: Opened) -> None:
    bad = {**condition("c2"), "recordedDate": "yesterday"}
    unnamed = {"resourceType": "Condition", "subject": {"reference": "Patient/p1"}}
    with served(lambda asked: fhir(searchset(condition("c1"), bad, unnamed, condition("c3")))) as server:
        found = await opened(server.base).search("Condition")
    assert (ids(found.resources), found.complete) == (["c1", "c3"], False)


@pytest.mark.parametrize(("severity", "complete"), [("warning", True), ("information", True), ("error", False)])
async def test_an_outcome_among_the_entries_is_no_result(opened: Opened, severity: str, complete: bool) -> None:
    with served(lambda asked: fhir(searchset(condition("c1"), outcome(severity)))) as server:
        found = await opened(server.base).search("Condition")
    assert (ids(found.resources), found.complete) == (["c1"], complete)


@pytest.mark.parametrize("body", [patient(), [], {"resourceType": "Bundle", "type": "searchset", "entry": "none"}])
async def test_a_result_that_is_no_bundle_gives_nothing(opened: Opened, body: object) -> None:
    with served(lambda asked: fhir(body)) as server:
        ehr = opened(server.base)
        if isinstance(body, dict) and body["resourceType"] == "Bundle":
            found = await ehr.search("Condition")
            assert (found.resources, found.complete) == ((), False)
        else:
            with pytest.raises(EhrUnavailable):
                await ehr.search("Condition")


@pytest.mark.parametrize("answer", [fhir(outcome(), 400), fhir(outcome(), 403), fhir(outcome())])
async def test_a_refused_parameter_is_told_apart_from_a_failure(opened: Opened, answer: Response) -> None:
    with served(lambda asked: answer) as server, pytest.raises(EhrRefused):
        await opened(server.base).search("Coverage", ("_include", "Coverage:payor"))


async def test_a_long_search_is_posted_as_a_form(opened: Opened) -> None:
    codes = ",".join(f"http://example.org/codes|{number}" for number in range(100))
    with served(lambda asked: fhir(searchset(condition("c1")))) as server:
        found = await opened(server.base).search("Condition", ("patient", "p1"), ("code", codes))
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/fhir/Condition/_search")
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.parameters == [("patient", "p1"), ("code", codes)]
    assert found.complete


@pytest.mark.parametrize("wanted", ["GET", "POST"])
async def test_a_search_takes_the_form_that_the_server_does(opened: Opened, wanted: str) -> None:
    length = 100 if wanted == "GET" else 1

    def one_form(asked: Asked) -> Response:
        return fhir(searchset(condition("c1"))) if asked.method == wanted else fhir(outcome(), 405)

    with served(one_form) as server:
        found = await opened(server.base).search("Condition", ("code", "http://example.org/codes|1," * length))
    assert (ids(found.resources), len(server.asked)) == (["c1"], 2)

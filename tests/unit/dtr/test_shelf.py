"""What stands on the shelf: dependencies followed to their end, versions given out, the newest revision first."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from service.catalog.registry import Registry
from service.dtr.shelf import Shelf, stock
from service.dtr.versions import SHAPES
from service.ports import LoadedPolicy
from tests.unit.dtr.samples import (
    INITIAL,
    LIBRARY,
    PAYER,
    Json,
    Service,
    by_canonical,
    form_urls,
    issues,
)

SET = f"{PAYER}/ValueSet/answers"


def library(name: str, *needs: str, version: str = "1.0.0") -> Json:
    related = [{"type": "depends-on", "resource": canonical} for canonical in needs]
    url = f"{PAYER}/Library/{name}"
    return {"resourceType": "Library", "id": name, "url": url, "version": version, "relatedArtifact": related}


def with_libraries(registry: Registry, *libraries: Json, **form: Any) -> LoadedPolicy:
    loaded = registry.all()[0]
    questionnaire = {**loaded.questionnaires[INITIAL], **form}
    return replace(loaded, questionnaires={INITIAL: questionnaire}, libraries=libraries)


def shelf(*policies: LoadedPolicy, versioned: bool = True) -> Shelf:
    return stock(Registry(policies), SHAPES["2.2.0"], versioned_canonicals=versioned, service=PAYER)


@pytest.mark.requirement("oper-12")
@pytest.mark.requirement("spec-87")
def test_dependencies_are_followed_in_a_circle_and_each_taken_once(registry: Registry) -> None:
    first = library("ImdelltraPrepopulation", f"{PAYER}/Library/A", f"{PAYER}/Library/B|1.0.0")
    a = library("A", f"{PAYER}/Library/B", LIBRARY)
    b = library("B", f"{PAYER}/Library/A|1.0.0")
    [content] = shelf(with_libraries(registry, first, a, b)).contents
    assert [found["id"] for found in content.libraries] == ["ImdelltraPrepopulation", "A", "B"]
    assert content.absent == ()


@pytest.mark.requirement("oper-16")
def test_a_canonical_without_version_gets_it_and_one_with_loses_it_by_the_setting(registry: Registry) -> None:
    foreign = "https://elsewhere.example.org/Library/X|3"
    first = library("ImdelltraPrepopulation", f"{PAYER}/Library/A", foreign)
    loaded = with_libraries(registry, first, library("A", version="4.2.0"))
    for versioned, wanted in ((True, f"{PAYER}/Library/A|4.2.0"), (False, f"{PAYER}/Library/A")):
        [content] = shelf(loaded, versioned=versioned).contents
        assert [r["resource"] for r in content.libraries[0]["relatedArtifact"]] == [wanted, foreign]
    assert first["relatedArtifact"][0]["resource"] == f"{PAYER}/Library/A"


@pytest.mark.requirement("oper-14")
def test_value_sets_of_answers_are_taken_at_any_depth(registry: Registry) -> None:
    inner = {"linkId": "inner", "type": "choice", "answerValueSet": SET}
    local = {"linkId": "local", "type": "choice", "answerValueSet": "#contained"}
    loaded = with_libraries(
        registry, library("ImdelltraPrepopulation"), item=[{"linkId": "g", "type": "group", "item": [inner, local]}]
    )
    value_set = {"resourceType": "ValueSet", "url": SET, "version": "2"}
    [content] = shelf(replace(loaded, value_sets=(value_set,))).contents
    assert content.value_sets == ({**value_set, "id": "answers"},)
    assert content.questionnaire["item"][0]["item"][0]["answerValueSet"] == f"{SET}|2"


async def test_a_dependency_that_is_not_there_is_a_warning(service: Service, registry: Registry) -> None:
    loaded = with_libraries(registry, library("ImdelltraPrepopulation", f"{PAYER}/Library/Gone|1.0.0"))
    service.registry = Registry((loaded,))
    answer = (await service.package("2.0.1", by_canonical(INITIAL))).json()
    assert form_urls(answer) == [INITIAL]
    [issue] = issues(answer)
    assert (issue["severity"], f"{PAYER}/Library/Gone|1.0.0" in issue["diagnostics"]) == ("warning", True)


def test_the_newest_revision_comes_first_and_the_older_stays_by_version(registry: Registry) -> None:
    old = registry.all()[0]
    new = replace(
        old,
        policy=replace(old.policy, effective=date(2027, 4, 1)),
        questionnaires={url: {**form, "version": "2.0.0"} for url, form in old.questionnaires.items()},
    )
    both = shelf(old, new)
    for canonical, version in ((INITIAL, "2.0.0"), (f"{INITIAL}|1.0.0", "1.0.0"), (f"{INITIAL}|2.0.0", "2.0.0")):
        content = both.content(canonical)
        assert content is not None
        assert content.version == version
    assert both.content(f"{INITIAL}|3.0.0") is None
    by_id = both.by_id("Questionnaire", "imdelltra-initial")
    assert by_id is not None
    assert by_id["version"] == "2.0.0"
    assert [a["version"] for a in both.search("Questionnaire", INITIAL, None)] == ["2.0.0", "1.0.0"]
    assert [a["version"] for a in both.search("Library", LIBRARY, None)] == ["1.0.0"]


def test_what_was_loaded_is_not_altered(registry: Registry) -> None:
    loaded = registry.all()[0]
    assert "meta" not in loaded.questionnaires[INITIAL]
    shelf(loaded)
    assert "meta" not in loaded.questionnaires[INITIAL]
    assert "alternativeExpression" not in str(loaded.questionnaires[INITIAL])

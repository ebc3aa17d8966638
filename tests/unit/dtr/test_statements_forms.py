"""What DTR asks of a payer's forms and logic, held against every form that is given out, in both versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.catalog.registry import HOME, Registry, load_registry
from service.dtr.shelf import Content, Shelf, stock
from service.dtr.versions import SHAPES, Version
from service.engine import elm
from service.fhir import canonical as c
from service.fhir.parse import StructureCheck
from tests.unit.dtr.profiles import Profiles, load
from tests.unit.dtr.samples import PAYER, ROOT, VERSIONS, Json, content

each_version = pytest.mark.parametrize("version", VERSIONS)
_PART = r'"[^"]+"'
_TEXT = ("id", "meta", "text", "name", "date", "publisher", "description", "item")


@pytest.fixture(scope="module")
def everything(check: StructureCheck) -> Registry:
    """Our own policy and the invented one."""
    return load_registry([HOME, ROOT / "tests/data/second_policy"], check)


@pytest.fixture(scope="module")
def profiles() -> dict[Version, Profiles]:
    return {version: load("sdc-4.0.0", f"dtr-{version}") for version in VERSIONS}


def shelf(registry: Registry, version: Version) -> Shelf:
    return stock(registry, SHAPES[version], versioned_canonicals=True, service=PAYER)


def forms(registry: Registry, version: Version) -> Iterator[tuple[str, Content, Json]]:
    """Each form as given out, standard and adaptive; of the adaptive one also what its response contains."""
    stocked = shelf(registry, version)
    for each in stocked.contents:
        yield c.DTR_STANDARD_QUESTIONNAIRE, each, each.questionnaire
    for each in stocked.adaptives:
        assert each.adaptive is not None
        yield c.DTR_ADAPTIVE_SEARCH_QUESTIONNAIRE, each, each.questionnaire
        every = each.adaptive.so_far(list(each.adaptive.form.questions), "so-far")
        yield c.DTR_ADAPTIVE_QUESTIONNAIRE, each, every


def items(holder: Json) -> list[Json]:
    return [each for item in holder.get("item", ()) for each in (item, *items(item))]


def expressions(value: Any) -> Iterator[Json]:
    """Every Expression, at any depth, but the ELM beside one."""
    if isinstance(value, list):
        for each in value:
            yield from expressions(each)
    if isinstance(value, dict) and value.get("url") != c.DTR_ALTERNATIVE_EXPRESSION:
        if "valueExpression" in value:
            yield value["valueExpression"]
        for each in value.values():
            yield from expressions(each)


def defines(library: Json) -> set[str]:
    return set(elm.defines({"library": library["library"]}))


def logic(registry: Registry) -> Iterator[tuple[str, Json]]:
    """The name and ELM of every library of every policy."""
    for loaded in registry.all():
        for library in loaded.logic.libraries:
            yield library.ref.name, dict(library.elm["library"])


@pytest.mark.requirement("spec-21")
@pytest.mark.requirement("conf-10")
@each_version
def test_forms_use_only_what_every_client_must_support(
    everything: Registry, profiles: dict[Version, Profiles], version: Version
) -> None:
    for url, each, form in forms(everything, version):
        # An adaptive form has what its profile has, and what the standard form's has where that is silent.
        supported = profiles[version].supported(url) | profiles[version].supported(c.DTR_STANDARD_QUESTIONNAIRE)
        for item in items(form):
            extra = {name for name in item if name != "extension"} - supported["Questionnaire.item"]
            assert not extra, (each.url, item["linkId"])
            urls = {e["url"] for e in item.get("extension", ())}
            assert urls <= supported["Questionnaire.item.extension"], (each.url, item["linkId"])
        urls = {e["url"] for e in form["extension"]} - {c.ARTIFACT_VERSION_ALGORITHM}
        assert urls <= supported["Questionnaire.extension"] | {c.SDC_ADAPTIVE}


@pytest.mark.requirement("spec-18")
@each_version
def test_all_logic_of_a_form_is_cql(everything: Registry, version: Version) -> None:
    found = [e for _, _, form in forms(everything, version) for e in expressions(form)]
    assert len(found) > 20
    assert {e["language"] for e in found} <= {"text/cql", "text/cql-identifier"}


@pytest.mark.requirement("spec-91", "spec-61")
@pytest.mark.requirement("spec-97")
@pytest.mark.requirement("spec-87")
@each_version
def test_expressions_name_a_library_that_the_form_names_and_its_package_brings(
    everything: Registry, version: Version
) -> None:
    named = 0
    for _, each, form in forms(everything, version):
        brought = {f"{r['url']}|{r['version']}": r for r in each.libraries}
        canonicals = [e["valueCanonical"] for e in form["extension"] if e["url"] == c.CQF_LIBRARY]
        assert set(canonicals) <= brought.keys()
        known = {brought[canonical]["name"]: brought[canonical] for canonical in canonicals}
        for expression in expressions(form):
            match = re.fullmatch(rf"({_PART})\.({_PART})", expression["expression"])
            assert match, expression
            library, define = (part.strip('"') for part in match.groups())
            text = content(known[library], "text/cql").decode()
            assert f'define "{define}":' in text
            named += 1
    assert named > 20


@pytest.mark.requirement("spec-98")
@each_version
def test_no_two_libraries_have_one_name(everything: Registry, version: Version) -> None:
    stocked = shelf(everything, version)
    for each in (*stocked.contents, *stocked.adaptives):
        names = [library["name"] for library in each.libraries]
        assert len(names) == len(set(names))
    given_out = {(r["name"], r["url"]) for r in stocked.search("Library", None, None)}
    assert len({name for name, _ in given_out}) == len(given_out) >= 4


@pytest.mark.requirement("oper-13")
@pytest.mark.requirement("spec-95")
@pytest.mark.requirement("spec-99")
@each_version
def test_every_library_holds_its_cql_and_its_elm(everything: Registry, version: Version) -> None:
    for library in shelf(everything, version).search("Library", None, None):
        assert [part["contentType"] for part in library["content"]] == ["text/cql", "application/elm+json"]
        assert all("data" in part and "url" not in part for part in library["content"])
        assert content(library, "text/cql").decode().count(f"\nlibrary {library['name']} version ") == 1
        assert f'"id":"{library["name"]}"' in content(library, "application/elm+json").decode()


@pytest.mark.requirement("spec-93")
def test_every_define_is_of_the_patient(everything: Registry) -> None:
    seen = 0
    for _, library in logic(everything):
        contexts = {statement["context"] for statement in library["statements"]["def"]}
        assert contexts == {"Patient"}
        seen += 1
    assert seen >= 4


@pytest.mark.requirement("spec-92")
def test_every_library_is_of_the_release_that_cql_1_5_translates_to(everything: Registry) -> None:
    """ELM r1 of translator 5, which reads CQL 1.5; what it could not read would stand in the annotations."""
    for _, library in logic(everything):
        assert library["schemaIdentifier"] == {"id": "urn:hl7-org:elm", "version": "r1"}
        [made] = [a for a in library["annotation"] if a["type"] == "CqlToElmInfo"]
        assert made["translatorVersion"].startswith("5.")
        assert not [a for a in library["annotation"] if a.get("errorSeverity") == "error"]


@pytest.mark.requirement("spec-94")
@each_version
def test_a_form_with_logic_declares_the_patient_that_the_logic_is_about(
    everything: Registry, version: Version
) -> None:
    """SDC launchContext: the one name that our expressions take from the launch is the patient."""
    for _, _, form in forms(everything, version):
        declared = [e["extension"] for e in form["extension"] if e["url"].endswith("-launchContext")]
        named = {(part[0]["valueCoding"]["code"], part[1]["valueCode"]) for part in declared}
        assert named == {("patient", "Patient")}
        assert form["subjectType"] == ["Patient"]


@pytest.mark.requirement("sec-3")
def test_logic_asks_the_chart_only_for_what_it_reads(everything: Registry) -> None:
    """Clients fetch what a library describes: no more than it retrieves, and by code wherever a code must say it."""
    for loaded in everything.all():
        for library in loaded.libraries:
            document = next(each.elm for each in loaded.logic.libraries if each.ref.name == library["name"])
            described = [(r["type"], _set_of(r)) for r in library.get("dataRequirement", ())]
            retrieved = {(r.type, r.value_set) for r in elm.retrieves(document)} - {("Patient", None)}
            assert len(described) == len(set(described))
            assert set(described) - {("Patient", None)} == retrieved
            whole = {kind for kind, value_set in retrieved if value_set is None}
            assert whole <= {"QuestionnaireResponse", "Claim"} | BY_NAME_TOO


# These are read by name too, where a chart has no code or a local one: a filter by code would lose those records.
BY_NAME_TOO = {"MedicationAdministration", "MedicationRequest", "MedicationStatement", "Medication", "Procedure"}


def _set_of(requirement: Json) -> str | None:
    sets = [f["valueSet"].partition("|")[0] for f in requirement.get("codeFilter", ())]
    return sets[0] if sets else None


@pytest.mark.requirement("sec-3")
def test_every_define_that_stands_alone_fills_a_question_or_shows_its_evidence(everything: Registry) -> None:
    for loaded in everything.all():
        asked = {
            match[1]
            for form in loaded.questionnaires.values()
            for e in expressions(form)
            if (match := re.search(r'\."([^"]+)"', e["expression"]))
        }
        for library in loaded.logic.libraries:
            if not library.ref.name.endswith("Prepopulation"):
                continue
            # Whatever ends as evidence for no question would be data that nobody needs.
            shown = {
                name.removesuffix(" Evidence") for name in elm.defines(library.elm) if name.endswith(" Evidence")
            }
            used = _used(library.elm["library"], {*asked, *(f"{a} Evidence" for a in asked)})
            assert asked <= shown
            assert elm.defines(library.elm) - used == set()


def _used(library: Json, wanted: set[str]) -> set[str]:
    """The defines that these are made of, themselves among them."""
    statements: dict[str, list[Json]] = {}
    for statement in library["statements"]["def"]:
        statements.setdefault(statement["name"], []).append(statement)
    found: set[str] = set()
    waiting = list(wanted)
    while waiting:
        name = waiting.pop()
        if name in found or name not in statements:
            continue
        found.add(name)
        waiting += [n for statement in statements[name] for n in _references(statement.get("expression"))]
    return found


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _references(each)
    if isinstance(value, dict):
        if value.get("type") in ("ExpressionRef", "FunctionRef") and "libraryName" not in value:
            yield value["name"]
        for each in value.values():
            yield from _references(each)


@pytest.mark.requirement("sec-4")
@each_version
def test_nothing_is_filled_where_the_user_cannot_see_or_change_it(everything: Registry, version: Version) -> None:
    filled = 0
    for _, _, form in forms(everything, version):
        for item in items(form):
            urls = {e["url"] for e in item.get("extension", ())}
            if c.SDC_INITIAL_EXPRESSION in urls:
                assert c.QUESTIONNAIRE_HIDDEN not in urls
                assert not item.get("readOnly")
                filled += 1
    assert filled > 10


@pytest.mark.requirement("spec-54")
def test_the_chart_fills_every_question_but_the_prescribers_own_word(registry: Registry) -> None:
    [loaded] = registry.all()
    for form in loaded.questionnaires.values():
        asked = {i["linkId"]: i for i in items(dict(form)) if i["type"] not in ("group", "display")}
        open_ = {
            link_id
            for link_id, item in asked.items()
            if c.SDC_INITIAL_EXPRESSION not in {e["url"] for e in item.get("extension", ())}
        }
        # What is unacceptable toxicity is the prescriber's judgement: no record says it.
        assert open_ <= loaded.policy.attested | {"unacceptable-toxicity"}


@pytest.mark.requirement("spec-53")
@each_version
def test_every_form_says_from_when_it_holds(everything: Registry, version: Version) -> None:
    """From the day on which its policy takes effect, no earlier."""
    for _, each, form in forms(everything, version):
        assert form["effectivePeriod"]["start"] == each.loaded.policy.effective.isoformat()


@pytest.mark.requirement("spec-160")
@pytest.mark.requirement("spec-165")
@each_version
def test_forms_contain_no_pages(everything: Registry, version: Version) -> None:
    """No Binary is contained in a form, so none holds scripts or points at anything."""
    for _, each, form in forms(everything, version):
        assert not [r for r in form.get("contained", ()) if r["resourceType"] == "Binary"], each.url

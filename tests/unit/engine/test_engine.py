"""V8Engine: right values, clear failures, and an engine that goes on working afterwards."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from service.engine.evaluator import Limits, V8Engine
from service.errors import DeadlinePassed, EngineFailed
from service.ports import CqlDate, CqlValue, Evaluation, LibraryRef, LogicLibrary, LogicSet, Resource

Json = dict[str, Any]
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
SYSTEM = "{urn:hl7-org:elm-types:r1}"
PATIENT: Json = {"resourceType": "Patient", "id": "p", "birthDate": "1958-02"}
REF = LibraryRef("Made", "1.0.0")


def literal(value: object) -> Json:
    kind = "Boolean" if isinstance(value, bool) else "Integer" if isinstance(value, int) else "String"
    return {"type": "Literal", "valueType": f"{SYSTEM}{kind}", "value": str(value).lower()}


def boolean(value: bool | None) -> Json:
    return (
        {"type": "As", "asType": f"{SYSTEM}Boolean", "operand": {"type": "Null"}} if value is None else literal(value)
    )


def library(*parameters: tuple[str, str], **defines: Json) -> Json:
    """ELM of a library whose defines are the given expressions (underscores stand for spaces)."""
    statements = [
        {"name": name.replace("_", " "), "context": "Patient", "expression": expression}
        for name, expression in defines.items()
    ]
    declared = [
        {"name": name, "parameterTypeSpecifier": {"type": "NamedTypeSpecifier", "name": f"{SYSTEM}{kind}"}}
        for name, kind in parameters
    ]
    return {
        "library": {
            "identifier": {"id": REF.name, "version": REF.version},
            "usings": {"def": [{"localIdentifier": "FHIR", "uri": "http://hl7.org/fhir", "version": "4.0.1"}]},
            "parameters": {"def": declared},
            "statements": {"def": statements},
        }
    }


def logic_of(elm: Json, *value_sets: Resource) -> LogicSet:
    return LogicSet(json.dumps(elm), (LogicLibrary(REF, elm),), value_sets)


def asked(
    logic: LogicSet,
    *defines: str,
    records: tuple[Resource, ...] = (PATIENT,),
    now: datetime = NOW,
    parameters: Mapping[str, CqlValue] | None = None,
) -> Evaluation:
    return Evaluation(logic, REF, defines, records, parameters or {}, now)


async def value(engine: V8Engine, expression: Json, **more: Any) -> Any:
    return (await engine.evaluate(asked(logic_of(library(X=expression)), "X", **more)))["X"]


def endless() -> Json:
    """A query over nine lists of thirty: 20 million million rows."""
    thirty = {"type": "List", "element": [literal(n) for n in range(30)]}
    sources = [{"alias": f"a{n}", "expression": thirty} for n in range(9)]
    query = {"type": "Query", "source": sources, "return": {"distinct": False, "expression": literal(1)}}
    return {"type": "Count", "source": query}


def greedy() -> Json:
    """A list of ten million intervals."""
    whole: Json = {
        "type": "Interval", "low": literal(1), "high": literal(10_000_000), "lowClosed": True, "highClosed": True,
    }  # fmt: skip
    return {"type": "Count", "source": {"type": "Expand", "operand": [whole, {"type": "Null"}]}}


@pytest.mark.parametrize("a", [True, False, None])
@pytest.mark.parametrize("b", [True, False, None])
async def test_logic_has_three_values(engine: V8Engine, a: bool | None, b: bool | None) -> None:
    both, either = await asyncio.gather(
        value(engine, {"type": "And", "operand": [boolean(a), boolean(b)]}),
        value(engine, {"type": "Or", "operand": [boolean(a), boolean(b)]}),
    )
    assert both is (False if False in (a, b) else None if None in (a, b) else True)
    assert either is (True if True in (a, b) else None if None in (a, b) else False)


@pytest.mark.parametrize("text", ["2026", "2026-12", "2026-12-04"])
async def test_dates_keep_their_precision_in_and_out(engine: V8Engine, text: str) -> None:
    elm = library(("Service Date", "Date"), X={"type": "ParameterRef", "name": "Service Date"})
    got = await engine.evaluate(asked(logic_of(elm), "X", parameters={"Service Date": CqlDate(text)}))
    assert got["X"] == {"type": "Date", "value": text}


async def test_results_are_plain(engine: V8Engine) -> None:
    retrieve = {"type": "Retrieve", "dataType": "{http://hl7.org/fhir}Patient"}
    patient = {"type": "SingletonFrom", "operand": retrieve}
    birth_date = {"type": "Property", "path": "birthDate", "source": patient}
    element = [{"name": "n", "value": literal(3)}, {"name": "none", "value": {"type": "Null"}}]
    wanted: list[tuple[Json, Any]] = [
        ({"type": "Null"}, None),
        (literal(3), 3),
        (literal("text"), "text"),
        (patient, {"type": "FHIR", "reference": "Patient/p"}),
        (retrieve, [{"type": "FHIR", "reference": "Patient/p"}]),
        (birth_date, {"type": "Date", "value": "1958-02"}),
        ({"type": "Tuple", "element": element}, {"n": 3, "none": None}),
        ({"type": "Quantity", "value": 5, "unit": "mg"}, {"type": "Quantity", "value": 5, "unit": "mg"}),
    ]
    elm = library(**{f"X{n}": expression for n, (expression, _) in enumerate(wanted)})
    got = await engine.evaluate(asked(logic_of(elm), *(f"X{n}" for n in range(len(wanted)))))
    assert [got[f"X{n}"] for n in range(len(wanted))] == [want for _, want in wanted]


async def test_today_follows_the_given_time_and_zone(engine: V8Engine) -> None:
    late = datetime(2026, 12, 1, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    got = await value(engine, {"type": "Today"}, now=late)
    assert got == {"type": "Date", "value": "2026-12-01"}


async def test_numbers_with_many_digits_and_odd_text_pass(engine: V8Engine) -> None:
    patient = PATIENT | {"id": "p", "name": [{"family": 'O"Neil\u2028\x00\U0001f600</script>'}]}
    source = {"type": "SingletonFrom", "operand": {"type": "Retrieve", "dataType": "{http://hl7.org/fhir}Patient"}}
    family = {
        "type": "Property", "path": "value",
        "source": {"type": "Property", "path": "family", "source": {
            "type": "Indexer",
            "operand": [{"type": "Property", "path": "name", "source": source}, literal(0)],
        }},
    }  # fmt: skip
    assert await value(engine, family, records=(patient,)) == 'O"Neil\u2028\x00\U0001f600</script>'


async def test_runaway_is_stopped_and_the_engine_goes_on(script: Path) -> None:
    engine = V8Engine(script, Limits(seconds=0.5))
    try:
        with pytest.raises(DeadlinePassed):
            await value(engine, endless())
        assert await value(engine, literal(3)) == 3
    finally:
        engine.close()


async def test_memory_is_limited_and_the_engine_goes_on(script: Path) -> None:
    engine = V8Engine(script, Limits(seconds=30, queue_seconds=60, memory_bytes=96 * 1024 * 1024))
    try:
        with pytest.raises(EngineFailed):
            await value(engine, greedy())
        assert await value(engine, literal(3)) == 3
    finally:
        engine.close()


async def test_failing_define_is_named_without_patient_data(engine: V8Engine) -> None:
    two = {"type": "List", "element": [literal("secret"), literal("secret 2")]}
    failing = {"type": "SingletonFrom", "operand": two, "locator": "7:3-7:20"}
    with pytest.raises(EngineFailed) as failed:
        await value(engine, failing)
    assert failed.value.text == 'The CQL library Made|1.0.0 could not be evaluated at "X": failed, CQL 7:3-7:20.'
    assert await value(engine, literal(3)) == 3


async def test_missing_define_library_and_parameter(engine: V8Engine) -> None:
    logic = logic_of(library(("Service Date", "Date"), X=literal(3)))
    with pytest.raises(EngineFailed, match='at "Y": no such define'):
        await engine.evaluate(asked(logic, "Y"))
    with pytest.raises(EngineFailed, match="no such define"):
        await engine.evaluate(asked(logic, "constructor"))
    with pytest.raises(EngineFailed, match='at "Other": no such parameter'):
        await engine.evaluate(asked(logic, "X", parameters={"Other": True}))
    with pytest.raises(EngineFailed, match="malformed parameter"):
        await engine.evaluate(asked(logic, "X", parameters={"Service Date": CqlDate("soon")}))
    with pytest.raises(EngineFailed, match="parameter of another type"):
        await engine.evaluate(asked(logic, "X", parameters={"Service Date": True}))
    with pytest.raises(EngineFailed, match="no such library"):
        await engine.evaluate(Evaluation(logic, LibraryRef("Made", "2.0.0"), ("X",), (PATIENT,), {}, NOW))


VALUE_SET: Json = {
    "resourceType": "ValueSet",
    "url": "https://example.org/vs",
    "version": "1",
    "expansion": {
        "contains": [
            {"system": "s", "code": "group", "abstract": True, "contains": [{"system": "s", "code": "inner"}]}
        ]
    },
}


def with_value_set(version: str | None = None) -> Json:
    elm = library(
        X={
            "type": "Exists",
            "operand": {
                "type": "Retrieve",
                "dataType": "{http://hl7.org/fhir}Condition",
                "codeProperty": "code",
                "codes": {"type": "ValueSetRef", "name": "VS"},
            },
        }
    )
    pinned = {} if version is None else {"version": version}
    elm["library"]["valueSets"] = {"def": [{"name": "VS", "id": "https://example.org/vs", **pinned}]}
    return elm


@pytest.mark.parametrize(
    ("version", "value_sets"),
    [
        (None, ()),
        ("2", (VALUE_SET,)),
        ("1", ({k: v for k, v in VALUE_SET.items() if k != "expansion"},)),
    ],
)
async def test_missing_value_set_is_named(
    engine: V8Engine, version: str | None, value_sets: tuple[Json, ...]
) -> None:
    wanted = "https://example.org/vs" + (f"|{version}" if version else "")
    with pytest.raises(EngineFailed) as failed:
        await engine.evaluate(asked(logic_of(with_value_set(version), *value_sets), "X"))
    assert failed.value.text == f"These value sets are needed and not there: {wanted}."


@pytest.mark.parametrize(("code", "want"), [("inner", True), ("group", False), ("other", False)])
@pytest.mark.parametrize("version", [None, "1"])
async def test_expansions_are_flattened_without_their_groups(
    engine: V8Engine, version: str | None, code: str, want: bool
) -> None:
    condition = {"resourceType": "Condition", "id": "c", "code": {"coding": [{"system": "s", "code": code}]}}
    logic = logic_of(with_value_set(version), VALUE_SET)
    assert (await engine.evaluate(asked(logic, "X", records=(PATIENT, condition))))["X"] is want


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ({"type": "HighBoundary", "operand": []}, "HighBoundary is not evaluated"),
        ({"type": "Not", "operand": {"type": "ToLong", "operand": literal(1)}}, "ToLong is not evaluated"),
        ({"type": "Literal", "valueType": f"{SYSTEM}Long", "value": "1"}, "Long is not supported"),
    ],
)
async def test_logic_that_would_be_silently_null_is_refused(engine: V8Engine, expression: Json, fault: str) -> None:
    with pytest.raises(EngineFailed, match=fault):
        await value(engine, expression)


async def test_included_libraries_are_found_or_named(engine: V8Engine) -> None:
    outer = library(X={"type": "ExpressionRef", "libraryName": "I", "name": "Y"})
    outer["library"]["includes"] = {"def": [{"localIdentifier": "I", "path": "Inner", "version": "2"}]}
    inner = library(Y=literal(3))
    inner["library"]["identifier"] = {"id": "Inner", "version": "2"}
    both = (LogicLibrary(REF, outer), LogicLibrary(LibraryRef("Inner", "2"), inner))
    assert await engine.evaluate(asked(LogicSet("both", both, ()), "X")) == {"X": 3}
    with pytest.raises(EngineFailed) as failed:
        await engine.evaluate(asked(LogicSet("one", both[:1], ()), "X"))
    assert failed.value.text == "These CQL libraries are included and not there: Inner|2."


async def test_twenty_at_once_each_get_their_own(engine: V8Engine) -> None:
    elm = library(("N", "Integer"), X={"type": "ParameterRef", "name": "N"})
    logic = logic_of(elm)
    got = await asyncio.gather(*(engine.evaluate(asked(logic, "X", parameters={"N": n})) for n in range(20)))
    assert [one["X"] for one in got] == list(range(20))


async def test_more_logic_sets_than_are_kept(script: Path) -> None:
    engine = V8Engine(script, Limits(logic_sets=2))
    try:
        for _ in range(2):
            for n in range(4):
                assert await value(engine, literal(n)) == n
    finally:
        engine.close()


def test_usable_from_several_event_loops(engine: V8Engine) -> None:
    for n in range(3):
        assert asyncio.run(value(engine, literal(n))) == n


async def test_close_twice_then_refuse(script: Path) -> None:
    engine = V8Engine(script)
    await engine.warm(logic_of(library(X=literal(3))))
    engine.close()
    engine.close()
    with pytest.raises(EngineFailed, match="closed"):
        await value(engine, literal(3))


def test_close_before_any_use(script: Path) -> None:
    V8Engine(script).close()


async def test_script_that_is_not_built(tmp_path: Path) -> None:
    engine = V8Engine(tmp_path / "absent.js")
    with pytest.raises(EngineFailed, match="run the set-up"):
        await engine.warm()
    engine.close()


async def test_waiting_has_an_end_too(script: Path) -> None:
    engine = V8Engine(script, Limits(seconds=1, queue_seconds=0.2))
    try:
        with pytest.raises(DeadlinePassed, match="busy"):
            await value(engine, endless())
    finally:
        engine.close()


def test_process_that_forgets_to_close_still_ends(script: Path) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from service.engine.evaluator import V8Engine\n"
        "engine = V8Engine(pathlib.Path(sys.argv[1]))\n"
        "asyncio.run(engine.warm())\n"
        "print('warm')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert (ended.stdout, ended.stderr) == ("warm\n", "")

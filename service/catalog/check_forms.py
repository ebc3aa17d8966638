"""Checks of a policy's Questionnaire: its identity, its questions, and what fills them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from service.catalog.check_support import check_support
from service.catalog.fault import PolicyFault
from service.catalog.logic import Library
from service.catalog.manifest import Manifest
from service.engine import elm
from service.fhir.canonical import (
    ARTIFACT_VERSION_ALGORITHM,
    CQF_LIBRARY,
    QUESTIONNAIRE_HIDDEN,
    QUESTIONNAIRE_SUPPORT_LINK,
    SDC_INITIAL_EXPRESSION,
    split_canonical,
)
from service.form.adaptive import SUFFIX

_QUALIFIED: Final = re.compile(r'"?([^".]+)"?\."([^"]+)"')
_NEEDED: Final = ("url", "version", "title", "status", "subjectType", "effectivePeriod", "text")


def check_form(
    file: str, form: Mapping[str, Any], manifest: Manifest, prepopulation: Library | None
) -> Iterator[PolicyFault]:
    """Faults of one form, against the manifest and the library that fills it (dtr-std-questionnaire)."""
    yield from _identity(file, form)
    items = list(_walk(form.get("item") or ()))
    yield from _questions(file, items)
    yield from check_support(file, form, items)
    libraries = {
        split_canonical(extension["valueCanonical"])
        for extension in form.get("extension") or ()
        if extension.get("url") == CQF_LIBRARY
    }
    yield from _library(file, libraries, prepopulation)
    for item in items:
        yield from _expression(file, item, manifest, prepopulation)


def _identity(file: str, form: Mapping[str, Any]) -> Iterator[PolicyFault]:
    for element in _NEEDED:
        if not form.get(element):
            yield PolicyFault(file, element, "needed by the DTR questionnaire profile")
    stem = file.rpartition("/")[2].removesuffix(".json")
    for element in ("id", "url"):
        if str(form.get(element, "")).rpartition("/")[2] != stem:
            yield PolicyFault(file, element, f"must end in the file's name, {stem}")
    if str(form.get("url", "")).endswith(SUFFIX):
        yield PolicyFault(file, "url", f"{SUFFIX} at the end is kept for the adaptive form that every form has")
    extensions = [extension.get("url") for extension in form.get("extension") or ()]
    if form.get("version") and ARTIFACT_VERSION_ALGORITHM not in extensions:
        yield PolicyFault(file, "extension", "a version needs artifact-versionAlgorithm (SDC 4.0 sdc-2)")


def _questions(file: str, items: list[Mapping[str, Any]]) -> Iterator[PolicyFault]:
    link_ids = [item.get("linkId") for item in items]
    for link_id in {str(link_id) for link_id in link_ids if link_ids.count(link_id) > 1}:
        yield PolicyFault(file, link_id, "two items have this linkId")
    for item in items:
        link_id = str(item.get("linkId"))
        if not item.get("text"):
            yield PolicyFault(file, link_id, "every item has text (DTR 2.2.0)")
        for condition in item.get("enableWhen") or ():
            if condition.get("question") not in link_ids:
                yield PolicyFault(file, link_id, "enableWhen names a question that is not in the form")
        urls = {extension.get("url") for extension in item.get("extension") or ()}
        if QUESTIONNAIRE_SUPPORT_LINK in urls:
            yield PolicyFault(file, link_id, "supportLink differs between DTR 2.0.1 and 2.2.0: not in a shared form")
        if SDC_INITIAL_EXPRESSION in urls and (item.get("readOnly") or QUESTIONNAIRE_HIDDEN in urls):
            yield PolicyFault(file, link_id, "filled from the chart and hidden or read-only (DTR sec-4)")


def _library(
    file: str, libraries: set[tuple[str, str | None]], prepopulation: Library | None
) -> Iterator[PolicyFault]:
    if prepopulation is None:
        if libraries:
            yield PolicyFault(file, "extension", "names a cqf-library, but the manifest has no prepopulation library")
        return
    expected = (prepopulation.description.get("url"), prepopulation.ref.version)
    if expected not in libraries:
        yield PolicyFault(file, "extension", f"cqf-library must be {expected[0]}|{expected[1]}")


def _expression(
    file: str, item: Mapping[str, Any], manifest: Manifest, prepopulation: Library | None
) -> Iterator[PolicyFault]:
    link_id = str(item.get("linkId"))
    for extension in item.get("extension") or ():
        if extension.get("url") != SDC_INITIAL_EXPRESSION:
            continue
        if link_id in manifest.attested:
            yield PolicyFault(file, link_id, "is the prescriber's own word: nothing may fill it")
        expression = extension.get("valueExpression") or {}
        if expression.get("language") != "text/cql":
            yield PolicyFault(file, link_id, "initialExpression language must be text/cql")
        match = _QUALIFIED.fullmatch(str(expression.get("expression", "")))
        if match is None or prepopulation is None or match[1] != prepopulation.name:
            yield PolicyFault(
                file, link_id, 'initialExpression must read "Library"."Define" of the prepopulation library'
            )
            continue
        for define in (match[2], f"{match[2]} Evidence"):
            if define not in elm.defines(prepopulation.elm):
                yield PolicyFault(file, link_id, f'{prepopulation.name} has no define "{define}"')


def _walk(items: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for item in items:
        yield item
        yield from _walk(item.get("item") or ())

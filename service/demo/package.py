"""What $questionnaire-package returned: the form, its value sets and the payer's draft, in any of the shapes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.demo.chart import Chart
from service.dtr.app.payer import PayerRefused
from service.fhir.build import Json, parameter, parameters

_BUNDLE_NAMES = frozenset({"packagebundle", "return"})


@dataclass(frozen=True, slots=True)
class Package:
    """A Questionnaire with what came along; `draft` is the payer's QuestionnaireResponse, if any."""

    questionnaire: Json
    draft: Json | None
    value_sets: tuple[Json, ...]


def package_request(chart: Chart, assertion_id: str | None) -> Json:
    """The Parameters of $questionnaire-package after CRD: coverage, order and CRD's assertion id (DTR spec-126)."""
    return parameters(
        parameter("coverage", resource=chart.coverage),
        parameter("order", resource=chart.order),
        parameter("context", valueString=assertion_id) if assertion_id else None,
    )


def form_request(chart: Chart, questionnaire: str) -> Json:
    """The Parameters of $questionnaire-package for one known form."""
    return parameters(
        parameter("coverage", resource=chart.coverage),
        parameter("questionnaire", valueCanonical=questionnaire),
    )


def read_package(answer: Json) -> Package:
    """The first form of an answer; PayerRefused, in the payer's words, when there is none.

    DTR 2.2.0 names the parameter packagebundle, 2.0.1 PackageBundle or return, and may send the Bundle bare.
    """
    bundle = next(_bundles(answer), None)
    resources = [entry["resource"] for entry in (bundle or {}).get("entry", ()) if "resource" in entry]
    forms = [held for held in resources if held.get("resourceType") == "Questionnaire"]
    if not forms:
        told = " ".join(_outcome_texts(answer)) or "no form was sent."
        raise PayerRefused(f"The payer sent no form: {told}")
    drafts = [held for held in resources if held.get("resourceType") == "QuestionnaireResponse"]
    value_sets = tuple(held for held in resources if held.get("resourceType") == "ValueSet")
    return Package(forms[0], next(iter(drafts), None), value_sets)


def _bundles(answer: Json) -> Iterator[Json]:
    if answer.get("resourceType") == "Bundle":
        yield answer
    for part in answer.get("parameter", ()):
        if str(part.get("name", "")).lower() in _BUNDLE_NAMES and isinstance(part.get("resource"), dict):
            yield part["resource"]


def _outcome_texts(answer: Json) -> Iterator[str]:
    for part in answer.get("parameter", ()):
        for issue in part.get("resource", {}).get("issue", ()):
            yield issue.get("details", {}).get("text") or issue.get("diagnostics", "")

"""Cards: what a person should read beside the coverage-information, never the same again (CRD 2.2.1 resp-12)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from service.crd.chart_view import ChartView
from service.crd.configuration import CLAIM, GUIDELINE
from service.crd.extension import CrdVersion
from service.crd.hooks import HookCall
from service.crd.statement import policy_page
from service.fhir.build import Json
from service.fhir.canonical import CDS_CARD_TYPE, CRD_JSON_ASSOCIATED_RESOURCE, CRD_TEMP
from service.policy.case import Authorization
from service.policy.model import INITIAL, Pathway, Policy, PolicyRef
from service.ports import Ids, PolicyRegistry
from service.settings import Settings

_TOPIC_SYSTEMS: Final = {CrdVersion.STU2: CRD_TEMP, CrdVersion.STU22: CDS_CARD_TYPE}
_TOPIC_DISPLAYS: Final = {GUIDELINE: "Guideline", CLAIM: "Claim"}
_ORDERS: Final = {
    "MedicationRequest": "medication order",
    "ServiceRequest": "service order",
    "Appointment": "appointment",
}
_LONGEST_SUMMARY: Final = 139  # CDS Hooks: under 140 characters
_UNREAD_SUMMARY: Final = "Active orders could not be checked for prior authorization"
_UNREAD_DETAIL: Final = (
    "Not all of the patient's active orders could be read from the EHR. Whether one that was not read needs prior "
    "authorization is not known; an order is checked again when it is signed."
)


@dataclass(frozen=True, slots=True)
class Advised:
    """An order that falls under a policy; `start` is its requested start.

    `pathway` is that of the form it was given, if any; `held` the authorization that covers its start; `chart` what
    the record says about the form; `launch` the appContext for clients that want the form as an app to launch.
    """

    reference: str
    start: date
    policy: Policy
    pathway: Pathway | None
    held: Authorization | None = None
    chart: ChartView | None = None
    launch: str | None = None


@dataclass(frozen=True, slots=True)
class _Shape:
    version: CrdVersion
    settings: Settings
    ids: Ids


def cards(
    advised: Sequence[Advised], call: HookCall, settings: Settings, registry: PolicyRegistry, ids: Ids
) -> list[Json]:
    """What to do first, what to read second; none of a kind that the client switched off."""
    shape = _Shape(call.version, settings, ids)
    wanted: list[Json] = []
    if call.configuration.wants(CLAIM):
        wanted += _next_steps(advised, shape, registry)
        wanted += _launches(advised, shape)
    if call.configuration.wants(GUIDELINE):
        wanted += _policy_pages(advised, shape)
    return wanted


def unread_orders(call: HookCall, settings: Settings, ids: Ids) -> list[Json]:
    """The card of an encounter whose orders could not all be read: silence would say that none needs anything."""
    if not call.configuration.wants(CLAIM):
        return []
    about = f"Encounter/{call.encounter_id}" if call.encounter_id else f"Patient/{call.patient_id}"
    card = _card(_Shape(call.version, settings, ids), CLAIM, _UNREAD_SUMMARY, [about])
    card["detail"] = f"{_UNREAD_DETAIL}\n\nQuestions: {settings.payer_name}, {settings.payer_phone}."
    return [card]


def _next_steps(advised: Sequence[Advised], shape: _Shape, registry: PolicyRegistry) -> Iterator[Json]:
    """Instructions cards, one per form and authorization (text only: no links, no suggestions)."""
    for key in dict.fromkeys(_step(a) for a in advised if a.pathway):
        same = [a for a in advised if a.pathway and _step(a) == key]
        first = same[0]
        drug, form = first.policy.drug.display, f'"{_title(first, registry)}"'
        if first.held:
            until = first.held.period.end.isoformat()
            summary = f"{drug}: authorized until {until}"
            steps = (
                f"{drug} is authorized for this order under number {first.held.number}, from "
                f"{first.held.period.start.isoformat()} to {until}; nothing has to be sent now. If treatment goes on "
                f"after that day, open the form {form} from this order and submit it before then."
            )
        else:
            summary = f"{drug}: complete the prior authorization form before treatment"
            steps = (
                f"{drug} needs prior authorization. Open the form {form} from this order. It opens with what the "
                "chart already says; check those answers, complete the others, and submit it as a prior "
                "authorization request. The answer comes at once, or after a reviewer has looked at it."
            )
        card = _card(shape, CLAIM, summary, [a.reference for a in same])
        asks = f"Questions: {shape.settings.payer_name}, {shape.settings.payer_phone}."
        card["detail"] = "\n\n".join((steps, *_which(same, advised), *_record_says(first.chart), asks))
        yield card


def _which(meant: Sequence[Advised], advised: Sequence[Advised]) -> Iterator[str]:
    """Which of several orders of one drug a card is about, where its name does not tell (CRD 2.2.1 dev-24)."""
    alike = [each for each in advised if each.policy.drug == meant[0].policy.drug]
    if len(alike) > len(meant):
        orders = (
            f"the {_ORDERS[each.reference.partition('/')[0]]} for {each.start.isoformat()}"
            + (f" ({each.reference})" if _has_id(each.reference) else "")
            for each in meant
        )
        yield f"This is about {' and '.join(orders)}."


def _has_id(reference: str) -> bool:
    return "/" in reference


def _step(advised: Advised) -> tuple[PolicyRef, Pathway | None, Authorization | None]:
    return advised.policy.ref, advised.pathway, advised.held


def _title(advised: Advised, registry: PolicyRegistry) -> str:
    forms = registry.loaded(advised.policy).questionnaires
    form = forms.get(advised.pathway.questionnaire if advised.pathway else "", {})
    return str(form.get("title") or "Prior authorization")


def _record_says(chart: ChartView | None) -> Iterator[str]:
    """Paragraphs and lists that read well as Markdown and as plain text."""
    if chart is None:
        return
    if chart.answered:
        found = "\n".join(f"- {_asked(question)} {answer}" for question, answer in chart.answered)
        yield f"The record already answers (please check):\n{found}"
    if chart.unanswered:
        missing = "\n".join(f"- {question}" for question in chart.unanswered)
        yield f"Still to be answered on the form:\n{missing}"


def _asked(question: str) -> str:
    """A question as it stands; what is no question is set off from its answer."""
    return question if question.endswith(("?", ":")) else f"{question}:"


def _launches(advised: Sequence[Advised], shape: _Shape) -> Iterator[Json]:
    """SMART cards, one per order, for clients that do not start DTR from coverage-information themselves."""
    for each in advised:
        if each.pathway and each.launch:
            drug = each.policy.drug.display
            card = _card(shape, CLAIM, f"{drug}: open the prior authorization form", [each.reference])
            opens = f"Opens the form for {drug} with what the chart already says."
            card["detail"] = "\n\n".join((opens, *_which([each], advised)))
            url = f"{shape.settings.base_url}/dtr/launch"
            card["links"] = [
                {"label": "Open the form", "url": url, "type": "smart", "appContext": each.launch},
            ]
            if shape.version is CrdVersion.STU22:
                # Its logical model of SMART cards asks for a suggestion, and for no action in it (resp-72).
                card["suggestions"] = [{"label": "I open the form by the link", "uuid": shape.ids.new()}]
                card["selectionBehavior"] = "any"
            yield card


def _policy_pages(advised: Sequence[Advised], shape: _Shape) -> Iterator[Json]:
    """External reference cards, one per policy (only absolute links, never to a portal: CRD 2.2.1 resp-17)."""
    for ref in dict.fromkeys(a.policy.ref for a in advised):
        same = [a for a in advised if a.policy.ref == ref]
        policy, payer = same[0].policy, shape.settings.payer_name
        card = _card(shape, GUIDELINE, f"{policy.drug.display}: what {payer} requires", [a.reference for a in same])
        says = (
            f"Policy {policy.document} lists the criteria under which {payer} covers {policy.drug.display}, "
            "in the policy's own words."
        )
        card["detail"] = "\n\n".join((says, *_criteria(same)))
        page = policy_page(policy, shape.settings)
        card["links"] = [{"label": f"Policy {policy.document}", "url": page, "type": "absolute"}]
        yield card


def _criteria(advised: Sequence[Advised]) -> Iterator[str]:
    """What the page asks for, so that nobody has to follow the link to learn it (CRD 2.2.1 resp-20)."""
    paths = (a.pathway or a.policy.pathways.get(INITIAL) for a in advised)
    for pathway in dict.fromkeys(path for path in paths if path and path.criteria):
        listed = "\n".join(f"- {criterion.text}" for criterion in pathway.criteria)
        yield f"It asks of a request ({pathway.name}):\n{listed}"


def _card(shape: _Shape, topic: str, summary: str, about: Sequence[str]) -> Json:
    references = [each for each in dict.fromkeys(about) if _has_id(each)]
    # The two versions write associated resources differently (strings in 2.0.1, References in 2.2.1).
    linked = [{"reference": r} for r in references] if shape.version is CrdVersion.STU22 else references
    return {
        "uuid": shape.ids.new(),
        "summary": summary if len(summary) <= _LONGEST_SUMMARY else summary[: _LONGEST_SUMMARY - 1] + "…",
        "indicator": "info",
        "source": {
            "label": shape.settings.payer_name,
            "url": shape.settings.payer_website,
            "topic": {
                "system": _TOPIC_SYSTEMS[shape.version],
                "code": topic,
                "display": _TOPIC_DISPLAYS[topic],
            },
        },
        # An order without an id is meant by no reference.
        **({"extension": {CRD_JSON_ASSOCIATED_RESOURCE: linked}} if linked else {}),
    }

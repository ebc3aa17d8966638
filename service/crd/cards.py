"""Cards: what a person should read beside the coverage-information, never the same again (CRD 2.2.1 resp-12)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from service.crd.configuration import CLAIM, GUIDELINE
from service.crd.extension import CrdVersion
from service.crd.hooks import HookCall
from service.fhir.build import Json
from service.fhir.canonical import CDS_CARD_TYPE, CRD_JSON_ASSOCIATED_RESOURCE, CRD_TEMP
from service.policy.model import Pathway, Policy
from service.ports import Ids, PolicyRegistry
from service.settings import Settings

_TOPIC_SYSTEMS: Final = {CrdVersion.STU2: CRD_TEMP, CrdVersion.STU22: CDS_CARD_TYPE}
_TOPIC_DISPLAYS: Final = {GUIDELINE: "Guideline", CLAIM: "Claim"}
_LONGEST_SUMMARY: Final = 139  # CDS Hooks: under 140 characters


@dataclass(frozen=True, slots=True)
class Advised:
    """An order that falls under a policy; `pathway` is that of the form it was given, if any."""

    reference: str
    policy: Policy
    pathway: Pathway | None


@dataclass(frozen=True, slots=True)
class _Shape:
    version: CrdVersion
    settings: Settings
    ids: Ids


def cards(
    advised: Sequence[Advised], call: HookCall, settings: Settings, registry: PolicyRegistry, ids: Ids
) -> list[Json]:
    """What to do first, what to read second; as many as the client wants, none of a kind that it switched off."""
    shape = _Shape(call.version, settings, ids)
    wanted: list[Json] = []
    if call.configuration.wants(CLAIM):
        wanted += _next_steps(advised, shape, registry)
    if call.configuration.wants(GUIDELINE):
        wanted += _policy_pages(advised, shape)
    return wanted[: call.configuration.max_cards]


def _next_steps(advised: Sequence[Advised], shape: _Shape, registry: PolicyRegistry) -> Iterator[Json]:
    """Instructions cards, one per form (text only: no links, no suggestions)."""
    for policy, pathway in dict.fromkeys((a.policy.ref, a.pathway) for a in advised if a.pathway):
        same = [a for a in advised if (a.policy.ref, a.pathway) == (policy, pathway)]
        drug = same[0].policy.drug.display
        form = registry.loaded(same[0].policy).questionnaires.get(pathway.questionnaire if pathway else "", {})
        title = form.get("title") or "prior authorization form"
        card = _card(shape, CLAIM, f"{drug}: complete the prior authorization form before treatment", same)
        card["detail"] = (
            f'For {drug}: open the form "{title}" from this order. It opens prefilled from the chart; confirm or '
            f"complete the answers and submit it as a prior authorization request. An answer follows at once, or "
            f"after review. Questions: {shape.settings.payer_name}, {shape.settings.payer_phone}."
        )
        yield card


def _policy_pages(advised: Sequence[Advised], shape: _Shape) -> Iterator[Json]:
    """External reference cards, one per policy (only absolute links, never to a portal: CRD 2.2.1 resp-17)."""
    for ref in dict.fromkeys(a.policy.ref for a in advised):
        same = [a for a in advised if a.policy.ref == ref]
        policy = same[0].policy
        card = _card(shape, GUIDELINE, f"{policy.drug.display}: coverage policy {policy.document}", same)
        card["detail"] = f"{policy.title}: the criteria for {policy.drug.display}, in the payer's words."
        url = policy.source_url or shape.settings.payer_website
        card["links"] = [{"label": f"Policy {policy.document}", "url": url, "type": "absolute"}]
        yield card


def _card(shape: _Shape, topic: str, summary: str, about: Sequence[Advised]) -> Json:
    references = list(dict.fromkeys(a.reference for a in about))
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
        "extension": {CRD_JSON_ASSOCIATED_RESOURCE: linked},
    }

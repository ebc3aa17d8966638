"""The adaptive form of a policy, made from its standard form: in the package, and in a response."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from service.dtr.versions import Shape
from service.fhir.build import Json, extension, narrative
from service.fhir.canonical import (
    ARTIFACT_VERSION_ALGORITHM,
    DTR_ADAPTIVE_QUESTIONNAIRE,
    DTR_ADAPTIVE_SEARCH_QUESTIONNAIRE,
    SDC_ADAPTIVE,
    SDC_INITIAL_EXPRESSION,
)
from service.form.adaptive import SUFFIX, adaptive_url
from service.form.pages import pages
from service.form.questionnaire import Form, read_form
from service.policy.model import LinkId
from service.ports import LoadedPolicy

# Every question of our forms is a clinical one: with the last of them the clinical part ends (2.2.0 spec-39). A
# question for administrators would have to come after this.
_END: Final[Json] = {
    "linkId": "clinical-questions-complete",
    "type": "display",
    "text": "These are the last clinical questions of this form.",
}
_SO_FAR: Final = "-so-far"


@dataclass(frozen=True, slots=True, eq=False)
class AdaptiveForm:
    """A standard form as it is asked page by page.

    `questionnaire` is the standard form as given out, with the sentence that ends the clinical part. `base` is the
    adaptive form's own canonical as given out; `service` the FHIR base whose $next-question asks.
    """

    questionnaire: Json
    form: Form
    pages: tuple[tuple[LinkId, ...], ...]
    attested: frozenset[LinkId]
    base: str
    service: str
    shape: Shape

    def so_far(self, link_ids: Collection[LinkId], contained_id: str) -> Json:
        """The contained Questionnaire with these questions (dtr-questionnaire-adapt of the version)."""
        copied = {k: v for k, v in self.questionnaire.items() if k not in ("item", "url", "id", "meta", "text")}
        extensions = copied["extension"]
        if self.shape.anonymous_adaptive:
            # The profile of 2.0.1 takes neither url nor version, and wants a narrative.
            extensions = [e for e in extensions if e["url"] != ARTIFACT_VERSION_ALGORITHM]
            copied.pop("version", None)
            copied["text"] = _narrative(self.questionnaire)
        else:
            copied["url"] = adaptive_url(self.form.url) + _SO_FAR
        every = len(link_ids) == len(self.form.questions)
        last = set(self.pages[-1]) & set(link_ids) if self.pages else set()
        items = _kept(self.questionnaire["item"], set(link_ids), self.shape)
        ends = every or bool(last)
        items = [item for item in items if ends or item["linkId"] != _END["linkId"]] if link_ids else []
        return {
            "resourceType": "Questionnaire",
            "id": contained_id,
            "meta": {"profile": [DTR_ADAPTIVE_QUESTIONNAIRE]},
            **copied,
            "extension": [*extensions, extension(SDC_ADAPTIVE, valueUrl=self.service)],
            "derivedFrom": [self.base],
            **({"item": items} if items else {}),
        }

    def prefillable(self) -> tuple[LinkId, ...]:
        """The first question that the chart may fill, where the version's package shows one (else none).

        2.2.0 allows no item there; Inferno's kit for 2.0.1 looks for a population expression in it.
        """
        if not self.shape.anonymous_adaptive:
            return ()
        filled = _filled(self.questionnaire["item"])
        return next(((link_id,) for page in self.pages for link_id in page if link_id in filled), ())


def adaptive_form(
    loaded: LoadedPolicy, standard: Json, shape: Shape, *, base: str, service: str
) -> AdaptiveForm | None:
    """None for a form that belongs to no pathway. `standard` is the form as given out."""
    pathway = loaded.policy.pathway_of_form(standard["url"])
    if pathway is None:
        return None
    questionnaire = {**standard, "item": [*standard["item"], _END]}
    form = read_form(questionnaire, loaded.value_sets)
    return AdaptiveForm(
        questionnaire=questionnaire,
        form=form,
        pages=pages(form, pathway),
        attested=loaded.policy.attested,
        base=base,
        service=service,
        shape=shape,
    )


def search_form(adaptive: AdaptiveForm) -> Json:
    """The Questionnaire that a package holds: dtr-questionnaire-adapt-search of the version."""
    standard = adaptive.questionnaire
    copied = {k: v for k, v in standard.items() if k not in ("item", "url", "id", "meta", "text", "name")}
    items = _kept(standard["item"], set(adaptive.prefillable()), adaptive.shape)
    items = [item for item in items if item["linkId"] != _END["linkId"]] if adaptive.prefillable() else []
    return {
        "resourceType": "Questionnaire",
        "id": standard["id"] + SUFFIX,
        "meta": {"profile": [DTR_ADAPTIVE_SEARCH_QUESTIONNAIRE]},
        "text": _narrative(standard),
        **copied,
        "extension": [*copied["extension"], extension(SDC_ADAPTIVE, valueUrl=adaptive.service)],
        "url": adaptive_url(standard["url"]),
        "name": f"{standard['name']}Adaptive",
        **({"item": items} if items else {}),
    }


def _kept(items: Iterable[Json], link_ids: set[LinkId], shape: Shape) -> list[Json]:
    """The named questions with the groups around them and the texts beside them."""
    kept: list[Json] = []
    for item in items:
        inner = _kept(item.get("item") or (), link_ids, shape)
        of_group = item["type"] == "group" and any(each["type"] != "display" for each in inner)
        if item["type"] == "display" or of_group or item["linkId"] in link_ids:
            left_out = {"item"} if shape.enable_when_in_adaptive else {"item", "enableWhen", "enableBehavior"}
            copied = {name: value for name, value in item.items() if name not in left_out}
            kept.append({**copied, **({"item": inner} if inner else {})})
    return kept


def _filled(items: Iterable[Json]) -> set[LinkId]:
    found: set[LinkId] = set()
    for item in items:
        if any(e["url"] == SDC_INITIAL_EXPRESSION for e in item.get("extension") or ()):
            found.add(LinkId(item["linkId"]))
        found |= _filled(item.get("item") or ())
    return found


def _narrative(standard: Json) -> Json:
    return narrative(f"{standard['title']}\nIts questions follow from the answers, a few at a time.")

"""A launch becomes an open form: the payer's package, filled from the chart, or a draft taken up again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from service.dtr.adaptive import AdaptiveForm
from service.dtr.app.asking import Asked, Asking, begun, taken_up
from service.dtr.app.context import LaunchContext
from service.dtr.app.documents import Offer, offers
from service.dtr.app.drafts import Draft, find_draft, form_of, retire
from service.dtr.app.records import Matter, Parties, read_at, read_chart, read_matter, read_parties
from service.dtr.held import held_items, held_responses
from service.dtr.merging import merged
from service.dtr.package import Packager
from service.dtr.populate import Chart, ChartEvidence, ChartLogic, Populated, populate
from service.dtr.request import AskedForm, Given, PackageRequest
from service.ehr.writing import WritingEhr
from service.errors import MissingElement, NotFound, PrefetchMissing
from service.fhir.build import Json
from service.fhir.canonical import CRD_COVERAGE_INFORMATION, split_canonical
from service.form.adaptive import answered_form
from service.form.questionnaire import Form, read_form
from service.policy.model import LinkId
from service.ports import Caller, Clock, LoadedPolicy, PolicyRegistry, Resource

_EXPIRED: Final = (
    "The draft in the EHR answers an older form, which is no longer in use. It was closed; please answer this one."
)
_PARTLY: Final = "The EHR did not give all records ({0}). Questions that they would answer are left to you."

_Package = dict[str, list[Json]]
"""A package's resources by type."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A form on somebody's screen. `items` is what stood in it when it was last saved or opened.

    `base` is the EHR's FHIR base; `draft` what the EHR holds of it; `notices` what the user must know,
    `offers` the documents of the chart; `asking` how far an adaptive form has come.
    """

    base: str
    matter: Matter
    parties: Parties
    author: Json
    loaded: LoadedPolicy
    questionnaire: Resource
    form: Form
    value_sets: tuple[Resource, ...]
    conditions: tuple[Resource, ...]
    skeleton: Json
    items: tuple[Json, ...]
    evidence: Mapping[LinkId, tuple[ChartEvidence, ...]]
    draft: Draft | None
    notices: tuple[str, ...]
    offers: tuple[Offer, ...]
    asking: Asking | None = None


@dataclass(frozen=True, slots=True)
class Forms:
    """What an order has several of: canonical and title of each, for the user to pick from."""

    offered: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Shown:
    """What stands on the screen: the form, its answers, and the response that both belong to."""

    questionnaire: Resource
    items: tuple[Json, ...]
    skeleton: Json
    asking: Asking | None


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens forms; `logic` reads charts, `packager` is the payer's own operation."""

    packager: Packager
    registry: PolicyRegistry
    logic: ChartLogic
    clock: Clock

    async def open(
        self, ehr: WritingEhr, patient: str, user: str | None, said: LaunchContext, caller: Caller
    ) -> Opened | Forms:
        """The form for the launch's order, or those to pick from where the launch names none of several.

        PrefetchMissing, in the payer's words, when there is none to fill.
        """
        if said.order is None:
            raise MissingElement("The launch names no order. Pick one.")
        matter = await read_matter(ehr, patient, said.order, said.coverage)
        packages = await self._packages(matter, said, caller)
        package = _chosen(packages, said.questionnaire)
        if package is None:
            return Forms(tuple(_named(each) for each in packages))
        skeleton = package["QuestionnaireResponse"][0]
        found = self.registry.questionnaire(answered_form(skeleton) or "")
        if found is None:
            raise NotFound("This form is none that can be filled here.")
        chart, parties, author, (draft, old), offered = await asyncio.gather(
            read_chart(ehr, matter, package.get("Library", ())),
            read_parties(ehr, matter),
            _author(ehr, user),
            find_draft(ehr, patient, (said.response, said.order), form_of(skeleton)),
            offers(ehr, patient),
        )
        whole, filled = await self._filled(package, found[0], Chart(chart.records, patient))
        notices = [*filled.problems, *([_PARTLY.format(", ".join(chart.unread))] if chart.unread else [])]
        if old is not None:
            await retire(ehr, old)
            notices.append(_EXPIRED)
        if draft is not None:
            notices.append(_resumed(draft))
        known = skeleton.get("item") or await self._held(package, said, caller)
        shown = self._shown(package, draft, merged(whole, known, filled.items))
        return Opened(
            base=ehr.base,
            matter=matter,
            parties=parties,
            author=author,
            loaded=found[0],
            questionnaire=shown.questionnaire,
            form=read_form(shown.questionnaire),
            value_sets=tuple(package.get("ValueSet", ())),
            conditions=tuple(record for record in chart.records if record["resourceType"] == "Condition"),
            skeleton=shown.skeleton,
            items=shown.items,
            evidence=filled.evidence,
            draft=draft,
            notices=tuple(notices),
            offers=offered,
            asking=shown.asking,
        )

    async def _filled(self, package: _Package, loaded: LoadedPolicy, chart: Chart) -> tuple[Resource, Populated]:
        """The form with all its questions, and what the records answer of them."""
        adaptive = self._adaptive(package)
        whole = adaptive.questionnaire if adaptive else package["Questionnaire"][0]
        origin = self.packager.shape.origins["client"]
        return whole, await populate(loaded, whole, chart, logic=self.logic, origin=origin, now=self.clock.now())

    async def _held(self, package: _Package, said: LaunchContext, caller: Caller) -> Sequence[Json]:
        """What we hold of a pended case, of all questions of an adaptive form: its package asks none yet."""
        sources, skeleton = self.packager.sources, package["QuestionnaireResponse"][0]
        content = sources.shelf.content(answered_form(skeleton) or "")
        if self._adaptive(package) is None or content is None:
            return ()
        responses = await held_responses(said.assertion, caller, sources.store, sources.settings)
        return held_items(content, responses, skeleton["subject"], self.packager.shape.origins["server"])

    def _shown(self, package: _Package, draft: Draft | None, filled: tuple[Json, ...]) -> _Shown:
        """What stands on the screen at first: the draft where there is one."""
        adaptive, skeleton = self._adaptive(package), package["QuestionnaireResponse"][0]
        if adaptive is None:
            items = tuple(draft.resource.get("item") or ()) if draft else filled
            return _Shown(package["Questionnaire"][0], items, skeleton, None)
        shelf = self.packager.sources.shelf
        asked: Asked | None = taken_up(skeleton, draft.resource, adaptive, filled) if draft else None
        asked = asked or begun(skeleton, adaptive, filled, shelf)
        return _Shown(asked.questionnaire, asked.items, asked.skeleton, asked.asking)

    def _adaptive(self, package: _Package) -> AdaptiveForm | None:
        return self.packager.sources.shelf.adaptive(form_of(package["QuestionnaireResponse"][0]))

    async def _packages(self, matter: Matter, said: LaunchContext, caller: Caller) -> list[_Package]:
        """At least one package: its resources by type."""
        # A form that the launch names is asked for besides: it goes first where the order has another.
        asked = (AskedForm(said.questionnaire, "appContext", "the form of the launch"),) if said.questionnaire else ()
        request = PackageRequest(
            coverages=(Given(matter.coverage, "Coverage", "the coverage"),),
            orders=(Given(matter.order, "Order", "the order"),),
            referenced=(matter.medication,) if matter.medication else (),
            forms=asked,
            context=said.assertion or _assertion(matter.order),
            changed_since=None,
        )
        try:
            answer = await self.packager.answer(request, caller)
        except NotFound:
            # An assertion of another client, or one that is no longer kept: the order itself says what is needed.
            answer = await self.packager.answer(replace(request, context=None), caller)
        found = _by_type(answer)
        if not found:
            raise PrefetchMissing(" ".join(_remarks(answer)) or "The payer has no form for this order.")
        return found


async def _author(ehr: WritingEhr, user: str | None) -> Json:
    """A Reference to whoever uses the app; the EHR's fhirUser, with the name where it can be read."""
    named = ehr.named(user) if user else None
    if named is None:
        return {"display": "A user of the EHR"}
    person = await read_at(ehr, "/".join(named))
    name = person_name(person) if person else ""
    return {"reference": "/".join(named), **({"display": name} if name else {})}


def person_name(person: Resource) -> str:
    """A person's name as it is written."""
    names = person.get("name") or [{}]
    name = next((each for each in names if each.get("use") == "official"), names[0])
    parts = [*name.get("prefix", ()), *name.get("given", ()), name.get("family", "")]
    return str(name.get("text") or " ".join(part for part in parts if part)).strip()


def _resumed(draft: Draft) -> str:
    by = (draft.resource.get("author") or {}).get("display")
    when = str(draft.resource.get("authored", ""))[:10]
    return f"This is the draft that {by or 'a user of the EHR'} saved in the EHR on {when}."


def _assertion(order: Resource) -> str | None:
    """The coverage-assertion-id that CRD left on the order."""
    for held in order.get("extension") or ():
        if held.get("url") == CRD_COVERAGE_INFORMATION:
            for part in held.get("extension") or ():
                if part.get("url") == "coverage-assertion-id" and isinstance(part.get("valueString"), str):
                    return str(part["valueString"])
    return None


def _chosen(packages: list[_Package], wanted: str | None) -> _Package | None:
    """The package of the form that is wanted; the only one whatever is wanted; None when somebody must pick."""
    if len(packages) == 1:
        return packages[0]
    named = split_canonical(wanted)[0] if wanted else None
    return next((each for each in packages if split_canonical(_named(each)[0])[0] == named), None)


def _named(package: _Package) -> tuple[str, str]:
    canonical = form_of(package["QuestionnaireResponse"][0])
    return canonical, str(package["Questionnaire"][0].get("title") or canonical)


def _by_type(answer: Json) -> list[_Package]:
    bundles = [answer] if answer.get("resourceType") == "Bundle" else []
    bundles += [part["resource"] for part in answer.get("parameter", ()) if _is_bundle(part.get("resource"))]
    found = []
    for package in bundles:
        by_type: _Package = {}
        for entry in package["entry"]:
            by_type.setdefault(entry["resource"]["resourceType"], []).append(entry["resource"])
        found.append(by_type)
    return found


def _is_bundle(resource: Any) -> bool:
    return isinstance(resource, Mapping) and resource.get("resourceType") == "Bundle"


def _remarks(answer: Json) -> Sequence[str]:
    return [
        issue["diagnostics"]
        for part in answer.get("parameter", ())
        for issue in (part.get("resource") or {}).get("issue", ())
        if "diagnostics" in issue
    ]

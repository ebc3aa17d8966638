"""$questionnaire-package: each chosen form with its logic, its value sets and a draft of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from typing import Any

from service.dtr.coverage import require_ours
from service.dtr.draft import About, Draft, draft_response
from service.dtr.held import held_items, held_responses
from service.dtr.merging import merged
from service.dtr.order import reference_to, subject_of
from service.dtr.populate import Chart, ChartLogic, Populated, populate
from service.dtr.request import PackageRequest
from service.dtr.select import Chosen, Sources, choose_forms
from service.dtr.shelf import Content
from service.dtr.versions import Shape
from service.errors import MissingElement
from service.fhir.build import Json, bundle, entry, parameter, parameters
from service.fhir.canonical import DTR_PACKAGE_BUNDLE, DTR_PACKAGE_OUTPUT
from service.fhir.outcome import issue, outcome
from service.policy.dates import PartialDate
from service.ports import Caller, Clock, Ids, Resource


@dataclass(frozen=True, slots=True)
class _Occasion:
    """For whom and when a package is made, and the responses that we hold of the case it is asked for."""

    patient: Mapping[str, Any]
    held: tuple[Resource, ...]
    now: datetime


@dataclass(frozen=True, slots=True)
class Packager:
    """What makes packages in one version's shape."""

    shape: Shape
    sources: Sources
    logic: ChartLogic
    clock: Clock
    ids: Ids

    async def answer(self, request: PackageRequest, caller: Caller) -> Json:
        """Parameters with packages and remarks; in 2.0.1 one package without remarks is the Bundle itself.

        BusinessRule for a coverage of another payer, NotFound for a context that is not this client's,
        MissingElement when neither coverage nor order says who the patient is.
        """
        now = self.clock.now()
        for coverage in request.coverages:
            require_ours(coverage, request.referenced, self.sources.settings)
        request, patient, issues = _for_one_patient(request)
        choice = await choose_forms(request, caller, self.sources, now.date())
        issues += choice.issues
        held = await held_responses(request.context, caller, self.sources.store, self.sources.settings)
        changed = [chosen for chosen in choice.forms if _changed(chosen.content, request.changed_since)]
        bundles = []
        for chosen in changed:
            package, remarks = await self._package(chosen, request, _Occasion(patient, held, now))
            bundles.append(package)
            issues += remarks
        if choice.forms and not changed:
            text = "Nothing in the forms asked for, or in what they need, has changed since then."
            issues += (issue("information", "informational", text),)
        return _output(bundles, issues, self.shape)

    async def _package(
        self, chosen: Chosen, request: PackageRequest, occasion: _Occasion
    ) -> tuple[Json, tuple[Json, ...]]:
        content, patient, now = chosen.content, occasion.patient, occasion.now
        origin = self.shape.origins["server"]
        populated = await populate(
            content.loaded,
            content.questionnaire,
            _chart(request, patient),
            logic=self.logic,
            origin=origin,
            now=now,
        )
        items = populated.items
        # An adaptive form's questions are not there yet.
        if occasion.held and content.adaptive is None:
            known = held_items(content, occasion.held, patient, origin)
            items = merged(content.questionnaire, known, items)
        draft = Draft(
            id=self.ids.new(),
            questionnaire=self.sources.shelf.canonical(content),
            about=About(patient, _coverages(request), chosen.orders),
            items=items,
            authored=now,
            contained=_so_far(content),
        )
        response = draft_response(draft, self.shape)
        entries = [
            self._entry(content.questionnaire),
            entry(f"urn:uuid:{response['id']}", response),
            *(self._entry(resource) for resource in (*content.libraries, *content.value_sets)),
        ]
        stamp = now.isoformat(timespec="milliseconds")
        package = bundle("collection", entries, meta={"profile": [DTR_PACKAGE_BUNDLE]}, timestamp=stamp)
        return package, _remarks(content, populated)

    def _entry(self, resource: Json) -> Json:
        base = self.sources.settings.base_url + self.shape.base_path
        return entry(f"{base}/{resource['resourceType']}/{resource['id']}", resource)


def _so_far(content: Content) -> Json | None:
    adaptive = content.adaptive
    if adaptive is None:
        return None
    return adaptive.so_far(adaptive.prefillable(), content.questionnaire["id"])


def _for_one_patient(request: PackageRequest) -> tuple[PackageRequest, Mapping[str, Any], tuple[Json, ...]]:
    """The request with the orders of one patient, the Reference to that patient, and what was left out."""
    subjects = [(order, subject_of(order.resource)) for order in request.orders]
    beneficiary = request.coverages[0].resource.get("beneficiary")
    named = [subject for subject in (*(s for _, s in subjects), beneficiary) if subject and not _is_local(subject)]
    if not named:
        raise MissingElement(
            "Neither order nor coverage refers to the patient. Send Coverage.beneficiary or the order's subject.",
            expression=(f"{request.coverages[0].expression}.beneficiary",),
        )
    patient = named[0]
    foreign = [order for order, subject in subjects if subject and _differ(subject, patient)]
    issues = [
        issue(
            "warning",
            "business-rule",
            f"{order.name} is for another patient and was left out. Send one request for each patient.",
            (f"{order.expression}.subject",),
        )
        for order in foreign
    ]
    if beneficiary and _differ(beneficiary, patient):
        text = "The coverage's beneficiary is another patient than the order's. Check that they belong together."
        issues.append(issue("warning", "business-rule", text, (f"{request.coverages[0].expression}.beneficiary",)))
    return replace(request, orders=tuple(o for o in request.orders if o not in foreign)), patient, tuple(issues)


def _coverages(request: PackageRequest) -> tuple[Mapping[str, Any], ...]:
    return tuple(reference_to(c.resource) or {"display": "A coverage without an id"} for c in request.coverages)


def _is_local(reference: Mapping[str, Any]) -> bool:
    """Whether it points into the resource that holds it, so that a response could not repeat it."""
    return str(reference.get("reference", "")).startswith("#")


def _differ(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two literal references surely mean two patients; an address before Type/id does not count."""
    ends = {_last_step(r) for r in (one, other) if "reference" in r and not _is_local(r)}
    return len(ends) == 2


def _last_step(reference: Mapping[str, Any]) -> str:
    """The id, or UUID, at the end of a literal reference."""
    text = str(reference.get("reference", "")).partition("/_history")[0]
    return text.rpartition("/")[2].rpartition(":")[2]


def _chart(request: PackageRequest, patient: Mapping[str, Any]) -> Chart | None:
    """The records that came with the request, if the patient is among them."""
    patient_id = _last_step(patient)
    contained: list[Resource] = []
    for order in request.orders:
        contained += [r for r in order.resource.get("contained") or () if r.get("resourceType") == "Patient"]
    orders = tuple(order.resource for order in request.orders)
    chart = Chart((*request.referenced, *orders, *contained), patient_id)
    return chart if patient_id and chart.holds_patient else None


def _changed(content: Content, since: datetime | None) -> bool:
    """Whether anything in the package may be newer; what has no date may be."""
    if since is None:
        return True
    return any(_may_be_after(resource.get("date"), since) for resource in content.resources)


def _may_be_after(written: Any, since: datetime) -> bool:
    if not isinstance(written, str):
        return True
    if "T" in written:
        moment = datetime.fromisoformat(written)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) > since
    day = PartialDate.parse(written)
    # A date covers its whole day, month or year.
    return day is None or datetime.combine(day.latest(), time.max, UTC) > since


def _remarks(content: Content, populated: Populated) -> tuple[Json, ...]:
    remarks = [
        issue("warning", "not-found", f"The form depends on {canonical}, which is not available here.")
        for canonical in content.absent
    ]
    remarks += [
        issue("information", "too-costly", f"{canonical} is large and was left out: expand it with ValueSet/$expand.")
        for canonical in content.large
    ]
    remarks += [issue("warning", "processing", problem) for problem in populated.problems]
    if populated.dropped:
        count = len(populated.dropped)
        text = f"Records left out, because they are not surely about the patient of the order: {count}."
        remarks.append(issue("warning", "business-rule", text))
    return tuple(remarks)


def _output(bundles: list[Json], issues: tuple[Json, ...], shape: Shape) -> Json:
    if shape.bare_bundle and len(bundles) == 1 and not issues:
        return bundles[0]
    return parameters(
        *(parameter(shape.package_parameter, resource=package) for package in bundles),
        parameter(shape.outcome_parameter, resource=outcome(*issues)) if issues else None,
        profile=DTR_PACKAGE_OUTPUT,
    )

"""The QuestionnaireResponse in the EHR: found again, saved over what was read, closed when its form is out of use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.dtr.app.records import is_about, read_at
from service.ehr.writing import WritingEhr
from service.errors import Conflict, EhrUnavailable
from service.fhir.build import Json
from service.fhir.canonical import DTR_CONTEXT, split_canonical
from service.form.adaptive import derived_from
from service.ports import Resource


@dataclass(frozen=True, slots=True)
class Draft:
    """A response as the EHR holds it, and the version that was read or written (None: the EHR keeps none)."""

    resource: Resource
    version: str | None


async def find_draft(
    ehr: WritingEhr, patient: str, named: tuple[str | None, str], questionnaire: str
) -> tuple[Draft | None, Draft | None]:
    """The draft in progress for this form and order, and one for another version of the form.

    `named` are the response that the launch names, which goes first, and the order.
    """
    response, order = named
    found = [read] if (read := await read_at(ehr, response)) else await _search(ehr, patient)
    drafts = [
        Draft(each, (each.get("meta") or {}).get("versionId"))
        for each in sorted(found, key=lambda each: str(each.get("authored", "")), reverse=True)
        if each.get("resourceType") == "QuestionnaireResponse"
        and each.get("status") == "in-progress"
        and is_about(ehr, each, patient)
        and (_is_for(ehr, each, order) or response is not None)
    ]
    url, version = split_canonical(questionnaire)
    own = [draft for draft in drafts if split_canonical(form_of(draft.resource))[0] == url]
    current = [d for d in own if split_canonical(form_of(d.resource))[1] in (None, version)]
    others = [draft for draft in own if draft not in current]
    return (current[0] if current else None), (others[0] if others else None)


def form_of(response: Resource) -> str:
    """The canonical of the form that a response answers: an adaptive one stands behind the form that it contains."""
    canonical = str(response.get("questionnaire", ""))
    return (derived_from(response) or "") if canonical.startswith("#") else canonical


async def save(ehr: WritingEhr, response: Json, before: Draft | None) -> Draft:
    """Creates or updates; Conflict when somebody else saved since it was read. What the EHR now holds."""
    if before is None:
        logical_id = await ehr.create({name: value for name, value in response.items() if name != "id"})
    else:
        logical_id = str(before.resource["id"])
        await ehr.update({**response, "id": logical_id}, before.version)
    held = await read_at(ehr, f"QuestionnaireResponse/{logical_id}")
    version = (held.get("meta") or {}).get("versionId") if held else None
    return Draft({**response, "id": logical_id}, version)


async def retire(ehr: WritingEhr, draft: Draft) -> None:
    """Stops a draft whose form is no longer in use; the EHR may not let us, and then it stays."""
    try:
        await ehr.update({**draft.resource, "status": "stopped"}, draft.version)
    except (EhrUnavailable, Conflict):
        return


async def _search(ehr: WritingEhr, patient: str) -> tuple[Resource, ...]:
    try:
        found = await ehr.search("QuestionnaireResponse", ("patient", patient), ("status", "in-progress"))
    except EhrUnavailable:
        return ()
    return found.resources


def _is_for(ehr: WritingEhr, response: Mapping[str, Any], order: str) -> bool:
    wanted = ehr.named(order)
    return any(
        ehr.named(str((held.get("valueReference") or {}).get("reference", ""))) == wanted
        for held in response.get("extension") or ()
        if held.get("url") == DTR_CONTEXT
    )

"""Which QuestionnaireResponses count for a line, and for which pathway (contract.md, "Which response counts")."""

from __future__ import annotations

from dataclasses import dataclass

from service.determine.request import PriorAuthRequest, RequestLine
from service.fhir.canonical import split_canonical
from service.form.adaptive import answered_form
from service.form.answers import Reading, merge, read_answers
from service.form.questionnaire import Form, read_form
from service.form.validate import ERROR, validate
from service.policy.dates import PartialDate
from service.policy.decision import Obstacle
from service.policy.model import INITIAL, Pathway, PathwayName, Policy
from service.ports import LoadedPolicy, Resource


@dataclass(frozen=True, slots=True)
class Counted:
    """The answers that count, the pathway they are for, and what was set aside."""

    pathway: Pathway
    form: Form
    reading: Reading
    responses: tuple[Resource, ...]
    remarks: tuple[str, ...]


def count_responses(request: PriorAuthRequest, line: RequestLine, loaded: LoadedPolicy) -> Counted:
    """Reads the line's responses. Without one that counts, the initial form stands there unanswered."""
    policy = loaded.policy
    remarks: list[str] = []
    counting: list[tuple[Pathway, Resource]] = []
    for response in line.responses:
        pathway = _pathway(response, request, loaded)
        if isinstance(pathway, str):
            remarks.append(pathway)
        else:
            counting.append((pathway, response))
    names = {pathway.name for pathway, _ in counting}
    name = INITIAL if INITIAL in names or not names else PathwayName(min(names))
    chosen = policy.pathways[name]
    forms = {
        p.name: read_form(loaded.questionnaires[p.questionnaire], loaded.value_sets) for p in policy.pathways.values()
    }
    for pathway, response in counting:
        remarks += _faults(forms[pathway.name], response, policy)
    readings = [read_answers(forms[pathway.name], response, policy.attested) for pathway, response in counting]
    empty = read_answers(forms[name], {"resourceType": "QuestionnaireResponse"}, policy.attested)
    return Counted(
        pathway=chosen,
        form=forms[name],
        reading=_within(forms[name], merge(readings)) if readings else empty,
        responses=tuple(response for _, response in counting),
        remarks=tuple(dict.fromkeys(remarks)),
    )


def response_obstacles(
    request: PriorAuthRequest, responses: tuple[Resource, ...], today: PartialDate, max_age_days: int
) -> tuple[Obstacle, ...]:
    """Why counting responses may be too old, undated, from the future, or not from the prescriber's side."""
    found: list[Obstacle] = []
    for response in responses:
        if _is_patients(response, request):
            text = "The questionnaire response was answered by the patient: the prescriber's own answers are needed."
            found.append(Obstacle("response-by-patient", text))
        authored = PartialDate.parse(str(response.get("authored", "")))
        if authored is None:
            found.append(
                Obstacle("response-undated", "The questionnaire response does not say when it was authored.")
            )
            continue
        if (request.created.latest() - authored.earliest()).days > max_age_days:
            text = f"The questionnaire response was authored more than {max_age_days} days before the request."
            found.append(Obstacle("response-too-old", text))
        if (authored.latest() - today.earliest()).days > 1:
            found.append(Obstacle("response-from-future", "The questionnaire response is dated in the future."))
    return tuple(dict.fromkeys(found))


def _is_patients(response: Resource, request: PriorAuthRequest) -> bool:
    """Whether it says that the patient answered (QuestionnaireResponse.source) or recorded it (author)."""
    people = [(response.get(element) or {}).get("reference") for element in ("source", "author")]
    return any(person in request.patient_references for person in people)


def _pathway(response: Resource, request: PriorAuthRequest, loaded: LoadedPolicy) -> Pathway | str:
    """The pathway that a response answers, or why it does not count."""
    if response.get("status") not in {"completed", "amended"}:
        return "A questionnaire response was not counted: its status is neither completed nor amended."
    subject = (response.get("subject") or {}).get("reference")
    if subject not in request.patient_references:
        return "A questionnaire response was not counted: its subject is not the request's patient."
    url, version = split_canonical(answered_form(response) or "")
    pathway = loaded.policy.pathway_of_form(url)
    if pathway is None or version not in {None, pathway.questionnaire_version}:
        return "A questionnaire response was not counted: it answers no form in force on the service date."
    return pathway


def _faults(form: Form, response: Resource, policy: Policy) -> list[str]:
    """Why answers in a response do not count, in words for a note."""
    found = validate(form, response, attested=policy.attested, asked=frozenset())
    return [each.text for each in found if each.severity == ERROR and each.link_id is not None]


def _within(form: Form, reading: Reading) -> Reading:
    """Only what the chosen form asks; answers to another form's questions do not enter."""
    return Reading(
        answers={key: value for key, value in reading.answers.items() if key in form.questions},
        doubts={key: value for key, value in reading.doubts.items() if key in form.questions},
        missing=frozenset(key for key in reading.missing if key in form.questions),
        remarks=reading.remarks,
    )

"""The payer's decision as a clinician reads it: a word, a number, a period, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from service.dtr.app.payer import PayerRefused
from service.fhir import canonical
from service.fhir.build import Json

# X12 306 review action codes, as PAS names them.
_WORDS: Final = {
    "A1": ("approved", "Approved"),
    "A2": ("modified", "Approved in part"),
    "A3": ("denied", "Denied"),
    "A4": ("pended", "Held for review"),
    "A6": ("modified", "Approved with changes"),
    "C": ("cancelled", "Cancelled"),
}
_UNKNOWN: Final = ("unknown", "No decision")
_ERROR: Final = ("error", "Could not be processed")
_INSTANT: Final = re.compile(r"\b(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2})(?::\d{2}(?:\.\d+)?)?Z")


@dataclass(frozen=True, slots=True)
class Note:
    """A numbered note of the payer."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """`status` is a word for styling and tests, `label` what is shown; `errors` where nothing was decided.

    `notes` are what the line points to; `remarks` the others, and deadlines, as those are nothing that is missing.

    `reference` is the payer's own number for a request that is not (yet) authorized. `case_id` names the
    ClaimResponse.
    """

    case_id: str
    status: str
    label: str
    number: str | None
    reference: str | None
    start: str | None
    end: str | None
    notes: tuple[Note, ...]
    remarks: tuple[Note, ...]
    errors: tuple[str, ...]


def read_decision(bundle: Json) -> Decision:
    """The decision in a PAS response Bundle; PayerRefused when it holds no ClaimResponse."""
    response = next(_claim_responses(bundle), None)
    if response is None:
        raise PayerRefused("The payer's answer holds no decision.")
    line: Json = next(iter(response.get("item", ())), {})
    status, label = _status(response, line)
    period = response.get("preAuthPeriod") or _extension(line, canonical.PAS_ITEM_PERIOD).get("valuePeriod", {})
    numbered = set(line.get("noteNumber", ()))
    said = [(note.get("number", 0), str(note.get("text", ""))) for note in response.get("processNote", ())]
    notes = [Note(number, _INSTANT.sub(r"\1, \2 UTC", text)) for number, text in said]
    missing = {number for number, text in said if number in numbered and not _INSTANT.search(text)}
    return Decision(
        case_id=response.get("id", ""),
        status=status,
        label=label,
        number=response.get("preAuthRef") or _action_number(line),
        reference=_extension(line, canonical.PAS_ADMINISTRATION_REFERENCE).get("valueString"),
        start=period.get("start"),
        end=period.get("end"),
        notes=tuple(note for note in notes if note.number in missing),
        remarks=tuple(note for note in notes if note.number not in missing),
        errors=tuple(_error_text(error) for error in response.get("error", ())),
    )


def inquiry_answers(answer: Json) -> Iterator[Json]:
    """The response Bundles of an inquiry: in Parameters (2.2.1), or the one Bundle itself (2.0.1)."""
    if answer.get("resourceType") == "Bundle":
        yield answer
    for part in answer.get("parameter", ()):
        if isinstance(part.get("resource"), dict) and part["resource"].get("resourceType") == "Bundle":
            yield part["resource"]


def decision_of(answer: Json, case_id: str) -> Decision | None:
    """What an inquiry says now about one case."""
    for bundle in inquiry_answers(answer):
        for response in _claim_responses(bundle):
            if response.get("id") == case_id:
                return read_decision({"entry": [{"resource": response}]})
    return None


def _claim_responses(bundle: Json) -> Iterator[Json]:
    for entry in bundle.get("entry", ()):
        if entry.get("resource", {}).get("resourceType") == "ClaimResponse":
            yield entry["resource"]


def _status(response: Json, line: Json) -> tuple[str, str]:
    for adjudication in line.get("adjudication", ()):
        action = _extension(adjudication, canonical.PAS_REVIEW_ACTION)
        code = _extension(action, canonical.PAS_REVIEW_ACTION_CODE).get("valueCodeableConcept", {})
        for coding in code.get("coding", ()):
            return _WORDS.get(coding.get("code"), _UNKNOWN)
    return _ERROR if response.get("outcome") == "error" or response.get("error") else _UNKNOWN


def _action_number(line: Json) -> str | None:
    for adjudication in line.get("adjudication", ()):
        number: str | None = _extension(_extension(adjudication, canonical.PAS_REVIEW_ACTION), "number").get(
            "valueString"
        )
        if number:
            return number
    return None


def _extension(element: Json, url: str) -> Json:
    return next((held for held in element.get("extension", ()) if held.get("url") == url), {})


def _error_text(error: Json) -> str:
    code = error.get("code", {})
    coded = next((c.get("display") or c.get("code") for c in code.get("coding", ())), None)
    return code.get("text") or coded or "The payer gave no reason."

"""The body of $submit-attachment: CDex 2.1.0 Parameters, read as far as a prior authorization needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from service.errors import BusinessRule, Fault, InvalidResource, MissingElement, TooLarge
from service.fhir.parse import StructureCheck
from service.pas.elements import Json, listed, object_of, text_of
from service.settings import Settings

MOST: Final = 50
"""Attachments in one call."""

_ANSWERS: Final = frozenset({"QuestionnaireResponse", "Bundle"})


@dataclass(frozen=True, slots=True)
class Sent:
    """What arrived for one control number. `answers` are QuestionnaireResponses and Bundles that may hold some."""

    control_number: str
    member: str
    contents: tuple[Json, ...]
    final: bool

    @property
    def answers(self) -> tuple[Json, ...]:
        return tuple(content for content in self.contents if content.get("resourceType") in _ANSWERS)


def read_sent(body: object, check: StructureCheck, settings: Settings) -> Sent:
    """InvalidResource or MissingElement for what is no such Parameters; BusinessRule for another payer or a claim."""
    parameters = listed(check.require(body, expected=frozenset({"Parameters"})), "parameter")
    if _one(parameters, "AttachTo", "valueCode") != "preauthorization":
        raise _rule("AttachTo", "must be preauthorization: attachments to claims are not taken here")
    payer = _identifier(parameters, "PayerId")
    if payer.get("value") != settings.payer_id or payer.get("system") not in {None, settings.payer_id_system}:
        raise _rule("PayerId", "is not ours")
    contents = _contents(parameters)
    final = next((one.get("valueBoolean") for one in parameters if one.get("name") == "Final"), True)
    return Sent(
        control_number=str(_identifier(parameters, "TrackingId")["value"]).strip(),
        member=str(_identifier(parameters, "MemberId")["value"]).strip(),
        contents=contents,
        # Whoever does not say is taken to be done.
        final=final is not False,
    )


def _contents(parameters: list[Json]) -> tuple[Json, ...]:
    attachments = [one for one in parameters if one.get("name") == "Attachment"]
    if len(attachments) > MOST:
        raise TooLarge(
            f"More than {MOST} attachments. Send them in several calls, with Final false but for the last."
        )
    contents = []
    for attachment in attachments:
        part = next((part for part in listed(attachment, "part") if part.get("name") == "Content"), {})
        resource = object_of(part, "resource")
        if resource is None:
            raise _missing("Attachment.Content")
        contents.append(resource)
    if not contents:
        raise _missing("Attachment")
    return tuple(contents)


def _identifier(parameters: list[Json], name: str) -> Json:
    found = _one(parameters, name, "valueIdentifier")
    if not isinstance(found, dict) or text_of(found, "value") is None:
        raise _missing(name)
    return found


def _one(parameters: list[Json], name: str, value: str) -> object:
    found = [one.get(value) for one in parameters if one.get("name") == name]
    if len(found) > 1:
        fault = Fault(_place(name), "is there more than once", "invalid")
        raise InvalidResource(f"{fault.expression} {fault.problem}.", faults=(fault,))
    if not found or found[0] is None:
        raise _missing(name)
    return found[0]


def _place(name: str) -> str:
    return f"Parameters.parameter.where(name='{name}')"


def _missing(name: str) -> MissingElement:
    fault = Fault(_place(name), "is mandatory and missing", "required")
    return MissingElement(f"{fault.expression} {fault.problem}.", faults=(fault,))


def _rule(name: str, problem: str) -> BusinessRule:
    fault = Fault(_place(name), problem, "business-rule")
    return BusinessRule(f"{fault.expression} {fault.problem}.", faults=(fault,))

"""What each emitted resource is judged by: the one table of profiles, by guide set, place and type."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from conformance.recording import Call, Json

GuideSet = Literal["2.0.1", "newest"]
# One version of a guide at a time. CRD, DTR and PAS 2.0.1 name SDC 3.0.0 and HRex 1.0.0, which are not to be had
# here: the versions at hand stand in for them. US Core 7.0.0 comes last, so its profiles are the unversioned ones.
PACKAGES: Final[Mapping[GuideSet, tuple[str, ...]]] = {
    "2.0.1": ("us-core-3.1.1", "hrex-1.2.0", "sdc-4.0.0", "crd-2.0.1", "dtr-2.0.1", "pas-2.0.1"),
    "newest": ("us-core-6.1.0", "us-core-7.0.0", "hrex-1.2.0", "sdc-4.0.0", "crd-2.2.1", "dtr-2.2.0", "pas-2.2.1"),
}
CRD: Final = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/"
DTR: Final = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/"
PAS: Final = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/"
BACKPORT: Final = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
SDC: Final = "http://hl7.org/fhir/uv/sdc/StructureDefinition/"

_BOTH: Final[tuple[GuideSet, ...]] = ("2.0.1", "newest")


@dataclass(frozen=True, slots=True)
class Rule:
    """Answers (or own requests) at a path, of a type, in these guide sets, must meet these profiles."""

    path: str
    type: str
    profiles: tuple[str, ...]
    sets: tuple[GuideSet, ...] = _BOTH
    request: bool = False


RULES: Final = (
    Rule(r"/Claim/\$submit$", "Bundle", (f"{PAS}profile-pas-response-bundle",)),
    Rule(r"/Claim/\$submit$", "Bundle", (f"{PAS}profile-pas-request-bundle",), request=True),
    Rule(r"/Claim/\$inquire$", "Bundle", (f"{PAS}profile-pas-inquiry-response-bundle",), ("2.0.1",)),
    Rule(r"/Claim/\$inquire$", "Parameters", (), ("newest",)),
    Rule(r"/Claim/\$inquire$", "Bundle", (f"{PAS}profile-pas-inquiry-request-bundle",), request=True),
    Rule(r"/ClaimResponse/", "ClaimResponse", (f"{PAS}profile-claimresponse",)),
    Rule(r"/CommunicationRequest/", "CommunicationRequest", (f"{PAS}profile-communicationrequest",)),
    Rule(r"/Task/", "Task", (f"{PAS}profile-task",)),
    Rule(r"/Subscription(/[^/]+)?$", "Subscription", (f"{PAS}profile-subscription",), ("newest",)),
    Rule(r"/Subscription(/[^/]+)?$", "Subscription", (), ("2.0.1",)),
    Rule(r"/\$status$", "Bundle", ()),
    Rule(r"^/notification", "Bundle", ()),
    Rule(r"/\$questionnaire-package$", "Parameters", (f"{DTR}dtr-qpackage-output-parameters",)),
    Rule(r"/\$questionnaire-package$", "Parameters", (f"{DTR}dtr-qpackage-input-parameters",), request=True),
    Rule(r"/\$questionnaire-package$", "Bundle", (f"{DTR}DTR-QPackageBundle",), ("2.0.1",)),
    Rule(r"/\$next-question$", "QuestionnaireResponse", (f"{DTR}dtr-questionnaireresponse-adapt",), ("newest",)),
    Rule(
        r"^/demo/fhir/", "QuestionnaireResponse", (f"{DTR}dtr-questionnaireresponse",), ("newest",), request=True
    ),  # drafts and answers that the app writes into the EHR
    Rule(r"^/demo/fhir/", "MedicationRequest", (f"{CRD}profile-medicationrequest",), ("newest",), request=True),
    Rule(r"/\$next-question$", "QuestionnaireResponse", (f"{DTR}dtr-questionnaireresponse",), ("2.0.1",)),
    Rule(r"/metadata$", "CapabilityStatement", ()),
    Rule(r"/ValueSet", "ValueSet", ()),
    Rule(r"/Library/", "Library", ()),
    Rule(r"/Questionnaire/[^/$]+-adaptive$", "Questionnaire", (f"{DTR}dtr-questionnaire-adapt-search",)),
    Rule(r"/Questionnaire/[^/$]+(?<!-adaptive)$", "Questionnaire", (f"{DTR}dtr-std-questionnaire",)),
    Rule(r"/(Library|ValueSet|Questionnaire)$", "Bundle", ()),
    Rule(r".", "OperationOutcome", ()),
)
# What our own requests carry, besides the whole: a Bundle's own verdict does not say which part is at fault.
_CORE: Final = "http://hl7.org/fhir/us/core/StructureDefinition/"
SENT: Final[Mapping[tuple[GuideSet, str], str]] = {
    ("2.0.1", "Condition"): f"{_CORE}us-core-condition",
    ("newest", "Condition"): f"{_CORE}us-core-condition-problems-health-concerns",
    **{
        (guides, kind): profile
        for guides in _BOTH
        for kind, profile in {
            "QuestionnaireResponse": f"{DTR}dtr-questionnaireresponse",
            "MedicationRequest": f"{PAS}profile-medicationrequest",
            "Coverage": f"{PAS}profile-coverage",
            "Patient": f"{PAS}profile-beneficiary",
        }.items()
    },
}
# An order that a hook gives back, by its type. 2.0.1 has one profile of Appointment, 2.2.1 one for each kind.
_APPOINTMENT: Final[Mapping[tuple[GuideSet, bool], str]] = {
    ("2.0.1", True): "profile-appointment",
    ("2.0.1", False): "profile-appointment",
    ("newest", True): "profile-appointment-with-order",
    ("newest", False): "profile-appointment-no-order",
}


@dataclass(frozen=True, slots=True)
class Job:
    """One resource to be judged. `name` says where it came from."""

    name: str
    guides: GuideSet
    resource: Json
    profiles: tuple[str, ...]


def jobs_of(calls: Iterable[Call]) -> list[Job]:
    """Each different thing that was emitted, once. Raises LookupError for an answer that no rule covers."""
    found: dict[str, Job] = {}
    for job in (job for call in calls for job in _of_call(call)):
        found.setdefault(json.dumps([job.guides, job.profiles, job.resource], sort_keys=True), job)
    return list(found.values())


def _of_call(call: Call) -> Iterator[Job]:
    if call.path.startswith("/cds-services"):
        yield from _hook(call)
    elif call.path.startswith("/demo/fhir/"):
        if call.ours and call.method in {"POST", "PUT"} and call.sent and "resourceType" in call.sent:
            yield from _of_resource(call, call.sent, request=True)
    elif not call.path.startswith(("/demo", "/dtr", "/review", "/health", "/metrics", "/.well-known")):
        for resource, request in ((call.answer, False), (call.sent if call.ours else None, True)):
            if resource and "resourceType" in resource:
                yield from _of_resource(call, resource, request)


def _of_resource(call: Call, resource: Json, request: bool) -> Iterator[Job]:
    guides = _guides(call, resource)
    kind = resource["resourceType"]
    rule = next(
        (
            rule
            for rule in RULES
            if rule.type == kind
            and rule.request == request
            and guides in rule.sets
            and re.search(rule.path, call.path)
        ),
        None,
    )
    if rule is None:
        raise LookupError(f"no profile is named for {kind} at {call.path} in {guides}")
    name = f"{guides} {call.method} {call.path} {'request ' if request else ''}{kind}"
    yield Job(name, guides, resource, rule.profiles)
    for held in (entry["resource"] for entry in resource.get("entry", ())) if request else ():
        if profile := SENT.get((guides, held["resourceType"])):
            yield Job(f"{name} {held['resourceType']}", guides, held, (profile,))


def _guides(call: Call, resource: Json) -> GuideSet:
    """By the address; a notification's own links tell."""
    return "2.0.1" if "/2.0.1/" in call.path + json.dumps(resource.get("entry", "")) else "newest"


def _hook(call: Call) -> Iterator[Job]:
    if call.answer is None or call.sent is None:
        return
    if "resourceType" in call.answer:
        yield Job(f"newest {call.path} {call.answer['resourceType']}", "newest", call.answer, ())
        return
    asked = call.sent.get("extension", {}).get("davinci-crd.requestedVersion", "2.0")
    guides: GuideSet = "2.0.1" if asked == "2.0" else "newest"
    for action in call.answer["systemActions"]:
        order = action["resource"]
        kind = order["resourceType"]
        profile = f"profile-{kind.lower()}"
        if kind == "Appointment":
            profile = _APPOINTMENT[guides, "basedOn" in order]
        yield Job(f"{guides} {call.path} {kind}", guides, order, (CRD + profile,))

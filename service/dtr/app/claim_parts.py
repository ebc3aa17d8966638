"""What every PAS request of ours is made of: codes, numbers, what it refers to. The demo's clinic uses it too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from service.fhir import canonical
from service.fhir.build import Json, code_concept, reference
from service.fhir.bundle import references
from service.ports import Resource

# Codes as the PAS 2.2.1 examples use them: Health Services Review, Initial, Medical Care, Physician's Report,
# Electronically Only.
REQUEST_TYPE: Final = code_concept(canonical.X12_REQUEST_CATEGORY, "HS", "Health Services Review")
INITIAL: Final = code_concept(canonical.X12_CERTIFICATION_TYPE, "I", "Initial")
MEDICAL_CARE: Final = code_concept(canonical.X12_SERVICE_TYPE, "1", "Medical Care")
REPORT: Final = code_concept(canonical.X12_REPORT_TYPE, "PY", "Physician's Report")
ELECTRONICALLY: Final = code_concept(canonical.X12_REPORT_TRANSMISSION, "EL", "Electronically Only")
ADDITIONAL: Final = code_concept(canonical.PAS_TEMP_CODES, "additionalInformation")
PRINCIPAL: Final = code_concept(canonical.PAS_TEMP_CODES, "principal")


@dataclass(frozen=True, slots=True)
class Numbers:
    """What makes a request this request: ids of Claim and Bundle, the trace number, and when it was made."""

    claim: str
    bundle: str
    trace: str
    made_at: datetime


def reachable(claim: Json, held: Mapping[str, Resource], base: str = "") -> Iterator[Json]:
    """What the claim refers to, directly or through others, each once (PAS 2.2.1 spec-13).

    `held` are resources by "Type/id"; `base` is an address that references may have before it.
    """
    seen: set[str] = set()
    waiting = [claim]
    while waiting:
        for _, named in references(waiting.pop(0)):
            target = named["reference"].removeprefix(f"{base}/")
            if target in held and target not in seen:
                seen.add(target)
                found = dict(held[target])
                waiting.append(found)
                yield found


def to(resource: Resource) -> Json:
    """A Reference to a resource of the same server."""
    return reference(f"{resource['resourceType']}/{resource['id']}")


def relation(claim: str) -> Json:
    """Claim.related of an update: the Claim that it changes (PAS 2.2.1 profile-claim-update)."""
    return {
        "claim": reference(claim),
        "relationship": code_concept(canonical.RELATED_CLAIM_RELATIONSHIP, "prior"),
    }


def instant(moment: datetime) -> str:
    """A FHIR instant, in UTC and whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

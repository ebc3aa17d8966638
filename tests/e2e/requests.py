"""Requests as providers send them, made by the policy cases' own builder."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from service.app.parts import Rules
from service.cases.bundle import request_bundle
from service.cases.table import Given

ANSWERS: dict[str, Any] = {
    "birth-date": "1958-02-03",
    "es-sclc": True,
    "progression-on-platinum": True,
    "step-up-dosing": True,
    "neurotoxicity-monitoring": True,
    "female-of-reproductive-potential": False,
}


def submission(rules: Rules, policy_id: str = "imdelltra", **changes: Any) -> dict[str, Any]:
    """A request for today plus ten days that meets every criterion unless `changes` say otherwise."""
    loaded = next(loaded for loaded in rules.registry.all() if loaded.policy.ref.id == policy_id)
    today = datetime.now(UTC).date()
    given = {
        "serviced": (today + timedelta(days=10)).isoformat(),
        "created": today.isoformat(),
        "birth_date": "1958-02-03",
        "diagnoses": ["C34.90"],
        "quantity": 61,
        "unit": "unit",
        "answers": ANSWERS,
        **changes,
    }
    bundle = request_bundle(Given.model_validate(given), loaded, rules.settings)
    bundle["identifier"] = {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:11111111-1111-4111-8111-111111111111"}
    return bundle


def for_member(bundle: dict[str, Any], member: str) -> dict[str, Any]:
    """The same request for another member."""
    changed = copy.deepcopy(bundle)
    for entry in changed["entry"]:
        if entry["resource"]["resourceType"] in {"Patient", "Coverage"}:
            entry["resource"]["identifier"][0]["value"] = member
    return changed


def review_action(reply: dict[str, Any], item: int = 0) -> str:
    """The X12 306 code of a line in a response Bundle."""
    adjudication = reply["entry"][0]["resource"]["item"][item]["adjudication"][0]
    action = next(part for part in adjudication["extension"] if part["url"].endswith("extension-reviewAction"))
    code = next(part for part in action["extension"] if part["url"].endswith("extension-reviewActionCode"))
    return str(code["valueCodeableConcept"]["coding"][0]["code"])

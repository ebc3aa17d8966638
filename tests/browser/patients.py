"""Demo patients that only these tests need: an empty chart, records that disagree, and texts that are scripts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.catalog.registry import HOME

HOSTILE = "<img src=x onerror=\"document.body.dataset.ran='yes'\">"
MONTH = "2025-05"
_SNOMED = "http://snomed.info/sct"
_Change = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]
_STORY = """
[[story]]
id = "{0}"
title = "{0}"
patient = "{0}"
expect = "{0}"
member = "DEMO-{0}"
answers = {{ }}
"""


def write_patients(folder: Path) -> None:
    """The demo's patients and ours."""
    shutil.copytree(HOME / "service" / "demo" / "patients", folder, dirs_exist_ok=True)
    text = (folder / "approves-at-once.json").read_text()
    stories = (folder / "stories.toml").read_text()
    made: dict[str, _Change] = {"empty": _empty, "conflict": _conflict, "hostile": _hostile, "second": _unchanged}
    made |= {"partial": _partial, "two-forms": _unchanged}
    for name, change in made.items():
        bundle = json.loads(text.replace("approves-at-once", name))
        resources = change([entry["resource"] for entry in bundle["entry"]])
        bundle["entry"] = [{"resource": resource} for resource in resources]
        (folder / f"{name}.json").write_text(json.dumps(bundle))
    own = "".join(_STORY.format(name) for name in made)
    first, *rest = stories.split("[[story]]")
    (folder / "stories.toml").write_text(first + own + "".join(f"[[story]]{part}" for part in rest))


def _unchanged(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return resources


def _empty(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    kept = [r for r in resources if r["resourceType"] in ("Patient", "Coverage", "MedicationRequest")]
    kept[0].pop("extension")
    kept[-1].pop("reasonReference")
    return kept


def _conflict(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Extensive stage in one record, stage 3 in another."""
    condition = next(r for r in resources if r["resourceType"] == "Condition")
    other = json.loads(json.dumps(condition))
    other["id"] = "conflict-condition-2"
    other["code"] = {
        "coding": [{"system": _SNOMED, "code": "67831000119107"}],
        "text": "Small cell carcinoma of lung, stage 3",
    }
    return [*resources, other]


def _partial(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first platinum is known by its month alone."""
    for resource in resources:
        if resource["id"] in ("partial-given-1", "partial-given-2"):
            resource["effectiveDateTime"] = MONTH
    return resources


def _hostile(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for resource in resources:
        if resource["resourceType"] == "Patient":
            resource["name"][0]["family"] = HOSTILE
        if resource["resourceType"] == "Condition":
            resource["code"]["text"] = HOSTILE
        if resource["resourceType"] in ("MedicationRequest", "MedicationAdministration"):
            resource["medicationCodeableConcept"]["text"] += HOSTILE
    return resources

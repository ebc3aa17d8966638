"""Launches as a CDS client's card makes them: with words of its own for the app (appContext)."""

from __future__ import annotations

import json
from urllib.parse import urlencode

from tests.browser.conftest import User


def launch_with(user: User, story: str, **said: str) -> None:
    """Signs the order and opens the app from a link whose appContext says this; whatever page comes."""
    user.start_over(story)
    user.sign(story)
    launch_again(user, story, **said)


def launch_again(user: User, story: str, **said: str) -> None:
    """The same for an order that has been signed."""
    said = {"order": f"MedicationRequest/{story}-order", "coverage": f"Coverage/{story}-coverage", **said}
    asked = {
        "launchUrl": f"{user.address}/dtr/launch",
        "parameters": {"patient": story, "appContext": json.dumps(said)},
    }
    answer = user.context.request.post(f"{user.address}/demo/fhir/_services/smart/Launch", data=asked)
    query = urlencode({"iss": f"{user.address}/demo/fhir", "launch": answer.json()["launch_id"]})
    user.page.goto(f"{user.address}/dtr/launch?{query}")

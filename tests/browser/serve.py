"""The service with further demo patients: python -m tests.browser.serve FOLDER serve --demo ..."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.__main__ import app
from service.demo import stories
from service.dtr.package import Packager
from service.dtr.request import AskedForm, PackageRequest
from service.ports import Caller

RENEWAL = "https://payer.example.org/fhir/Questionnaire/imdelltra-renewal"

_answer = Packager.answer


async def _with_renewal(self: Packager, request: PackageRequest, caller: Caller) -> Any:
    """For one of our patients the order has two forms, as where two of a payer's policies cover one order."""
    several = any("two-forms" in str(order.resource.get("subject")) for order in request.orders)
    forms = (*request.forms, AskedForm(RENEWAL, "questionnaire", "questionnaire")) if several else request.forms
    return await _answer(self, replace(request, forms=forms), caller)


if __name__ == "__main__":
    Packager.answer = _with_renewal  # type: ignore[method-assign]  # no policy of ours names two forms for an order
    stories._FOLDER = Path(sys.argv.pop(1))  # type: ignore[misc]  # a constant of the demo, other for these tests
    app()

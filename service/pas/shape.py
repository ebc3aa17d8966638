"""What differs between the PAS versions that are spoken: v201.py and v221.py each make one Shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from service.fhir.build import Json
from service.fhir.canonical import PAS_VERSIONS
from service.pas.codes import X12Codes
from service.policy.case import Case
from service.settings import Settings

Version = Literal["2.0.1", "2.2.1"]
NEWEST: Final = PAS_VERSIONS[0]


@dataclass(frozen=True, slots=True)
class Shape:
    """One guide version at the wire.

    `pended` and `mixed` are ClaimResponse.outcome when every line waits, and when some do. `error_element` and
    `provider_type` make extensions that are nested differently. `root_extensions` takes the Claim and the case
    (None for a refused inquiry). `inquiry_answer` wraps the Bundles of the hits; `trace_matches` says whether
    an inquiry's Claim.identifier narrows its hits. `tells_stay`, `adds_items` and `tells_whole` say whether there
    is a place for dates of a stay, for what is granted instead (addItem), and for the number and the providers of
    the whole.
    """

    version: Version
    base: str
    pended: str
    mixed: str
    error_element: Callable[[str, int], Json]
    provider_type: Callable[[Json], Json]
    revenue: Callable[[Json], Json]
    root_extensions: Callable[[Json, Case | None], list[Json]]
    inquiry_answer: Callable[[Sequence[Sequence[Json]], Callable[[list[Json]], Json], Json], Json]
    trace_matches: bool
    tells_stay: bool
    adds_items: bool
    tells_whole: bool


@dataclass(frozen=True, slots=True)
class Rendering:
    """What every answer is made with."""

    settings: Settings
    codes: X12Codes
    shape: Shape

    def own_url(self, resource_type: str, resource_id: str) -> str:
        """Where a resource of ours is read."""
        return f"{self.settings.base_url}{self.shape.base}/{resource_type}/{resource_id}"

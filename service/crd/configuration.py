"""What a client may switch off, in one list that discovery shows and answers obey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from service.fhir.build import Json

COVERAGE_INFO: Final = "coverage-info"
GUIDELINE: Final = "guideline"
CLAIM: Final = "claim"
MAX_CARDS: Final = "max-cards"
DEFAULT_MAX_CARDS: Final = 10

# CRD 2.2.1 dev-4 to dev-10: one Boolean per kind of answer, codes of the value set cardType where one fits.
OPTIONS: Final[tuple[Json, ...]] = (
    {
        "code": COVERAGE_INFO,
        "type": "boolean",
        "name": "Coverage Information",
        "description": "Whether an order is covered, needs prior authorization, and what must be documented for it",
        "default": True,
    },
    {
        "code": GUIDELINE,
        "type": "boolean",
        "name": "Coverage policy",
        "description": "A link to the payer's policy for the drug that is ordered",
        "default": True,
    },
    {
        "code": CLAIM,
        "type": "boolean",
        "name": "Next steps",
        "description": "What to do so that the ordered drug can be authorized and paid",
        "default": True,
    },
    {
        "code": MAX_CARDS,
        "type": "integer",
        "name": "Maximum cards",
        "description": "At most this many cards are returned, the most useful first; system actions are not counted",
        "default": DEFAULT_MAX_CARDS,
    },
)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the client wants of one answer. `off` are codes of card types that it switched off."""

    off: frozenset[str] = frozenset()
    max_cards: int = DEFAULT_MAX_CARDS

    def wants(self, code: str) -> bool:
        return code not in self.off


def read_configuration(received: object) -> Configuration:
    """The `davinci-crd.configuration` object: unknown codes are ignored (dev-17), nonsense counts as not sent."""
    if not isinstance(received, dict):
        return Configuration()
    off = frozenset(
        option["code"] for option in OPTIONS if option["type"] == "boolean" and received.get(option["code"]) is False
    )
    most = received.get(MAX_CARDS)
    sensible = isinstance(most, int) and not isinstance(most, bool) and most >= 0
    return Configuration(off, most if sensible and isinstance(most, int) else DEFAULT_MAX_CARDS)

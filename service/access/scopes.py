"""SMART system scopes of versions 1 and 2: what one allows, and what remains of a wish."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

EVERYTHING: Final = "system/*.cruds"
SERVED: Final = (
    "system/Claim.cu",
    "system/ClaimResponse.rs",
    "system/Library.rs",
    "system/Questionnaire.rs",
    "system/Subscription.cruds",
    "system/ValueSet.rs",
)
"""The scopes that this service's endpoints ask for, as discovery tells them."""

_ORDER: Final = "cruds"
# Version 1 words in the letters of version 2 (SMART App Launch 2, "Scopes for requesting FHIR resources").
_WORDS: Final = {"read": "rs", "write": "cud", "*": _ORDER}
_SCOPE: Final = re.compile(r"system/(\*|[A-Za-z]+)\.(read|write|\*|(?=.)c?r?u?d?s?)")


@dataclass(frozen=True, slots=True)
class Scope:
    """Letters of "cruds" on one resource type; "*" is every type. Types are compared without regard to case."""

    resource: str
    letters: frozenset[str]

    def __str__(self) -> str:
        return f"system/{self.resource}.{''.join(sorted(self.letters, key=_ORDER.index))}"

    def on(self, other: Scope) -> str | None:
        """The resource type that both are about, in the narrower one's spelling."""
        if "*" in {self.resource, other.resource}:
            return other.resource if self.resource == "*" else self.resource
        return self.resource if self.resource.casefold() == other.resource.casefold() else None


def parse_scope(text: str) -> Scope | None:
    """A system scope, or None for anything else: other contexts, search parameters, unknown letters."""
    match = _SCOPE.fullmatch(text)
    if match is None:
        return None
    resource, letters = match.groups()
    return Scope(resource, frozenset(_WORDS.get(letters, letters)))


def covers(granted: Iterable[str], needed: str) -> bool:
    """True when the granted scopes together hold every letter of the needed one, for its resource type."""
    wanted = parse_scope(needed)
    if wanted is None:
        raise ValueError("an endpoint asks for a system scope")
    return wanted.letters <= _letters_on(wanted, granted)


def grant(requested: str, allowed: Iterable[str]) -> frozenset[str]:
    """What of a requested scope is allowed: itself as spelled when all of it is, else the parts that are."""
    wanted = parse_scope(requested)
    if wanted is None:
        return frozenset()
    permitted = [scope for text in allowed if (scope := parse_scope(text))]
    if wanted.letters <= _letters_on(wanted, (str(scope) for scope in permitted)):
        return frozenset({requested})
    parts = (Scope(resource, wanted.letters & scope.letters) for scope in permitted if (resource := wanted.on(scope)))
    return frozenset(str(part) for part in parts if part.letters)


def _letters_on(wanted: Scope, granted: Iterable[str]) -> frozenset[str]:
    scopes = (scope for text in granted if (scope := parse_scope(text)))
    return frozenset().union(
        *(scope.letters for scope in scopes if scope.resource == "*" or _same(scope.resource, wanted.resource))
    )


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()

"""The numbers that a case is asked for by: short enough to be read over the telephone, and not guessable."""

from __future__ import annotations

import hashlib
from typing import Final

from service.policy.case import CaseId

# Crockford's base 32: no I, L, O and U, which are misheard and misread.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH: Final = 10


def authorization_number(case_id: CaseId) -> str:
    """One number for all that a case grants, so that preAuthRef holds for every granted line."""
    return "PA" + _text(f"{case_id}/authorization")


def reference_number(case_id: CaseId, sequence: int) -> str:
    """The number of one line while nothing is authorized (X12 REF*NT)."""
    return "RF" + _text(f"{case_id}/line/{sequence}")


def control_number(case_id: CaseId, sequence: int, asked: int) -> str:
    """The number of one thing asked for on a line; `asked` is how many things the case was asked for before."""
    return "AC" + _text(f"{case_id}/line/{sequence}/asked/{asked}")


def _text(seed: str) -> str:
    """Fifty bits of a hash of the case's random id."""
    value = int.from_bytes(hashlib.sha256(seed.encode()).digest())
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(0, 5 * _LENGTH, 5))

"""What is wrong with a policy's data: which file, where in it, what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class PolicyFault:
    """`file` is relative to the policy folder; `place` a key, linkId, define or line; "" for the whole file."""

    file: str
    place: str
    problem: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.place}" if self.place else self.file
        return f"{where}: {self.problem}"

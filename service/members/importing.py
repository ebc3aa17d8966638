"""Importing an NDJSON file of members and coverages: in batches, restartable, each bad line by its number."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from service.members.lines import LineReader, UnusableLine
from service.policy.enrollment import Batch, Checkpoint, CoverageRecord, MemberRecord

LINES: Final = 5_000
"""Lines in one transaction: what an interruption costs, and what makes a commit worth its wait for the disk."""

_LONGEST_LINE: Final = 1_000_000
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class MemberImports(Protocol):
    """The side of a member directory that is written to."""

    async def checkpoint(self, digest: str) -> Checkpoint | None: ...

    async def save(self, batch: Batch) -> None: ...


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was not loaded; `number` counts from 1, blank lines too, and `reason` is our own text."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told of each bad line, and after each batch of how many bytes were read with it."""

    bad: Callable[[BadLine], None]
    advanced: Callable[[int], None]


def digest_of(path: Path) -> str:
    """What names a file's content. OSError when it cannot be read."""
    with path.open("rb") as handle:
        return "sha256:" + hashlib.file_digest(handle, "sha256").hexdigest()


async def import_file(
    path: Path, begun: Checkpoint, imports: MemberImports, reader: LineReader, watch: Watch
) -> Checkpoint:
    """Import the file from the checkpoint on, and return the place after its end.

    Each batch and the place after it are saved in one transaction, so that after an interruption every line
    counts exactly once. What cannot be read is passed over and told; OSError when the file itself fails.
    """
    with path.open("rb") as handle:
        handle.seek(begun.offset)
        reached = begun
        while not reached.done:
            batch = _read_batch(handle, reached, reader, watch)
            await imports.save(batch)
            watch.advanced(batch.reached.offset - reached.offset)
            reached = batch.reached
    return reached


def _read_batch(handle: BinaryIO, after: Checkpoint, reader: LineReader, watch: Watch) -> Batch:
    members: list[MemberRecord] = []
    coverages: list[CoverageRecord] = []
    number, bad = after.lines, 0
    for line in _lines(handle):
        number += 1
        try:
            record = _record(line, number, reader)
        except UnusableLine as error:
            bad += 1
            watch.bad(BadLine(number, str(error)))
            continue
        if isinstance(record, MemberRecord):
            members.append(record)
        elif record is not None:
            coverages.append(record)
    reached = replace(
        after, offset=handle.tell(), lines=number, bad=after.bad + bad, done=number < after.lines + LINES
    )
    return Batch(tuple(members), tuple(coverages), reached)


def _record(line: bytes | None, number: int, reader: LineReader) -> MemberRecord | CoverageRecord | None:
    """None for a blank line."""
    if line is None:
        raise UnusableLine(f"is longer than {_LONGEST_LINE} bytes")
    if number == 1:
        line = line.removeprefix(_BYTE_ORDER_MARK)
    return reader.read(line) if line.strip() else None


def _lines(handle: BinaryIO) -> Iterator[bytes | None]:
    """The next lines of one batch; None stands for one that is too long to be held in memory."""
    for _ in range(LINES):
        line = handle.readline(_LONGEST_LINE)
        if not line:
            return
        if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = handle.readline(_LONGEST_LINE)
            yield None
        else:
            yield line

"""Importing a file: every line counts once, whatever happens in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest

from service.members.importing import LINES, BadLine, Watch, digest_of, import_file
from service.members.memory import MemoryMembers
from service.policy.case import MemberId
from service.policy.enrollment import Batch, Checkpoint
from service.policy.membership import Membership, Presented
from tests.unit.members.samples import READER, coverage, line, patient, write


@dataclass
class Heard:
    """What a person at the terminal sees."""

    bad: list[BadLine] = field(default_factory=list)
    read: list[int] = field(default_factory=list)

    @property
    def watch(self) -> Watch:
        return Watch(self.bad.append, self.read.append)


class Interrupted(RuntimeError):
    pass


class Failing(MemoryMembers):
    """Breaks off when it is to save once too often."""

    def __init__(self, saves: int) -> None:
        super().__init__()
        self.left = saves

    async def save(self, batch: Batch) -> None:
        if self.left == 0:
            raise Interrupted
        self.left -= 1
        await super().save(batch)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """10,000 members with a coverage each, the coverage first; lines 7, 5,000, 12,345 and the last are bad."""
    lines = [line(made(number)) for number in range(10_000) for made in (coverage, patient)]
    lines[6], lines[4_999], lines[12_344] = b"{", line(patient(identifier=None)), line({"resourceType": "Group"})
    lines[-1] = b"\xff"
    return write(tmp_path / "members.ndjson", lines)


BAD_NUMBERS = [7, 5_000, 12_345, 20_000]


async def imported(path: Path, into: MemoryMembers, heard: Heard) -> Checkpoint:
    digest = digest_of(path)
    begun = await into.checkpoint(digest) or Checkpoint(digest)
    return await import_file(path, begun, into, READER, heard.watch)


async def test_a_large_file_is_loaded_but_for_its_bad_lines(many: Path) -> None:
    directory, heard = MemoryMembers(), Heard()
    reached = await imported(many, directory, heard)
    assert (reached.lines, reached.bad, reached.done) == (20_000, 4, True)
    assert [bad.number for bad in heard.bad] == BAD_NUMBERS
    assert sum(heard.read) == many.stat().st_size == reached.offset
    counts = await directory.counts()
    # Lines 7 and 12,345 were coverages; 5,000 and 20,000 were members.
    assert (counts.members, counts.coverages, counts.unowned) == (9_998, 9_998, 2)


@pytest.mark.parametrize("saves", [1, 3])
async def test_an_interrupted_import_goes_on_where_it_was(many: Path, saves: int) -> None:
    directory, before, after = Failing(saves), Heard(), Heard()
    with pytest.raises(Interrupted):
        await imported(many, directory, before)
    kept = await directory.checkpoint(digest_of(many))
    assert kept is not None
    assert (kept.lines, kept.done) == (saves * LINES, False)
    directory.left = -1
    reached = await imported(many, directory, after)
    assert (reached.lines, reached.bad, reached.done) == (20_000, 4, True)
    assert sum(after.read) == many.stat().st_size - kept.offset
    assert [bad.number for bad in after.bad] == [number for number in BAD_NUMBERS if number > saves * LINES]
    whole = MemoryMembers()
    await imported(many, whole, Heard())
    assert await directory.counts() == await whole.counts()


async def test_a_file_that_is_done_is_not_read_again(many: Path) -> None:
    directory, heard = MemoryMembers(), Heard()
    done = await imported(many, directory, Heard())
    assert await imported(many, directory, heard) == done
    assert heard.read == []


async def test_the_same_records_again_change_nothing(tmp_path: Path) -> None:
    directory = MemoryMembers()
    for name in ("a", "b"):
        path = write(tmp_path / name, [line(patient()), line(coverage()), *[b""] * (name == "b")])
        await imported(path, directory, Heard())
    counts = await directory.counts()
    assert (counts.members, counts.coverages) == (1, 1)


async def test_blank_lines_and_a_byte_order_mark_are_no_fault(tmp_path: Path) -> None:
    directory, heard = MemoryMembers(), Heard()
    path = tmp_path / "m"
    path.write_bytes(b"\xef\xbb\xbf" + line(patient()) + b"\r\n\r\n  \n" + line(coverage()))
    reached = await imported(path, directory, heard)
    assert (reached.lines, heard.bad) == (4, [])
    found = await directory.find(Presented(MemberId("M-1")), date(2026, 6, 1))
    assert isinstance(found, Membership)


async def test_a_line_without_end_is_one_bad_line(tmp_path: Path) -> None:
    directory, heard = MemoryMembers(), Heard()
    path = write(tmp_path / "m", [line(patient()), b'"' + b"x" * 2_500_000, line(coverage())])
    await imported(path, directory, heard)
    assert [bad.number for bad in heard.bad] == [2]
    assert (await directory.counts()).coverages == 1


@pytest.mark.parametrize("lines", [LINES - 1, LINES, LINES + 1])
async def test_the_end_is_found_wherever_it_falls(tmp_path: Path, lines: int) -> None:
    directory = MemoryMembers()
    path = write(tmp_path / "m", [line(patient(number)) for number in range(lines)])
    reached = await imported(path, directory, Heard())
    assert (reached.lines, reached.done) == (lines, True)
    assert (await directory.counts()).members == lines

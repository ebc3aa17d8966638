"""docs/conformance.md: for every statement on a server, the tests marked with its key, a reason for none, or open."""

from __future__ import annotations

import ast
import csv
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

ROOT: Final = Path(__file__).resolve().parents[1]
TABLE: Final = ROOT.parent / "shared" / "ig" / "requirements.tsv"
LEDGER: Final = ROOT / "docs" / "conformance.md"
STATEMENTS: Final = Path(__file__).with_name("statements")
NEWEST: Final = ("CRD", "DTR", "PAS")
GUIDES: Final = (*NEWEST, *(f"{guide} 2.0.1" for guide in NEWEST))

Key = tuple[str, str]
Proofs = Mapping[Key, Sequence[str]]
Reasons = Mapping[Key, str]
Standing = Literal["tested", "not applicable", "open"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `key` is unique within its guide only; `says` is ours, where the guide itself has no keys."""

    guide: str
    key: str
    conformance: str
    server: bool
    says: str = ""

    @property
    def shall(self) -> bool:
        """Whether a server must keep it (SHALL or SHALL NOT, alone or beside a weaker word)."""
        return self.server and "SHALL" in self.conformance


@dataclass(frozen=True, slots=True)
class Count:
    """How a guide's SHALLs on a server stand."""

    guide: str
    shall: int
    tested: int
    not_applicable: int
    open: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is stated, what is tested, and what has a reason instead."""

    known: Sequence[Statement]
    marked: Proofs
    reasons: Reasons

    def standing(self, row: Statement) -> Standing:
        if (row.guide, row.key) in self.marked:
            return "tested"
        return "not applicable" if (row.guide, row.key) in self.reasons else "open"

    def open_shalls(self) -> list[Key]:
        """Statements that a server must keep, and that have neither a test nor a reason."""
        return [(row.guide, row.key) for row in self.known if row.shall and self.standing(row) == "open"]

    def unknown(self) -> list[Key]:
        """Marked keys that no guide has, and reasons for what no guide asks of a server."""
        stated = {(row.guide, row.key) for row in self.known}
        asked = {(row.guide, row.key) for row in self.known if row.server}
        return sorted((set(self.marked) - stated) | (set(self.reasons) - asked))

    def contradicted(self) -> list[Key]:
        """Keys with a test and a reason why there is none."""
        return sorted(set(self.marked) & set(self.reasons))

    def counts(self) -> list[Count]:
        found = []
        for guide in GUIDES:
            standings = [self.standing(row) for row in self.known if row.guide == guide and row.shall]
            each = [standings.count(standing) for standing in ("tested", "not applicable", "open")]
            found.append(Count(guide, len(standings), *each))
        return found


def read() -> Ledger:
    """Everything as it is in the working tree. OSError where the guides are not at hand."""
    return Ledger([*numbered(), *earlier()], proofs(), reasons())


def numbered(table: Path = TABLE) -> list[Statement]:
    """Every numbered statement of the newest guides. OSError where the guides are not at hand."""
    with table.open(encoding="utf-8", newline="") as rows:
        return [
            Statement(row["ig"], row["key"], row["conformance"], row["server"] == "yes")
            for row in csv.DictReader(rows, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]


def earlier(folder: Path = STATEMENTS) -> list[Statement]:
    """What 2.0.1 asks of a server otherwise than the newest, or beyond it: it has no keys, so they are ours."""
    return [
        Statement(guide, key, one["conformance"], True, one["says"])
        for guide, listed in _listed(folder)
        for key, one in listed.get("statement", {}).items()
    ]


def reasons(folder: Path = STATEMENTS) -> Reasons:
    """Why a statement does not apply to this service."""
    return {
        (guide, key): why
        for guide, listed in _listed(folder)
        for key, why in listed.get("not-applicable", {}).items()
    }


def _listed(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for guide in GUIDES:
        file = folder / f"{guide.lower().replace(' ', '-')}.toml"
        if file.exists():
            yield guide, tomllib.loads(file.read_text(encoding="utf-8"))


def proofs(tests: Path = ROOT / "tests") -> Proofs:
    """Names of tests by (guide, key), from `@pytest.mark.requirement("key")` on them or on one of their parameters.

    The guide is the folder's (tests/unit/crd, dtr, pas), or is named in the mark: "PAS oper-1", "PAS 2.0.1 key".
    """
    found: dict[Key, list[str]] = defaultdict(list)
    for file in sorted(tests.rglob("test_*.py")):
        for name, text in _marks(ast.parse(file.read_text(encoding="utf-8"))):
            guide, _, key = text.rpartition(" ")
            found[guide or file.parent.name.upper(), key].append(f"{file.relative_to(tests.parent)}::{name}")
    return found


def _marks(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            keys = (key for decorator in node.decorator_list for key in _keys(decorator))
            yield from ((node.name, key) for key in dict.fromkeys(keys))


def _keys(decorator: ast.expr) -> Iterator[str]:
    for mark in ast.walk(decorator):
        if isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith("mark.requirement"):
            yield from (str(argument.value) for argument in mark.args if isinstance(argument, ast.Constant))


def written(ledger: Ledger) -> str:
    """The page."""
    lines = [
        "# Conformance: which test proves which statement",
        "",
        "Generated by `python -m conformance.ledger` from the marks in the tests and the reasons in",
        "`conformance/statements/`; do not edit. An open statement has neither: it may well be kept, but nothing",
        "here proves it. Keys are the guides' own. 2.0.1 has none: what it asks otherwise than the newest version,",
        "or beyond it, is listed in our words, under keys of ours.",
        "",
        "| guide | SHALL on a server | with a test | not applicable | open |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.guide} | {one.shall} | {one.tested} | {one.not_applicable} | {one.open} |" for one in ledger.counts()
    ]
    for guide in GUIDES:
        rows = [row for row in ledger.known if row.guide == guide]
        lines += ["", f"## {guide}", "", "| key | says | tests, or why none |", "|---|---|---|"]
        lines += [_line(ledger, row) for row in rows if row.server]
        lines += _others(ledger, [row for row in rows if not row.server and ledger.standing(row) == "tested"])
    return "\n".join(lines) + "\n"


def _others(ledger: Ledger, rows: Sequence[Statement]) -> list[str]:
    if not rows:
        return []
    heading = "Asked of a client or another party, and proven where we play its part:"
    return ["", heading, "", "| key | says | tests |", "|---|---|---|", *(_line(ledger, row) for row in rows)]


def _line(ledger: Ledger, row: Statement) -> str:
    key = (row.guide, row.key)
    proof = {
        "tested": "<br>".join(ledger.marked.get(key, ())),
        "not applicable": f"not applicable: {ledger.reasons.get(key)}",
        "open": "open",
    }[ledger.standing(row)]
    return f"| {row.key} | {row.conformance}{': ' if row.says else ''}{row.says} | {proof} |"


if __name__ == "__main__":
    whole = read()
    LEDGER.write_text(written(whole), encoding="utf-8")
    for count in whole.counts():
        sys.stdout.write(f"{count}\n")

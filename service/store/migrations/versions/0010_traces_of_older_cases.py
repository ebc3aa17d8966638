"""Cases that were accepted before lines kept their trace numbers are found by them, too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from service.store.codec import read_json, write_json
from service.store.tables import lookup_key

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None

_TRACE: Final = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-itemTraceNumber"
# What a case is evaluated from: the bytes of its last change, else those that were received.
_REQUEST: Final = (
    sa.text("SELECT request FROM changed_requests WHERE case_id = :id ORDER BY revision DESC LIMIT 1"),
    sa.text("SELECT request FROM submissions WHERE case_id = :id LIMIT 1"),
)


def upgrade() -> None:
    """Reads the numbers from the requests, one case at a time."""
    connection = op.get_bind()
    for (case_id,) in connection.execute(sa.text("SELECT id FROM cases ORDER BY position")).all():
        named = {"id": case_id}
        case = read_json(connection.execute(sa.text("SELECT document FROM cases WHERE id = :id"), named).scalar_one())
        rows = (connection.execute(statement, named).first() for statement in _REQUEST)
        request = next((bytes(row[0]) for row in rows if row is not None), b"")
        if not _give_traces(case, request):
            continue
        connection.execute(
            sa.text("UPDATE cases SET document = :document WHERE id = :id"),
            {**named, "document": write_json(case)},
        )
        names = {lookup_key("trace", case["client"], line["trace"]) for line in case["lines"] if line.get("trace")}
        known = set(connection.execute(sa.text("SELECT lookup FROM case_names WHERE case_id = :id"), named).scalars())
        for name in sorted(names - known):
            connection.execute(
                sa.text("INSERT INTO case_names (lookup, case_id) VALUES (:name, :id)"), {**named, "name": name}
            )


def downgrade() -> None:
    """There is no way back. Restore a backup instead."""
    raise NotImplementedError("restore a backup to go back to an older schema")


def _give_traces(case: Any, request: bytes) -> bool:
    """Whether any line has one now that had none. What was refused goes by no name."""
    if any(line["decision"]["outcome"] == "error" for line in case["lines"]):
        return False
    items = _items(request)
    found = False
    for line in case["lines"]:
        # A line that the request leaves out is kept as an earlier one had it.
        trace = _trace(line.get("carried") or items.get(line["sequence"]))
        if trace is not None and not line.get("trace"):
            line["trace"] = trace
            found = True
    return found


def _items(request: bytes) -> dict[int, Any]:
    """Claim.item by sequence. A request that cannot be read here is only not found by its numbers."""
    try:
        sent = json.loads(request)
        if sent["resourceType"] == "Parameters":
            sent = next(p["resource"] for p in sent["parameter"] if p.get("name") == "resource")
        return {item["sequence"]: item for item in sent["entry"][0]["resource"]["item"]}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, StopIteration, RecursionError):
        return {}


def _trace(item: Mapping[str, Any] | None) -> str | None:
    """The first trace number of an item."""
    try:
        sent = next(one for one in (item or {}).get("extension", ()) if one.get("url") == _TRACE)
        value = sent["valueIdentifier"]["value"]
    except (KeyError, TypeError, AttributeError, StopIteration):
        return None
    return value if isinstance(value, str) and value.strip() else None

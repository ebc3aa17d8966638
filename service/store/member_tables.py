"""The tables of the member directory: no names or addresses, only what tells who is covered, when and how."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Date, ForeignKey, Index, Integer, String, Table, Text

from service.store.tables import Received, metadata

members = Table(
    "members",
    metadata,
    Column("member", Received, primary_key=True),
    Column("patient", Text),
    Column("birth_date", String(10)),
    Column("active", Boolean, nullable=False),
    Index(None, "patient"),
)

member_coverages = Table(
    "member_coverages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", Text),
    # No foreign keys: the lines of a file come in any order.
    Column("member", Received),
    Column("patient", Text),
    Column("status", String(32), nullable=False),
    Column("start_date", Date),
    Column("end_date", Date),
    Column("plan", Text),
    Column("relationship", Text),
    Index(None, "member"),
    Index(None, "patient"),
)

plans = Table("plans", metadata, Column("id", Text, primary_key=True), Column("name", Text, nullable=False))

plan_exclusions = Table(
    "plan_exclusions",
    metadata,
    Column("plan_id", Text, ForeignKey("plans.id"), primary_key=True),
    Column("system", Text, primary_key=True),
    Column("code", Text, primary_key=True),
)

waivers = Table(
    "waivers",
    metadata,
    Column("npi", String(10), primary_key=True),
    Column("policy_id", Text, primary_key=True),
    Column("start_date", Date, primary_key=True),
    Column("end_date", Date, nullable=False),
)

member_imports = Table(
    "member_imports",
    metadata,
    Column("digest", String(71), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("bad", Integer, nullable=False),
    Column("done", Boolean, nullable=False),
)

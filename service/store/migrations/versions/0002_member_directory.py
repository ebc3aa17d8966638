"""The member directory: members, their coverages, plans, waivers, and how far each file was imported."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates everything; see member_tables.py for what each column is for."""
    _create_members()
    _create_plans()
    op.create_table(
        "member_imports",
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("lines", sa.Integer, nullable=False),
        sa.Column("bad", sa.Integer, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_member_imports"),
    )


def downgrade() -> None:
    """There is no way back. Restore a backup instead."""
    raise NotImplementedError("restore a backup to go back to an older schema")


def _create_members() -> None:
    op.create_table(
        "members",
        sa.Column("member", sa.Text, nullable=False),
        sa.Column("patient", sa.Text),
        sa.Column("birth_date", sa.String(10)),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("member", name="pk_members"),
    )
    op.create_index("ix_members_patient", "members", ["patient"])
    op.create_table(
        "member_coverages",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("number", sa.Text),
        sa.Column("member", sa.Text),
        sa.Column("patient", sa.Text),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("start_date", sa.Date),
        sa.Column("end_date", sa.Date),
        sa.Column("plan", sa.Text),
        sa.Column("relationship", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_member_coverages"),
    )
    op.create_index("ix_member_coverages_member", "member_coverages", ["member"])
    op.create_index("ix_member_coverages_patient", "member_coverages", ["patient"])


def _create_plans() -> None:
    op.create_table(
        "plans",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_plans"),
    )
    op.create_table(
        "plan_exclusions",
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("plan_id", "system", "code", name="pk_plan_exclusions"),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name="fk_plan_exclusions_plan_id"),
    )
    op.create_table(
        "waivers",
        sa.Column("npi", sa.String(10), nullable=False),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("start_date", sa.Date, nullable=False),
        sa.Column("end_date", sa.Date, nullable=False),
        sa.PrimaryKeyConstraint("npi", "policy_id", "start_date", name="pk_waivers"),
    )

"""Approvals, the rules that ask for them, and the jobs that wait for one"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("awaiting", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_table(
        "approvals",
        sa.Column("id", sa.String(length=20), nullable=False),
        sa.Column("job", sa.String(length=20), nullable=False),
        sa.Column("asked_for", sa.String(length=32), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("spec_hash", sa.String(length=80), nullable=False),
        sa.Column("pinned", sa.String(length=80), nullable=False),
        sa.Column("nodes", sa.Integer(), nullable=False),
        sa.Column("asked_by", sa.String(length=128), nullable=False),
        sa.Column("asked_user", sa.String(length=32), server_default="", nullable=False),
        sa.Column("asked_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("decided_by", sa.String(length=128), server_default="", nullable=False),
        sa.Column("decided_at", sa.Float(), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("approvals_job", "approvals", ["job"], unique=False)
    op.create_index("approvals_state", "approvals", ["state", "id"], unique=False)
    op.create_table(
        "approval_rules",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("kinds", sa.Text(), server_default="[]", nullable=False),
        sa.Column("selector", sa.Text(), server_default="all", nullable=False),
        sa.Column("min_nodes", sa.Integer(), server_default="1", nullable=False),
        sa.Column("reading", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("changed_at", sa.Float(), nullable=False),
        sa.Column("changed_by", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )

"""The audit chain, and what its entries say besides"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from corral.server.infrastructure.sql.schema_proof import APPEND_ONLY

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, length in (("credential", 64), ("job", 20)):
        op.add_column("audit", sa.Column(name, sa.String(length=length), server_default="", nullable=False))
    op.create_index("audit_job", "audit", ["job", "id"], unique=False)
    op.create_table(
        "audit_chain",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.Column("prev", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence"),
        sa.UniqueConstraint("entry"),
    )
    op.create_table(
        "audit_checkpoints",
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("key_id", sa.String(length=32), nullable=False),
        sa.Column("signature", sa.String(length=128), nullable=False),
        sa.Column("kept", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("kind", "sequence"),
    )
    for statement in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)

"""Where revisions are now"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "placements",
        sa.Column("node", sa.String(length=63), nullable=False),
        sa.Column("place", sa.String(length=32), nullable=False),
        sa.Column("dest", sa.Text(), nullable=False),
        sa.Column("source_path", sa.String(length=512), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("job", sa.String(length=20), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("before_source", sa.String(length=512), nullable=False),
        sa.Column("before_revision", sa.Integer(), nullable=False),
        sa.Column("before_digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("node", "place"),
        sqlite_with_rowid=False,
    )
    op.create_index("placements_of", "placements", ["source_path", "node", "place"], unique=False)

"""Run by Alembic inside the connection and the transaction that sql.migrate opened: all steps commit together, or none."""

from __future__ import annotations

from alembic import context

from corral.server.infrastructure.sql.every_table import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite's DDL is transactional too once the transaction is begun by hand, as ours is.
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()

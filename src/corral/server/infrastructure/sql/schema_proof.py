"""The audit chain: the tables of migration 0003 (approvals: schema_approvals.py). The rules of schema.py hold.

`audit` itself is only ever added to (schema.py); seals are rows of their own, so triggers can refuse every change of an entry.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    event,
    text,
)

from corral.server.infrastructure.sql.schema import metadata

audit_chain = Table(
    "audit_chain",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("entry", Integer, nullable=False, unique=True),
    Column("prev", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

audit_checkpoints = Table(
    "audit_checkpoints",
    metadata,
    Column("kind", String(8), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("entry", Integer, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("signature", String(128), nullable=False),
    Column("kept", Boolean, nullable=False, server_default=text("false")),
    PrimaryKeyConstraint("kind", "sequence"),
)

_SAID: Final = "audit entries are only ever added"
APPEND_ONLY: Final = {
    "sqlite": (
        f"create trigger audit_no_change before update on audit begin select raise(abort, '{_SAID}'); end",
        f"""
        create trigger audit_no_delete before delete on audit
        when old.id > coalesce((select max(entry) from audit_checkpoints where kind = 'anchor'), 0)
        begin select raise(abort, '{_SAID}'); end
        """,
    ),
    "postgresql": (
        f"""
        create function audit_only_added() returns trigger language plpgsql as $body$
        begin
            if tg_op = 'DELETE' and
               old.id <= coalesce((select max(entry) from audit_checkpoints where kind = 'anchor'), 0) then
                return old;
            end if;
            raise exception '{_SAID}';
        end
        $body$
        """,
        "create trigger audit_no_change before update or delete on audit for each row execute function audit_only_added()",
    ),
}
"""Triggers: an entry goes only behind the anchor that retention signed. A guard against accidents; the chain is the proof."""


@event.listens_for(metadata, "after_create")
def _guard(_target: Any, connection: Connection, **_: Any) -> None:
    """Tables made from the schema have the triggers as those of the migrations have."""
    for statement in APPEND_ONLY[connection.dialect.name]:
        connection.exec_driver_sql(statement)

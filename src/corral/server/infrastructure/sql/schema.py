"""The tables, once, for SQLite and PostgreSQL. Migrations (sql/migrations) bring a database to this shape; a test compares them.

Times are float seconds since the epoch (UTC): both databases index and compare them alike, and the edges convert. JSON is text.
Task output is never in SQL. A queued task without `due_at` is held back (concurrency); `jobs.held` counts those, so that nothing
ever counts rows. Indexes on tasks are partial and few: every one is paid for by each report.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData()

nodes = Table(
    "nodes",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("labels", Text, nullable=False, server_default="{}"),
    Column("groups", Text, nullable=False, server_default="[]"),
    Column("facts", Text, nullable=False, server_default="{}"),
    Column("presence", String(16), nullable=False, server_default="unknown"),
    Column("presence_since", Float),
    Column("presence_reason", Text, nullable=False, server_default=""),
    Column("last_seen", Float),
    Column("enrolled_at", Float, nullable=False),
    Column("daemon_key", String(64), nullable=False),
    Column("worker_key", String(64), nullable=False),
    Column("revoked", Boolean, nullable=False, server_default=text("false")),
    Column("revoked_reason", Text, nullable=False, server_default=""),
    Column("resource_version", Integer, nullable=False, server_default="1"),
)

revocations = Table(
    "revocations",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("node", String(63), nullable=False),
    Column("at", Float, nullable=False),
)

join_tokens = Table(
    "join_tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("proof_key", LargeBinary, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("labels", Text, nullable=False, server_default="{}"),
    Column("groups", Text, nullable=False, server_default="[]"),
    Column("node_id", String(63)),
    Column("revoked", Boolean, nullable=False, server_default=text("false")),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("name", Text, nullable=False, server_default=""),
    Column("kind", String(32), nullable=False),
    Column("target", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("counts", Text, nullable=False, server_default="{}"),
    Column("nodes", Integer, nullable=False),
    Column("pinned", String(80), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("window", Float, nullable=False),
    Column("finished_at", Float),
    Column("concurrency", Integer),
    Column("offline", String(8), nullable=False),
    Column("retries", Integer, nullable=False, server_default="0"),
    Column("cancel_asked", Boolean, nullable=False, server_default=text("false")),
    Column("held", Integer, nullable=False, server_default="0"),
    Column("awaiting", Boolean, nullable=False, server_default=text("false")),
    Column("operation", String(300), unique=True),
    Column("resource_version", Integer, nullable=False, server_default="1"),
)
Index("jobs_state", jobs.c.state, jobs.c.id)
Index("jobs_finished", jobs.c.finished_at)

tasks = Table(
    "tasks",
    metadata,
    Column("job", String(20), nullable=False),
    Column("node", String(63), nullable=False),
    Column("attempt", Integer, nullable=False, server_default="1"),
    Column("state", String(16), nullable=False),
    Column("reason", String(24), nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
    Column("seq", BigInteger, nullable=False, server_default="0"),
    Column("exit_code", Integer),
    Column("signal", Integer),
    Column("queued_at", Float, nullable=False),
    Column("delivered_at", Float),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("not_after", Float, nullable=False),
    Column("due_at", Float),
    Column("published", Integer, nullable=False, server_default="0"),
    Column("cancel_asked", Boolean, nullable=False, server_default=text("false")),
    Column("stdout_bytes", BigInteger, nullable=False, server_default="0"),
    Column("stderr_bytes", BigInteger, nullable=False, server_default="0"),
    Column("truncated", Boolean, nullable=False, server_default=text("false")),
    Column("cancel", Text, nullable=False, server_default="{}"),
    Column("result", Text, nullable=False, server_default="{}"),
    Column("late", Text, nullable=False, server_default="{}"),
    PrimaryKeyConstraint("job", "node"),
    sqlite_with_rowid=False,
)
_OPEN = text("finished_at is null")
_QUEUED = text("state = 'queued'")
_HELD = text("state = 'queued' and due_at is null")
Index("tasks_due", tasks.c.due_at, sqlite_where=text("due_at is not null"), postgresql_where=text("due_at is not null"))
Index("tasks_open_by_node", tasks.c.node, tasks.c.job, sqlite_where=_OPEN, postgresql_where=_OPEN)
Index("tasks_queued", tasks.c.not_after, sqlite_where=_QUEUED, postgresql_where=_QUEUED)
Index("tasks_held", tasks.c.job, tasks.c.node, sqlite_where=_HELD, postgresql_where=_HELD)

task_attempts = Table(
    "task_attempts",
    metadata,
    Column("job", String(20), nullable=False),
    Column("node", String(63), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    PrimaryKeyConstraint("job", "node", "attempt"),
    sqlite_with_rowid=False,
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("source_path", String(512), primary_key=True),
    Column("last_revision", Integer, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("source_path", String(512), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mode", String(8), nullable=False, server_default=""),
    Column("archive", String(8), nullable=False, server_default=""),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("applied_at", Float),
    PrimaryKeyConstraint("source_path", "revision"),
    sqlite_with_rowid=False,
)
Index("revisions_digest", revisions.c.digest)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("node", String(63), nullable=False, server_default=""),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)
Index("dead_letters_by_node", dead_letters.c.node, dead_letters.c.at)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("permissions", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("last_used_at", Float),
    Column("revoked", Boolean, nullable=False, server_default=text("false")),
    Column("owner", String(20), nullable=False, server_default=""),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("address", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("target", Text, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("status", Integer, nullable=False),
    Column("request_id", String(64), nullable=False, server_default=""),
    Column("credential", String(64), nullable=False, server_default=""),
    Column("job", String(20), nullable=False, server_default=""),
    Column("duration_ms", Integer, nullable=False, server_default="0"),
    Column("details", Text, nullable=False, server_default="{}"),
)
Index("audit_at", audit.c.at)
Index("audit_job", audit.c.job, audit.c.id)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", String(128), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("request_hash", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at", Float, nullable=False),
    PrimaryKeyConstraint("key", "actor"),
)
Index("idempotency_at", idempotency.c.at)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("permissions", Text, nullable=False),
    Column("source", String(32), nullable=False, server_default=""),
    Column("counter", Integer, nullable=False, server_default="1"),
    Column("created_at", Float, nullable=False),
    Column("rotated_at", Float),
    Column("expires_at", Float, nullable=False),
    Column("revoked", Boolean, nullable=False, server_default=text("false")),
    Column("user", String(20), nullable=False, server_default=""),
    Column("user_version", Integer, nullable=False, server_default="0"),
    Column("method", String(16), nullable=False, server_default="link"),
    Column("address", String(64), nullable=False, server_default=""),
)
Index("sessions_expires_at", sessions.c.expires_at)
Index("sessions_user", sessions.c.user)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", String(20), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("target", Text, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("line", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("stages", Text, nullable=False),
    Column("pinned", String(80), nullable=False),
    Column("changes", Text, nullable=False),
    Column("previous", String(20)),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attention", Boolean, nullable=False),
    Column("hold", String(16), nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("approved", Integer, nullable=False, server_default="0"),
    Column("back", Text, nullable=False, server_default="[]"),
    Column("rollback_asked_at", Float),
    Column("finished_at", Float),
    Column("operation", String(300), unique=True),
    Column("resource_version", Integer, nullable=False, server_default="1"),
)
_ATTENTION = text("attention")
Index("rollouts_attention", rollouts.c.id, sqlite_where=_ATTENTION, postgresql_where=_ATTENTION)
Index("rollouts_name", rollouts.c.name, rollouts.c.id)
Index("rollouts_state", rollouts.c.state, rollouts.c.id)

leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(128), nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("token", Integer, nullable=False),
)

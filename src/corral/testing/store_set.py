"""All stores of one database under one name, on any of the three kinds: what the contract tests run over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from corral.runtime.clock import Clock
from corral.server.application.ports.access import ApiTokenStore, AuditLog, IdempotencyStore, LeaseStore, SessionStore
from corral.server.application.ports.files import Placements, RevisionStore, Usage
from corral.server.application.ports.jobs import DeadLetters, JobQueries, JobStore
from corral.server.application.ports.nodes import NodeStore, PresenceLog, TokenStore
from corral.server.application.ports.rollouts import RolloutStore, StageJobs
from corral.server.infrastructure.sql.access import SqlApiTokenStore
from corral.server.infrastructure.sql.audit import SqlAuditLog
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.dead_letters import SqlDeadLetters
from corral.server.infrastructure.sql.files import SqlJobUsage, SqlRevisionStore
from corral.server.infrastructure.sql.idempotency import SqlIdempotencyStore
from corral.server.infrastructure.sql.jobs import SqlJobStore
from corral.server.infrastructure.sql.jobs_queries import SqlJobQueries
from corral.server.infrastructure.sql.leases import SqlLeaseStore
from corral.server.infrastructure.sql.migrate import migrate
from corral.server.infrastructure.sql.nodes import SqlNodeStore
from corral.server.infrastructure.sql.placements import SqlPlacements
from corral.server.infrastructure.sql.presence_log import SqlPresenceLog
from corral.server.infrastructure.sql.rollouts import SqlRolloutStore, SqlStageJobs
from corral.server.infrastructure.sql.sessions import SqlSessionStore
from corral.server.infrastructure.sql.tokens import SqlTokenStore
from corral.testing import stores as memory
from corral.testing.file_stores import MemoryJobUsage, MemoryPlacements, MemoryRevisionStore
from corral.testing.presence_stores import MemoryPresenceLog
from corral.testing.rollout_stores import MemoryRolloutStore, MemoryStageJobs


@dataclass(frozen=True, kw_only=True)
class StoreSet:
    """One database's stores; `db` is None for the one in memory."""

    jobs: JobStore
    queries: JobQueries
    nodes: NodeStore
    presence: PresenceLog
    tokens: TokenStore
    api_tokens: ApiTokenStore
    audit: AuditLog
    sessions: SessionStore
    answers: IdempotencyStore
    leases: LeaseStore
    dead_letters: DeadLetters
    revisions: RevisionStore
    file_usage: Usage
    placements: Placements
    rollouts: RolloutStore
    stage_jobs: StageJobs
    db: Database | None = None


def memory_stores() -> StoreSet:
    db = memory.MemoryDatabase()
    return StoreSet(
        jobs=memory.MemoryJobStore(db),
        queries=memory.MemoryJobQueries(db),
        nodes=memory.MemoryNodeStore(db),
        presence=MemoryPresenceLog(db),
        tokens=memory.MemoryTokenStore(db),
        api_tokens=memory.MemoryApiTokenStore(db),
        audit=memory.MemoryAuditLog(db),
        sessions=memory.MemorySessionStore(db),
        answers=memory.MemoryIdempotencyStore(db),
        leases=memory.MemoryLeaseStore(db),
        dead_letters=memory.MemoryDeadLetters(db),
        revisions=MemoryRevisionStore(db),
        file_usage=MemoryJobUsage(db),
        placements=MemoryPlacements(db),
        rollouts=MemoryRolloutStore(db),
        stage_jobs=MemoryStageJobs(db),
    )


@asynccontextmanager
async def sql_stores(url: str, clock: Clock) -> AsyncIterator[StoreSet]:
    """Migrated, and closed at the end."""
    db = Database(url)
    try:
        await migrate(db)
        yield StoreSet(
            jobs=SqlJobStore(db),
            queries=SqlJobQueries(db),
            nodes=SqlNodeStore(db),
            presence=SqlPresenceLog(db),
            tokens=SqlTokenStore(db),
            api_tokens=SqlApiTokenStore(db),
            audit=SqlAuditLog(db),
            sessions=SqlSessionStore(db),
            answers=SqlIdempotencyStore(db),
            leases=SqlLeaseStore(db),
            dead_letters=SqlDeadLetters(db, clock),
            revisions=SqlRevisionStore(db),
            file_usage=SqlJobUsage(db),
            placements=SqlPlacements(db),
            rollouts=SqlRolloutStore(db),
            stage_jobs=SqlStageJobs(db),
            db=db,
        )
    finally:
        await db.close()

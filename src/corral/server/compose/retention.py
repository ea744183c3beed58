"""What is past its keep goes, an hour's worth at a time: jobs with their output, the audit record, presence, letters,
tokens, answers."""

from __future__ import annotations

from datetime import datetime, timedelta

from corral.runtime.clock import Clock
from corral.server.application.jobs.sweep import RetentionHook
from corral.server.compose.ground import Ground
from corral.server.compose.proof import compose_sealing
from corral.server.infrastructure.nats.output import NatsOutputLog
from corral.server.infrastructure.nats.specs import WireSpecs
from corral.server.infrastructure.sql.idempotency import SqlIdempotencyStore
from corral.server.infrastructure.sql.retention import SqlRetention
from corral.server.infrastructure.sql.sessions import SqlSessionStore

ANSWERS_KEPT = timedelta(hours=24)
LETTERS_KEPT = timedelta(days=7)
SETTLE_SECONDS = 3600.0


def retention(ground: Ground, output: NatsOutputLog, specs: WireSpecs) -> list[RetentionHook]:
    """One hook a kind; each deletes in small batches, so that the writer is never held for long."""
    keep = ground.config.retention
    sql, sealer = SqlRetention(ground.db), compose_sealing(ground).sealer

    async def jobs(now: datetime) -> None:
        while gone := await sql.jobs(finished_before=now - timedelta(days=keep.jobs_days)):
            for job in gone:
                await output.drop(job)
                await specs.drop(job)

    async def audit(now: datetime) -> None:
        await sealer.retire(now - timedelta(days=keep.audit_days))

    async def letters(now: datetime) -> None:
        while await sql.dead_letters(before=now - LETTERS_KEPT):
            pass

    async def presence(now: datetime) -> None:
        while await sql.presence(before=now - timedelta(days=keep.jobs_days)):
            pass

    async def tokens(now: datetime) -> None:
        while await sql.join_tokens(expired_before=now - LETTERS_KEPT):
            pass

    async def answers(now: datetime) -> None:
        await SqlIdempotencyStore(ground.db).drop_before(now - ANSWERS_KEPT)

    async def sessions(now: datetime) -> None:
        await SqlSessionStore(ground.db).drop_expired(now=now)

    return [settled(hook, ground.clock) for hook in (jobs, audit, letters, presence, tokens, answers, sessions)]


def settled(hook: RetentionHook, clock: Clock) -> RetentionHook:
    """`hook` once this server has been up for an hour: a clock that is years ahead at boot has that long to be set."""
    begun = clock.monotonic()

    async def run(now: datetime) -> None:
        if clock.monotonic() - begun >= SETTLE_SECONDS:
            await hook(now)

    return run

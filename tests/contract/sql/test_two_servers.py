"""Two servers on one PostgreSQL: overlapping batches, cancels and sweeps at once, and still exact counts and no circle of locks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta

import pytest

from corral.domain.job import Job, job_state
from corral.domain.task import OPEN, Outcome, Reason, TaskState, summary
from corral.runtime.clock import SystemClock
from corral.server.application.ports.jobs import NewTask, Reported
from corral.testing.postgres import PostgresServer
from corral.testing.store_set import sql_stores

pytestmark = pytest.mark.postgres
NODES = [f"n{number:02}" for number in range(40)]


async def test_two_servers_never_disagree_nor_deadlock(
    cluster: PostgresServer, make_job: Callable[..., Job], now: datetime
) -> None:
    url = cluster.database()
    draw = random.Random(7)
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(sql_stores(url, SystemClock())) for _ in range(2)]
        jobs = [make_job(concurrency=draw.choice([None, 5]), retries=1) for _ in range(4)]
        for job in jobs:
            tasks = [NewTask(node=node, due=job.concurrency is None or n < 5) for n, node in enumerate(NODES)]
            await servers[0].jobs.add(job, tasks, operation=None)

        async def report(server: int, seed: int) -> None:
            own = random.Random(seed)
            for _ in range(25):
                batch = [
                    Reported(
                        node=own.choice(NODES),
                        outcome=Outcome(
                            job=own.choice(jobs).id,
                            attempt=own.choice([1, 1, 2]),
                            seq=own.randrange(1, 6),
                            state=own.choice(
                                [TaskState.DELIVERED, TaskState.RUNNING, TaskState.FAILED, TaskState.SUCCEEDED]
                            ),
                        ),
                    )
                    for _ in range(60)
                ]
                await servers[server].jobs.apply(batch, now=now)

        async def disturb(server: int) -> None:
            for number in range(20):
                moment = now + timedelta(seconds=10 * number)
                await servers[server].jobs.due(now=moment, limit=50)
                await servers[server].jobs.settle_node(
                    NODES[number], state=TaskState.LOST, reason=Reason.NODE_REMOVED, now=now
                )
                if number % 5 == 0:
                    await servers[server].jobs.cancel(jobs[number // 5].id, nodes=NODES[:10], now=now)
                if number % 7 == 0:
                    await servers[server].jobs.retry(jobs[0].id, nodes=NODES[20:], now=now)

        async with asyncio.timeout(60):
            await asyncio.gather(*(report(n % 2, n) for n in range(6)), disturb(0), disturb(1))
        for job in jobs:
            found = await servers[1].queries.get(job.id)
            tasks = (await servers[0].queries.tasks(job.id)).items
            assert dict(found.counts) == summary(task.state for task in tasks)
            assert found.state is job_state(found.counts, cancel_asked=found.cancel_asked)
            if job.concurrency is not None:
                out = 0
                for task in tasks:
                    if task.state in OPEN:
                        owed = await servers[0].jobs.open_for(task.node, limit=50)
                        out += any(delivery.job == job.id for delivery in owed)
                assert out <= job.concurrency

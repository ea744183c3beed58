"""kill -9 of a writer at a random point, again and again: what was acknowledged is there, and the counts are the rows."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

from corral.domain.job import JobState, job_state
from corral.domain.task import TaskState, summary
from corral.runtime.clock import SystemClock
from corral.testing.store_set import sql_stores

WRITER = """
import asyncio, os, sys
from datetime import UTC, datetime, timedelta
from corral.domain.ids import new_id
from corral.domain.job import CommandSpec, Job, JobState
from corral.domain.task import Outcome, TaskState
from corral.runtime.clock import SystemClock
from corral.server.application.ports.jobs import NewTask, Reported
from corral.testing.store_set import sql_stores

NODES = [f"n{i:03}" for i in range(200)]

async def main(url):
    async with sql_stores(url, SystemClock()) as stores:
        while True:
            now = datetime.now(UTC)
            job = Job(id=new_id("J", int(now.timestamp() * 1000), os.urandom(6)), name="", kind="exec", target="all",
                      spec=CommandSpec(argv=("true",)), state=JobState.OPEN, counts={}, nodes=0, pinned="", created_at=now,
                      created_by="w", expires_at=now + timedelta(hours=1), concurrency=50, retries=1)
            await stores.jobs.add(job, [NewTask(node=n, due=k < 50) for k, n in enumerate(NODES)], operation=None)
            print("added", job.id, flush=True)
            for start in range(0, 200, 50):
                reports = [Reported(node=n, outcome=Outcome(job=job.id, attempt=1, seq=1,
                           state=TaskState.FAILED if k % 7 == 0 else TaskState.SUCCEEDED))
                           for k, n in enumerate(NODES[start:start + 50])]
                await stores.jobs.apply(reports, now=now)
                print("applied", job.id, NODES[start + 1], flush=True)

asyncio.run(main(sys.argv[1]))
"""


async def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/corral.db"
    draw = random.Random(20261121)
    added: set[str] = set()
    applied: set[tuple[str, str]] = set()
    for _ in range(6):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, url, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(draw.randrange(3, 40)):
            word, *rest = (await process.stdout.readline()).decode().split()
            assert word in ("added", "applied")
            added.add(rest[0])
            if word == "applied":
                applied.add((rest[0], rest[1]))
        await asyncio.sleep(draw.random() * 0.02)  # the random point of the kill
        process.kill()
        rest_of_output, errors = await process.communicate()
        assert process.returncode == -9, errors.decode()
        *whole, _cut = rest_of_output.decode().split("\n")  # the kill may hit in the middle of a line
        added |= {line.split()[1] for line in whole}
    async with sql_stores(url, SystemClock()) as stores:
        jobs = (await stores.queries.list(limit=5000)).items
        assert added <= {job.id for job in jobs}
        for job in jobs:
            tasks = (await stores.queries.tasks(job.id, limit=5000)).items
            assert dict(job.counts) == summary(task.state for task in tasks)
            assert job.state is job_state(job.counts, cancel_asked=False)
            assert (job.finished_at is None) == (job.state is JobState.OPEN)
            assert len(tasks) == 200
        for job_id, node in applied:
            assert (await stores.queries.task(job_id, node)).state is TaskState.SUCCEEDED

"""One real node (daemon + worker from the zipapp, TLS on): memory, idle CPU, memory after 1,000 tasks, 128 tasks at once.

python -m benchmarks.node [--tasks 1000] [--json F]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

from benchmarks import report
from benchmarks.floor import floor_seconds
from benchmarks.processes import Usage, fine_cpu_seconds, usage
from corral.testing.real_node import RealNode
from corral.testing.stack import Stack

ARGV = ["/bin/sh", "-c", "true"]
IDLE_SECONDS = 60.0


def _mb(found: Usage) -> float:
    return found.rss_bytes / 1e6


async def _idle(pids: dict[str, int], seconds: float) -> dict[str, float]:
    """Milliseconds of CPU a second, while nothing happens."""
    before = {name: fine_cpu_seconds(pid) for name, pid in pids.items()}
    await asyncio.sleep(seconds)
    return {name: (fine_cpu_seconds(pid) - before[name]) / seconds * 1e3 for name, pid in pids.items()}


async def _many(stack: Stack, tasks: int) -> float:
    start = time.perf_counter()
    for begin in range(0, tasks, 50):
        handles = [await stack.fleet.submit(ARGV, on="real-1") for _ in range(min(50, tasks - begin))]
        for handle in handles:
            job = await handle.wait(everyone=True)
            if job.state != "succeeded":
                raise SystemExit(f"cannot measure: job {job.job} is {job.state}")
    return time.perf_counter() - start


async def _one(stack: Stack, rounds: int = 50) -> list[float]:
    walls = []
    for _ in range(rounds):
        start = time.perf_counter()
        await (await stack.fleet.submit(ARGV, on="real-1")).wait(everyone=True)
        walls.append(time.perf_counter() - start)
    return sorted(walls)


async def _at_once(stack: Stack, count: int) -> float:
    start = time.perf_counter()
    handles = [await stack.fleet.submit(["/bin/sleep", "3"], on="real-1") for _ in range(count)]
    for handle in handles:
        await handle.wait(everyone=True)
    return time.perf_counter() - start


async def run(tasks: int) -> dict[str, Any]:
    async with Stack.temporary(tls=True) as stack:
        async with RealNode.enrolled(stack, "real-1", slots=128) as node:
            await stack.online(1)
            pids = {"daemon": node.pid("daemon"), "worker": node.pid("worker")}
            fresh = {name: _mb(usage(pid)) for name, pid in pids.items()}
            idle = await _idle(pids, IDLE_SECONDS)
            one = await _one(stack)
            wall = await _many(stack, tasks)
            after = {name: _mb(usage(pid)) for name, pid in pids.items()}
            at_once = await _at_once(stack, 128)
            last = {name: _mb(usage(pid)) for name, pid in pids.items()}
    return {
        "tls": True,
        "rss_mb": fresh,
        "idle_cpu_ms_per_s": idle,
        "one_task_s": {"p50": one[len(one) // 2], "p95": one[int(len(one) * 0.95)]},
        "tasks": tasks,
        "tasks_s": wall,
        "rss_mb_after_tasks": after,
        "at_once_128_sleep_3_s": at_once,
        "rss_mb_after_128": last,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--json", metavar="F")
    options = parser.parse_args()
    result = asyncio.run(run(options.tasks)) | {"floor_one_s": floor_seconds(ARGV, 1)}
    for role in ("daemon", "worker"):
        print(
            f"{role}: {result['rss_mb'][role]:.1f} MB, after {options.tasks} tasks {result['rss_mb_after_tasks'][role]:.1f} MB,"
            f" idle {result['idle_cpu_ms_per_s'][role]:.2f} ms/s"
        )
    print(
        f"one task: {result['one_task_s']['p50'] * 1e3:.1f} ms at the median; {options.tasks} tasks in {result['tasks_s']:.1f} s"
    )
    print(f"128 x sleep 3 at once: {result['at_once_128_sleep_3_s']:.2f} s")
    report.write(result, options.json)


if __name__ == "__main__":
    main()

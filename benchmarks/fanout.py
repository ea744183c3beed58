"""Submit → all terminal in SQL, on N nodes, beside the bare fork/exec floor of the same N in the same run.

python -m benchmarks.fanout --nodes 1,10,100,1000 [--no-exec] [--json F]
Everything is on: signatures, journal, SQL commit, audit; nodes are simulated (real link, journal and runner; tmpfs spools).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from typing import Any

from benchmarks import report
from benchmarks.floor import floor_seconds
from benchmarks.processes import usage
from corral.testing.stack import Stack

ARGV = ["/bin/sh", "-c", "true"]


async def _measure(stack: Stack, count: int, rounds: int) -> dict[str, Any]:
    walls = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        handle = await stack.fleet.submit(ARGV, on=f'"first-{count}" in groups')
        job = await handle.wait(everyone=True)
        walls.append(time.perf_counter() - start)
        if job.state != "succeeded" or job.nodes != count:
            raise SystemExit(f"cannot measure: job {job.job} on {job.nodes} nodes is {job.state}: {job.counts}")
        await asyncio.sleep(0.3)
    return {"wall_s": statistics.median(walls[1:]), "best_s": min(walls[1:]), "worst_s": max(walls[1:])}


async def run(counts: list[int], *, execute: bool, rounds: int) -> dict[str, Any]:
    result: dict[str, Any] = {"exec": execute, "nodes": {}}
    async with Stack.temporary() as stack:
        await stack.simulate(max(counts), flags=[] if execute else ["--no-exec"])
        for count in counts:
            result["nodes"][str(count)] = await _measure(stack, count, rounds)
        assert stack.server is not None
        processes = {"server": stack.server.pid, "engine": stack.engine_pid}
        processes |= {f"host {number}": host.pid for number, host in enumerate(stack.hosts)}
        result["rss_bytes"] = {name: usage(pid).rss_bytes for name, pid in processes.items()}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="1,10,100,1000", help="comma list out of 1, 10, 100, 1000, 10000")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-exec", action="store_true")
    parser.add_argument("--json", metavar="F")
    options = parser.parse_args()
    counts = [int(word) for word in options.nodes.split(",")]
    result = asyncio.run(run(counts, execute=not options.no_exec, rounds=options.rounds))
    for count in counts:
        floor = floor_seconds(ARGV, count)
        entry = result["nodes"][str(count)]
        entry |= {"floor_s": floor, "ratio": entry["wall_s"] / floor}
        print(
            f"{count:6d} nodes: {entry['wall_s'] * 1e3:8.1f} ms, floor {floor * 1e3:7.1f} ms, ratio {entry['ratio']:.2f}"
        )
    report.write(result, options.json)


if __name__ == "__main__":
    main()

"""Ten thousand simulated nodes without exec: steady state, fan-out, and an engine restart until all are online again.

python -m benchmarks.scale [--nodes 10000] [--processes P] [--json F]
The number of open files may cap it: the engine needs a descriptor a node, and says so here.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import signal
import statistics
import time
from typing import Any

from benchmarks import report
from benchmarks.processes import usage
from corral.domain.errors import Unavailable
from corral.testing.stack import Stack

STEADY_SECONDS = 30.0
FAN_OUT_PATIENCE_SECONDS = 120.0


def _pids(stack: Stack) -> dict[str, int]:
    assert stack.server is not None
    hosts = {f"host {number}": host.pid for number, host in enumerate(stack.hosts)}
    return {"server": stack.server.pid, "engine": stack.engine_pid, **hosts}


async def _steady(stack: Stack) -> dict[str, Any]:
    pids = _pids(stack)
    before = {name: usage(pid).cpu_seconds for name, pid in pids.items()}
    await asyncio.sleep(STEADY_SECONDS)
    return {
        name: {
            "rss_bytes": usage(pid).rss_bytes,
            "cpu_ms_per_s": (usage(pid).cpu_seconds - before[name]) / STEADY_SECONDS * 1e3,
        }
        for name, pid in pids.items()
    }


async def _fan_out(stack: Stack, rounds: int = 3) -> dict[str, float]:
    walls = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        async with asyncio.timeout(FAN_OUT_PATIENCE_SECONDS):
            job = await (await stack.fleet.submit(["/bin/true"], on="sim-*")).wait(everyone=True)
        walls.append(time.perf_counter() - start)
        if job.state != "succeeded":
            raise SystemExit(f"cannot measure: job {job.job} is {job.state}: {job.counts}")
        await asyncio.sleep(1)
    return {"wall_s": statistics.median(walls[1:]), "best_s": min(walls[1:])}


async def _restart(stack: Stack) -> float:
    """kill -9 the engine; how long until the next one counts as many connections."""
    old, connections = stack.engine_pid, await stack.connections()
    os.kill(old, signal.SIGKILL)
    start = time.perf_counter()
    deadline = start + 120
    while time.perf_counter() < deadline:
        await asyncio.sleep(0.1)
        with contextlib.suppress(Unavailable):  # there is no engine yet
            if stack.engine_pid != old and await stack.connections() >= connections:
                return time.perf_counter() - start
    raise SystemExit(f"cannot measure: not all {connections} connections came back within 120 s")


async def run(nodes: int, processes: int | None) -> dict[str, Any]:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    result: dict[str, Any] = {"nodes": nodes, "asked": nodes, "nofile": limit}
    if nodes > limit - 500:
        nodes = result["nodes"] = limit - 500
        print(f"nofile {limit} caps this run at {nodes} nodes")
    async with Stack.temporary() as stack:
        start = time.perf_counter()
        await stack.simulate(nodes, processes=processes, flags=["--no-exec"])
        result["enrolled_and_online_s"] = time.perf_counter() - start
        result["steady"] = await _steady(stack)
        result["fan_out"] = await _fan_out(stack)
        result["after_fan_out"] = {name: usage(pid).rss_bytes for name, pid in _pids(stack).items()}
        result["engine_restart_s"] = await _restart(stack)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--processes", type=int, help="of the simulated nodes (default: as many as open files allow)")
    parser.add_argument("--json", metavar="F")
    options = parser.parse_args()
    result = asyncio.run(run(options.nodes, options.processes))
    print(f"{result['nodes']} nodes enrolled and online in {result['enrolled_and_online_s']:.1f} s")
    for name, entry in result["steady"].items():
        print(f"  {name:8s} {entry['rss_bytes'] / 2**20:7.0f} MiB   {entry['cpu_ms_per_s']:6.1f} ms/s idle CPU")
    print(
        f"fan-out without exec: {result['fan_out']['wall_s']:.2f} s; back after an engine restart: {result['engine_restart_s']:.1f} s"
    )
    report.write(result, options.json)


if __name__ == "__main__":
    main()

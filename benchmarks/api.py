"""The API with history: 1,000 nodes, 1,000,000 stored tasks, 50 clients at once, each asking what people and pages ask.

Twice: with a pause of --pause seconds after each answer, as a page that refreshes or a script has it; and without any, which shows
how much the server can do and what waiting in line for it costs.

python -m benchmarks.api [--tasks 1000000] [--clients 50] [--seconds 20] [--pause 0.2] [--json F]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.processes import usage
from corral.domain.ids import new_id
from corral.sdk import Fleet, connect
from corral.testing.stack import Stack

NODES = 1000
STATES = ("succeeded",) * 18 + ("failed", "timed_out")


def fill(database: Path, tasks: int) -> list[str]:
    """Write history straight into the closed database: `tasks` rows as jobs of one task per node. Returns the job ids."""
    chance = random.Random(1)  # the same history in every run
    now = time.time()
    with contextlib.closing(sqlite3.connect(database)) as db:
        db.execute("pragma synchronous=off")
        ids = []
        for number in range(tasks // NODES):
            at = now - 86400 * 20 + number * 1200
            job = new_id("J", int(at * 1000), os.urandom(6))
            ids.append(job)
            states = [chance.choice(STATES) for _ in range(NODES)]
            counts = json.dumps({state: states.count(state) for state in set(states)})
            spec = json.dumps({"argv": ["true"], "timeout": 300, "grace": 5, "max_output": 1 << 26})
            verdict = "succeeded" if set(states) == {"succeeded"} else "failed"
            db.execute(
                "insert into jobs (id,name,kind,target,spec,state,counts,nodes,pinned,created_at,created_by,expires_at,"
                "finished_at,offline,window)"
                " values (?,'','exec','all',?,?,?,?,'sha256:',?,'admin',?,?,'queue',3600)",
                (job, spec, verdict, counts, NODES, at, at + 3600, at + 2),
            )
            db.executemany(
                "insert into tasks (job,node,state,seq,exit_code,queued_at,started_at,finished_at,not_after) values (?,?,?,3,?,?,?,?,?)",
                [
                    (job, f"sim-{n + 1:05d}", state, 0 if state == "succeeded" else 1, at, at + 1, at + 2, at + 3600)
                    for n, state in enumerate(states)
                ],
            )
        db.commit()
    return ids


async def _client(
    fleet: Fleet, jobs: list[str], until: float, seen: dict[str, list[float]], seed: int, pause: float = 0.0
) -> None:
    chance = random.Random(seed)
    await asyncio.sleep(chance.random() * pause)
    while time.perf_counter() < until:
        job = chance.choice(jobs)
        name, method, path, body = chance.choice(
            [
                ("list jobs", "GET", "/jobs?limit=50", None),
                ("list failed jobs", "GET", "/jobs?limit=50&states=failed", None),
                ("one job, 200 tasks", "GET", f"/jobs/{job}?limit=200", None),
                ("failed tasks of a job", "GET", f"/jobs/{job}?limit=200&states=failed", None),
                ("why a task", "GET", f"/jobs/{job}/why?node=sim-00007", None),
                ("list 100 nodes", "GET", "/nodes?limit=100", None),
                (
                    "resolve 3 terms",
                    "POST",
                    "/nodes/resolve",
                    {"selector": 'labels["role"] == "web" and not labels["rack"] == "r03" and online'},
                ),
            ]
        )
        start = time.perf_counter()
        await fleet.call(method, path, body)
        seen.setdefault(name, []).append(time.perf_counter() - start)
        if pause:
            await asyncio.sleep(pause)


def _quantiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "count": len(ordered),
        "p50_s": ordered[len(ordered) // 2],
        "p95_s": ordered[int(len(ordered) * 0.95)],
        "max_s": ordered[-1],
    }


async def run(tasks: int, clients: int, seconds: float, pause: float) -> dict[str, Any]:
    async with Stack.temporary() as stack:
        await stack.simulate(NODES, flags=["--no-exec"])
        await stack.stop_server()
        jobs = await asyncio.to_thread(fill, stack.data / "corral.db", tasks)
        await stack.start_server()
        await stack.online(NODES)
        token = (stack.data / "admin.token").read_text().strip()
        fleets = [connect(stack.url, token) for _ in range(clients)]
        phases = {
            "with_pause": await _phase(fleets, jobs, seconds, pause),
            "without_pause": await _phase(fleets, jobs, seconds, 0.0),
        }
        for fleet in fleets:
            await fleet.close()
        assert stack.server is not None
        size = (stack.data / "corral.db").stat().st_size
        rss = usage(stack.server.pid).rss_bytes
    return {
        "tasks": tasks,
        "clients": clients,
        "pause_s": pause,
        **phases,
        "database_bytes": size,
        "server_rss_bytes": rss,
    }


async def _phase(fleets: list[Fleet], jobs: list[str], seconds: float, pause: float) -> dict[str, Any]:
    seen: dict[str, list[float]] = {}
    start = time.perf_counter()
    await asyncio.gather(
        *(_client(fleet, jobs, start + seconds, seen, number, pause) for number, fleet in enumerate(fleets))
    )
    everything = [value for values in seen.values() for value in values]
    return {
        "requests_per_s": len(everything) / (time.perf_counter() - start),
        "all": _quantiles(everything),
        "by_request": {name: _quantiles(values) for name, values in sorted(seen.items())},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds between an answer and the next request")
    parser.add_argument("--json", metavar="F")
    options = parser.parse_args()
    result = asyncio.run(run(options.tasks, options.clients, options.seconds, options.pause))
    for title, phase in ((f"{options.pause:g} s after each answer", "with_pause"), ("no pause", "without_pause")):
        print(
            f"{options.clients} clients, {title}: {result[phase]['requests_per_s']:.0f} requests/s on {options.tasks} stored tasks"
        )
        for name, entry in {"all": result[phase]["all"], **result[phase]["by_request"]}.items():
            print(
                f"  {name:24s} p50 {entry['p50_s'] * 1e3:7.1f} ms   p95 {entry['p95_s'] * 1e3:7.1f} ms   {entry['count']} requests"
            )
    report.write(result, options.json)


if __name__ == "__main__":
    main()

"""The command line as a whole process: `corral exec run -t … -- true` on 1 and 100 nodes, and its start-up alone.

python -m benchmarks.cli [--nodes 1,100] [--json F]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.floor import floor_seconds
from corral.testing.stack import Stack

ARGV = ["/bin/sh", "-c", "true"]


def _seconds(argv: list[str], env: dict[str, str], rounds: int) -> list[float]:
    walls = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        subprocess.run(argv, env=env, check=True, capture_output=True)
        walls.append(time.perf_counter() - start)
    return walls[1:]


async def run(counts: list[int], rounds: int) -> dict[str, Any]:
    corral = str(Path(sys.executable).with_name("corral"))
    result: dict[str, Any] = {"nodes": {}}
    bare = _seconds([sys.executable, "-c", "pass"], dict(os.environ), rounds)
    start_up = _seconds([corral, "--help"], dict(os.environ), rounds)
    result["python_s"], result["help_s"] = statistics.median(bare), statistics.median(start_up)
    async with Stack.temporary() as stack:
        await stack.simulate(max(counts))
        token = (stack.data / "admin.token").read_text().strip()
        env = {**os.environ, "CORRAL_URL": stack.url, "CORRAL_TOKEN": token}
        for count in counts:
            argv = [corral, "exec", "run", "--yes", "-t", f'"first-{count}" in groups', "--", *ARGV]
            walls = await asyncio.to_thread(_seconds, argv, env, rounds)
            result["nodes"][str(count)] = {
                "wall_s": statistics.median(walls),
                "best_s": min(walls),
                "worst_s": max(walls),
            }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", default="1,100")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", metavar="F")
    options = parser.parse_args()
    counts = [int(word) for word in options.nodes.split(",")]
    result = asyncio.run(run(counts, options.rounds))
    print(f"start-up: python alone {result['python_s'] * 1e3:.0f} ms, corral --help {result['help_s'] * 1e3:.0f} ms")
    for count in counts:
        entry = result["nodes"][str(count)]
        entry["floor_s"] = floor_seconds(ARGV, count)
        print(
            f"{count:6d} nodes: {entry['wall_s'] * 1e3:8.1f} ms whole process, fork/exec floor {entry['floor_s'] * 1e3:7.1f} ms"
        )
    report.write(result, options.json)


if __name__ == "__main__":
    main()

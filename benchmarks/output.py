"""Task output end to end, from writers on nodes to one follower: 1 writer at full speed, 50 writers, and the first byte.

python -m benchmarks.output [--megabytes 64] [--json F]      (floor: the same bytes through a pipe on this machine, same run)
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import time
from typing import Any

from benchmarks import report
from corral.sdk.events import Output
from corral.testing.stack import Stack

LINE = "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmno\n"


def _writer(megabytes: float) -> str:
    return f"yes '{LINE.strip()}' | head -c {int(megabytes * 1e6)}"


def _floor(megabytes: float) -> float:
    start = time.perf_counter()
    subprocess.run(["/bin/sh", "-c", f"{_writer(megabytes)} | cat >/dev/null"], check=True)
    return time.perf_counter() - start


async def _follow(stack: Stack, writers: int, megabytes: float) -> dict[str, Any]:
    """Follow a job to its end; every byte of every node must have come, in order."""
    start = time.perf_counter()
    handle = await stack.fleet.submit(
        _writer(megabytes), on=f'"first-{writers}" in groups', shell=True, max_output=1 << 30
    )
    got: dict[str, int] = {}
    async for event in handle.follow(everyone=True):
        if isinstance(event, Output):
            got[event.node] = got.get(event.node, 0) + len(event.data)
    wall = time.perf_counter() - start
    expected = writers * int(megabytes * 1e6)
    if sum(got.values()) != expected:
        raise SystemExit(f"cannot measure: {sum(got.values())} of {expected} bytes came")
    return {"writers": writers, "bytes": expected, "wall_s": wall, "mb_per_s": expected / wall / 1e6}


async def _first_byte(stack: Stack, rounds: int = 9) -> list[float]:
    """From the moment the command printed (its own clock) to the moment a follower saw it."""
    delays = []
    for _ in range(rounds):
        handle = await stack.fleet.submit("sleep 0.3; date +%s.%N; sleep 0.3", on='"first-1" in groups', shell=True)
        delays += [
            time.time() - float(event.data.decode().strip())
            async for event in handle.follow(everyone=True)
            if isinstance(event, Output) and event.data.strip()
        ]
    return sorted(delays)


async def run(megabytes: float) -> dict[str, Any]:
    async with Stack.temporary() as stack:
        await stack.simulate(50)
        first = await _first_byte(stack)
        one = await _follow(stack, 1, megabytes)
        many = await _follow(stack, 50, megabytes / 50)
    return {"first_byte_s": {"p50": first[len(first) // 2], "worst": first[-1]}, "runs": [one, many]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=64.0)
    parser.add_argument("--json", metavar="F")
    options = parser.parse_args()
    result = asyncio.run(run(options.megabytes)) | {"floor_s": _floor(options.megabytes)}
    first = result["first_byte_s"]
    print(f"first byte: {first['p50'] * 1e3:.0f} ms at the median, {first['worst'] * 1e3:.0f} ms at worst")
    for entry in result["runs"]:
        print(
            f"{entry['writers']:3d} writers: {entry['mb_per_s']:6.1f} MB/s to a follower, {entry['wall_s']:.1f} s"
            f" (a pipe: {result['floor_s']:.2f} s)"
        )
    report.write(result, options.json)


if __name__ == "__main__":
    main()

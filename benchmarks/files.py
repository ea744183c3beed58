"""Files to simulated nodes, on disk and verified: one big file to 1, 10, 100 nodes and a small one to 1,000, beside plain copies of the
same bytes in the same run (kernel copy and fsync, one after the other).

python -m benchmarks.files [--megabytes 64] [--nodes 1,10,100] [--small 1000] [--json F]
All nodes share this machine: what is measured is engine, links, opening, disk; every node writes its own copy.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks import report
from corral.testing.stack import Stack

MB = 1_000_000


def _make(folder: Path, megabytes: float, name: str) -> tuple[Path, str]:
    """Random bytes, so that nothing on the way can make them smaller."""
    path = folder / name
    digest = hashlib.sha256()
    with path.open("wb") as file:
        left = int(megabytes * MB)
        while left:
            data = os.urandom(min(left, 4 << 20))
            digest.update(data)
            file.write(data)
            left -= len(data)
    return path, digest.hexdigest()


def _copy(source: Path, count: int) -> float:
    """`count` plain copies, each on disk."""
    start = time.perf_counter()
    folder = source.parent / "copies"
    folder.mkdir()
    for number in range(count):
        target = folder / str(number)
        shutil.copyfile(source, target)
        fd = os.open(target, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    wall = time.perf_counter() - start
    shutil.rmtree(folder)
    return wall


def _verify(folder: Path, count: int, digest: str) -> None:
    found = sorted(folder.glob("*/file"))
    if len(found) != count:
        raise SystemExit(f"cannot measure: {len(found)} of {count} nodes have the file")
    for path in found:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise SystemExit(f"cannot measure: {path} is another file")


async def _ship(stack: Stack, count: int, megabytes: float, name: str) -> dict[str, Any]:
    source, digest = await asyncio.to_thread(_make, stack.folder, megabytes, f"{name}.bin")
    size = source.stat().st_size
    start = time.perf_counter()
    revision = await stack.fleet.files.upload(source)
    uploaded = time.perf_counter() - start
    place = stack.folder / name
    start = time.perf_counter()
    handle = await stack.fleet.files.apply(
        revision.source_path,
        f"{place}/{{{{ node.id }}}}/file",
        on=f'"first-{count}" in groups' if count > 1 else "sim-00001",
        timeout=600.0,
    )
    job = await handle.wait()
    wall = time.perf_counter() - start
    if not job.succeeded:
        bad = next(task for task in job.tasks if not task.succeeded)
        raise SystemExit(f"cannot measure: {dict(job.counts)}; {bad.node}: {bad.detail}")
    first = min(task.finished_at for task in job.tasks if task.finished_at) - job.created_at  # type: ignore[operator]  # both are there
    await asyncio.to_thread(_verify, place, count, digest)
    shutil.rmtree(place)
    floor = await asyncio.to_thread(_copy, source, count)
    source.unlink()
    return {
        "nodes": count,
        "bytes_each": size,
        "upload_s": uploaded,
        "upload_mb_per_s": size / uploaded / MB,
        "wall_s": wall,
        "first_node_s": first.total_seconds(),
        "mb_per_s": count * size / wall / MB,
        "floor_s": floor,
        "floor_mb_per_s": count * size / floor / MB,
    }


async def run(megabytes: float, counts: list[int], small: int) -> dict[str, Any]:
    runs = []
    async with Stack.temporary() as stack:
        most = max([*counts, small])
        await stack.simulate(most)
        await _ship(stack, 1, 1, "warm")
        for count in counts:
            runs += [await _ship(stack, count, megabytes, f"big-{count}")]
        if small:
            runs.append(await _ship(stack, small, 1, f"small-{small}"))
    return {"runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=64.0)
    parser.add_argument(
        "--nodes", default="1,10,100", help="how many nodes get the big file, one run each (1, 10, 100 or 1000)"
    )
    parser.add_argument("--small", type=int, default=1000, help="how many nodes get 1 MB (0 = none)")
    parser.add_argument("--json", metavar="F")
    options = parser.parse_args()
    result = asyncio.run(run(options.megabytes, [int(word) for word in options.nodes.split(",")], options.small))
    for entry in result["runs"]:
        print(
            f"{entry['bytes_each'] / MB:5.0f} MB to {entry['nodes']:4d} nodes: {entry['wall_s']:6.2f} s,"
            f" {entry['mb_per_s']:6.0f} MB/s in all (plain copies {entry['floor_s']:6.2f} s, {entry['floor_mb_per_s']:5.0f} MB/s);"
            f" up to the server {entry['upload_s']:.2f} s"
        )
    report.write(result, options.json)


if __name__ == "__main__":
    main()

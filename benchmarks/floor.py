"""The physical floor: the same argv started N times at once by one process, pidfd and pipes, nothing else."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Sequence


def _end(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


async def _one(argv: Sequence[str]) -> bytes:
    loop = asyncio.get_running_loop()
    read, write = os.pipe2(os.O_CLOEXEC)
    pid = os.posix_spawn(
        argv[0],
        list(argv),
        {"PATH": "/usr/bin:/bin"},
        setsid=True,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, write, 1),
            (os.POSIX_SPAWN_DUP2, write, 2),
        ],
    )
    os.close(write)
    pidfd = os.pidfd_open(pid)
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(pidfd, _end, ended)
    try:
        await ended
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    os.waitpid(pid, 0)
    output = os.read(read, 65536)
    os.close(read)
    return output


async def _round(argv: Sequence[str], count: int) -> float:
    start = time.perf_counter()
    await asyncio.gather(*(_one(argv) for _ in range(count)))
    return time.perf_counter() - start


def floor_seconds(argv: Sequence[str], count: int, *, rounds: int = 5) -> float:
    """Median wall time of starting `argv` `count` times at once and collecting every end."""
    return statistics.median(asyncio.run(_round(argv, count)) for _ in range(rounds))

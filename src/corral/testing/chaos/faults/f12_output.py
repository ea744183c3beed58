"""F12, T17: commands that write far more than anybody wants: gigabytes, millions of lines, noise, no newline, one endless line.

Expected: the worker's memory and the spool stay bounded, the byte counts shown are true, what was cut is said to be cut, the first and
the last part are kept, other tasks go on as usual, and the CLI can show all of it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from corral.runtime.lifecycle import TaskSet
from corral.testing.chaos import measure
from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.real_node import RealNode

MIB: Final = 1 << 20
CAP: Final = 4 * MIB
RSS_MAX_MB: Final = 50.0
RSS_GROWTH_MAX_MB: Final = 16.0
SPOOL_SLACK: Final = 256 * MIB
"""What a writer at full speed puts down between two looks at it."""
SPACE_MIN: Final = 8 << 30


@dataclass(frozen=True, kw_only=True)
class Abuse:
    name: str
    command: str
    size: int
    start: bytes


def abuses(big: int) -> tuple[Abuse, ...]:
    line = "abcdefghijklmnopqrstuvwxyz0123456789"
    return (
        Abuse(name="yes", command=f"yes | head -c {big}", size=big, start=b"y\ny\n"),
        Abuse(name="lines", command="yes 7 | head -n 4000000", size=8_000_000, start=b"7\n7\n"),
        Abuse(name="binary", command=f"head -c {48 * MIB} /dev/urandom", size=48 * MIB, start=b""),
        Abuse(name="no newline", command=f"yes {line} | tr -d '\\n' | head -c {48 * MIB}", size=48 * MIB, start=b"abc"),
        Abuse(name="one line", command=f"head -c {100_000_000} /dev/zero | tr '\\0' x", size=100_000_000, start=b"xxx"),
    )


class Watcher:
    """Looks at the worker's memory and at what its spool really takes on disk, all the time."""

    def __init__(self, node: RealNode) -> None:
        self._node = node
        self.rss_mb = 0.0
        self.spool_bytes = 0

    async def look(self, field: Field) -> None:
        while True:
            self.rss_mb = max(self.rss_mb, measure.rss_mb(self._node.pid("worker")))
            self.spool_bytes = max(self.spool_bytes, allocated(self._node.state.spool))
            await field.clock.sleep(0.02)


def allocated(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(f"{root}/{name}").st_blocks * 512
            except OSError:
                continue
    return total


@asynccontextmanager
async def watching(node: RealNode, field: Field) -> AsyncGenerator[Watcher, None]:
    tasks = TaskSet("watch")
    watcher = Watcher(node)
    tasks.start(watcher.look(field), name="look")
    try:
        yield watcher
    finally:
        await tasks.close()


async def run(ground: Ground) -> Outcome:
    problems: list[str] = []
    figures: dict[str, Any] = {}
    async with ground.field(2, processes=1) as field, RealNode.enrolled(field.stack, "big") as node:
        if shutil.disk_usage(field.stack.folder).free < SPACE_MIN:
            raise OSError("not enough free space for this fault: 8 GiB wanted")
        await field.stack.online(3)
        await measure.latencies(field, 3, on="big")
        calm = await measure.latencies(field, 15, on=f"{field.prefix}-00001")
        before = measure.rss_mb(node.pid("worker"))
        async with watching(node, field) as watcher:
            for abuse in abuses(ground.pick(1_000_000_000, 1_500_000_000)):
                found, wrong = await _suffer(field, abuse)
                figures[abuse.name] = found
                problems += [f"{abuse.name}: {text}" for text in wrong]
        figures["worker_rss_mb"] = {"before": round(before, 1), "peak": round(watcher.rss_mb, 1)}
        figures["spool_peak_mib"] = round(watcher.spool_bytes / MIB, 1)
        figures["usual"] = measure.summary(calm)
        if watcher.rss_mb > RSS_MAX_MB or watcher.rss_mb - before > RSS_GROWTH_MAX_MB:
            problems.append(f"the worker's memory went from {before:.1f} to {watcher.rss_mb:.1f} MB")
        if watcher.spool_bytes > CAP + SPOOL_SLACK:
            problems.append(f"the spool took {watcher.spool_bytes / MIB:.0f} MiB")
        problems += (await field.judge(outputs=False)).problems
    return Outcome(ran=len(abuses(0)), problems=problems, figures=figures)


async def _suffer(field: Field, abuse: Abuse) -> tuple[Mapping[str, Any], list[str]]:
    began = field.clock.monotonic()
    handle = await field.fleet.submit(  # noqa: S604  # the point of it: a command of ours in a shell
        # its own mark first: the checker counts executions by it
        f"printf '%s\\n' \"$CORRAL_TASK\" >>{field.log}; {abuse.command}",
        on="big",
        shell=True,
        max_output=CAP,
        timeout=120,
    )
    others: list[float] = []
    job = await handle.refresh()
    while job.open and field.clock.monotonic() - began < 120:
        others += await measure.latencies(field, 1, on=f"{field.prefix}-00001")
        job = await handle.refresh()
    task = job.tasks[0]
    raw = b"".join([piece async for piece in field.fleet.jobs.raw_output(job.job, "big", "stdout")])
    wrong = []
    if task.state != "succeeded":
        wrong.append(f"{task.state} {task.reason} {task.detail}")
    if task.stdout_bytes != abuse.size:
        wrong.append(f"wrote {abuse.size} bytes, {task.stdout_bytes} are shown")
    if not task.truncated:
        wrong.append("it was cut and is not said to be")
    if not CAP // 2 <= len(raw) <= CAP + 64 * 1024 or not raw.startswith(abuse.start):
        wrong.append(f"{len(raw)} bytes were kept, beginning with {raw[:8]!r}")
    shown = await _cli(field, job.job)
    if shown is not None:
        wrong.append(shown)
    return {
        "seconds": round(field.clock.monotonic() - began, 1),
        "bytes": task.stdout_bytes,
        "kept": len(raw),
        "others": measure.summary(others),
    }, wrong


async def _cli(field: Field, job: str) -> str | None:
    """`exec get --with-output` and `exec logs` end by themselves and well."""
    token = (field.stack.data / "admin.token").read_text().strip()
    env = {**os.environ, "CORRAL_URL": field.stack.url, "CORRAL_TOKEN": token}
    for words in (["exec", "get", job, "--with-output"], ["exec", "logs", job], ["exec", "logs", job, "--raw"]):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "corral",
            *words,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, said = await asyncio.wait_for(process.communicate(), 60)
        except TimeoutError:
            process.kill()
            await process.wait()
            return f"corral {' '.join(words)} does not end"
        if process.returncode != 0 or b"Traceback" in said:
            return f"corral {' '.join(words)} ended with {process.returncode}: {said[-300:]!r}"
    return None


FAULT = Fault(name="F12", title="giant output", asked="10 GB, lines, binary, one line", run=run)

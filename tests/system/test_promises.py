"""What `exec run` promises, on real processes: cancel with a receipt, offline policy, expiry, concurrency, retries, time limits.

One control plane with four simulated nodes in two processes serves the whole file; the second process is what goes offline.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from corral.sdk import Job, Submission
from corral.testing.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with Stack.temporary() as running:
        await running.simulate(4, prefix="p")
        yield running


async def until(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"not within {seconds:g} s: {what}")


async def over(stack: Stack, job: str, seconds: float = 30.0) -> Job:
    async with asyncio.timeout(seconds):
        while (now := await stack.fleet.jobs.get(job, with_output=True)).open:
            await asyncio.sleep(0.05)
    return now


async def submit(stack: Stack, script: str, target: str = "all", **limits: object) -> str:
    what = Submission(target=target, shell=script, **limits)  # type: ignore[arg-type]  # a test's short hand
    return (await stack.fleet.jobs.submit(what)).id


async def cli(stack: Stack, *words: str) -> tuple[int, str, str]:
    token = (stack.data / "admin.token").read_text().strip()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "corral",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "CORRAL_URL": stack.url, "CORRAL_TOKEN": token},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def go_offline(stack: Stack) -> None:
    """p-00002 and p-00004, which live in the second process."""
    stack.hosts[1].terminate()
    await stack.hosts[1].wait()

    async with asyncio.timeout(15):
        while len((await stack.fleet.call("POST", "/nodes/resolve", {"selector": "online"}))["nodes"]) != 2:
            await asyncio.sleep(0.05)


async def come_back(stack: Stack) -> None:
    stack.hosts[1] = await stack.start_host(1)
    await stack.online(4)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


async def test_a_tree_that_forks_leaves_its_session_and_ignores_term_is_cancelled_with_a_receipt(
    stack: Stack, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    stubborn = tmp_path / "stubborn"
    stubborn.write_text(f"trap '' TERM; echo $$ >>{pids}; while :; do sleep 0.1; done\n")
    script = f"( setsid sh {stubborn} & ); sh {stubborn} & sh {stubborn}"
    job = await submit(stack, script, "p-00001", grace=1)
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 3, "all three run")
    began = time.monotonic()
    await stack.fleet.jobs.cancel(job)
    task = (await over(stack, job)).tasks[0]
    assert time.monotonic() - began < 1 + 4
    assert (task.state, task.reason) == ("cancelled", "killed")
    receipt = task.raw["cancel"]
    signalled = {entry["pid"]: entry["signals"] for entry in receipt["signalled"]}
    for pid in map(int, pids.read_text().split()):
        assert signalled[pid] == ["SIGTERM", "SIGKILL"]
        assert not alive(pid)
    assert receipt["survivors"] == []
    assert receipt["killed"] >= 3


async def test_what_waits_for_its_turn_is_withdrawn_at_once(stack: Stack, tmp_path: Path) -> None:
    log = tmp_path / "ran"
    job = await submit(stack, f"echo $CORRAL_TASK >>{log}; sleep 30", concurrency=1)
    await until(log.exists, "the first one runs")
    await stack.fleet.jobs.cancel(job)
    done = await over(stack, job)
    assert sorted((task.state, task.reason) for task in done.tasks) == [
        ("cancelled", "killed"),
        *[("cancelled", "withdrawn")] * 3,
    ]
    assert done.state == "cancelled"
    assert len(log.read_text().splitlines()) == 1


async def test_offline_nodes_are_skipped_or_waited_for_and_hear_of_a_cancel_before_the_job(
    stack: Stack, tmp_path: Path
) -> None:
    log = tmp_path / "ran"
    await go_offline(stack)
    try:
        expiring = await submit(stack, "true", "p-00002", expires=1)
        skipped = await submit(stack, "true", offline="skip")
        queued = await submit(stack, f"echo queued $CORRAL_TASK >>{log}")
        cancelled = await submit(stack, f"echo cancelled $CORRAL_TASK >>{log}", "p-00002,p-00004")
        done = await over(stack, skipped)
        assert [(task.node, task.state, task.reason) for task in sorted(done.tasks, key=lambda task: task.node)] == [
            ("p-00001", "succeeded", ""),
            ("p-00002", "expired", "offline_skipped"),
            ("p-00003", "succeeded", ""),
            ("p-00004", "expired", "offline_skipped"),
        ]
        waiting = {task.node: task for task in (await stack.fleet.jobs.get(queued)).tasks}
        assert (waiting["p-00002"].state, waiting["p-00002"].reason) == ("queued", "offline")
        await stack.fleet.jobs.cancel(cancelled)
        gone = await over(stack, cancelled, seconds=10)
        assert {(task.state, task.reason) for task in gone.tasks} == {("cancelled", "withdrawn")}
        # expired is said 30 s after the deadline, when the node cannot have got it any more
        dead = await over(stack, expiring, seconds=60)
        assert (dead.tasks[0].state, dead.tasks[0].reason) == ("expired", "not_delivered")
    finally:
        await come_back(stack)
    assert {task.state for task in (await over(stack, queued)).tasks} == {"succeeded"}
    assert sorted(line.split()[0] for line in log.read_text().splitlines()) == ["queued"] * 4


async def test_no_more_run_at_once_than_concurrency_says(stack: Stack, tmp_path: Path) -> None:
    log = tmp_path / "times"
    jobs = [
        await submit(stack, f"echo + {n} >>{log}; sleep 0.3; echo - {n} >>{log}", concurrency=limit)
        for n, limit in ((1, 1), (2, 3))
    ]
    for job in jobs:
        assert (await over(stack, job)).succeeded
    now, most = {"1": 0, "2": 0}, {"1": 0, "2": 0}
    for line in log.read_text().splitlines():
        sign, which = line.split()
        now[which] += 1 if sign == "+" else -1
        most[which] = max(most[which], now[which])
    assert most["1"] == 1
    assert 2 <= most["2"] <= 3


async def test_retries_are_new_attempts_each_run_once_until_one_succeeds_or_none_is_left(
    stack: Stack, tmp_path: Path
) -> None:
    log = tmp_path / "ran"
    script = f"echo $CORRAL_TASK >>{log}; test ${{CORRAL_TASK##*.}} -ge 3"
    enough = await over(stack, await submit(stack, script, "p-00001,p-00002", retries=2))
    assert [(task.state, task.attempt) for task in enough.tasks] == [("succeeded", 3)] * 2
    lines = log.read_text().splitlines()
    assert sorted(lines) == sorted({f"{t.node}.{enough.job}.{n}" for t in enough.tasks for n in (1, 2, 3)})
    short = await over(stack, await submit(stack, script, "p-00003", retries=1))
    assert [(task.state, task.attempt, task.exit_code) for task in short.tasks] == [("failed", 2, 1)]
    by_hand = await stack.fleet.jobs.retry(short.job)
    assert [(task.state, task.attempt) for task in (await over(stack, by_hand.id)).tasks] == [("succeeded", 3)]


async def test_a_time_limit_ends_the_command_and_the_command_line_says_124(stack: Stack) -> None:
    words = (
        "exec",
        "run",
        "-t",
        "p-00001,p-00002",
        "--timeout",
        "1s",
        "--grace",
        "1s",
        "-o",
        "json",
        "--",
        "sleep",
        "60",
    )
    status, out, err = await cli(stack, *words)
    assert status == 124, err
    assert [(task["state"], task["reason"]) for task in json.loads(out)["tasks"]] == [("timed_out", "timeout")] * 2


async def test_a_limit_that_only_some_exceed_is_a_failure_like_any_other(stack: Stack) -> None:
    script = 'case "$CORRAL_TASK" in p-00001.*) sleep 60;; p-00002.*) exit 3;; esac'
    status, out, _ = await cli(
        stack, "exec", "run", "-t", "all", "--timeout", "1s", "-o", "json", "--shell", "--", script
    )
    assert status == 1
    states = {task["node"]: (task["state"], task["exit_code"]) for task in json.loads(out)["tasks"]}
    assert states["p-00002"] == ("failed", 3)
    assert states["p-00001"][0] == "timed_out"
    assert states["p-00003"] == states["p-00004"] == ("succeeded", 0)

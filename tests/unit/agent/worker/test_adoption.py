"""A worker that died, at any moment: what ran is adopted, what ended is reported, what never started starts once."""

import asyncio
import os
import signal
import sqlite3
from pathlib import Path

import pytest

from corral.agent.worker.adoption import is_wrapper
from corral.agent.worker.wrapper import Claim, read_claim, read_status, take_claim
from corral.runtime.process import reap, spawn, start_time


def counting(tmp_path, rest="true"):
    """A command that leaves one byte per start, then does `rest`."""
    path = tmp_path / "starts"
    return f"printf x >>{path}; {rest}", lambda: path.stat().st_size if path.exists() else 0


async def test_a_task_survives_kill_9_of_its_worker_with_exit_code_and_output(child, tmp_path):
    text, starts = counting(
        tmp_path, "for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; sleep 0.1; done; echo bad >&2; exit 9"
    )
    await child.start()
    child.plane.push("task", child.plane.task(shell=text))
    await child.plane.until(lambda: child.plane.chunks)
    child.kill()
    await asyncio.sleep(0.2)
    await child.start()
    end = await child.plane.end()
    assert (end["state"], end["exit_code"]) == ("failed", 9)
    assert child.plane.stream()[0] == b"".join(b"line %d\n" % n for n in range(1, 11))
    assert child.plane.stream(stream="stderr")[0] == b"bad\n"
    assert starts() == 1
    assert end["finished_at"] - end["started_at"] > 0.9


async def test_a_task_that_ended_while_nobody_looked_is_reported_with_its_true_end(child, tmp_path):
    text, starts = counting(tmp_path, "echo out; sleep 0.3; exit 4")
    await child.start()
    child.plane.push("task", child.plane.task(shell=text))
    await child.plane.until(starts)
    child.kill()
    await asyncio.sleep(1.2)
    restarted_at = child.plane.now()
    await child.start()
    end = await child.plane.end()
    assert (end["state"], end["exit_code"]) == ("failed", 4)
    assert end["finished_at"] < restarted_at - 0.3
    assert child.plane.stream()[0] == b"out\n"
    assert starts() == 1


async def test_many_tasks_under_many_kills_each_run_once_and_end_once(child, tmp_path):
    log = tmp_path / "log"
    await child.start()
    for number in range(40):
        wire = child.plane.task(
            f"J{number}", shell=f"echo {number} >>{log}; sleep 0.{number % 7}; echo o{number}; exit {number % 3}"
        )
        child.plane.push("task", wire)
        child.plane.pending.append(wire)
        if number % 8 == 5:
            await asyncio.sleep(0.02 * (number % 5))
            child.kill()
            await child.start()
    for number in range(40):
        end = await child.plane.end(f"J{number}")
        assert end["exit_code"] == number % 3, end
        await child.plane.until(lambda n=number: child.plane.stream(f"J{n}")[0] == b"o%d\n" % n)
    assert sorted(map(int, log.read_text().split())) == list(range(40))
    outcomes = {(r["job"], r["state"], r["exit_code"]) for n in range(40) for r in child.plane.ends(f"J{n}")}
    assert len(outcomes) == 40


async def test_after_another_boot_what_was_running_is_interrupted_and_never_run_again(child, tmp_path):
    text, starts = counting(tmp_path, "sleep 60")
    await child.start(TEST_BOOT_ID="boot-1")
    child.plane.push("task", child.plane.task(shell=text, timeout=120.0))
    await child.plane.until(starts)
    claim = read_claim(str(child.root / "spool" / "J1.1"))
    child.kill()
    os.killpg(claim.pid, signal.SIGKILL)
    await child.start(TEST_BOOT_ID="boot-2")
    end = await child.plane.end()
    assert (end["state"], end["reason"]) == ("interrupted", "reboot")
    assert starts() == 1


async def test_a_wrapper_killed_from_outside_is_interrupted_also_when_nobody_looked(child, tmp_path):
    text, starts = counting(tmp_path, "sleep 60")
    await child.start()
    for job in ("J1", "J2"):
        child.plane.push("task", child.plane.task(job, shell=text))
    await child.plane.until(lambda: starts() == 2)
    os.killpg(read_claim(str(child.root / "spool" / "J1.1")).pid, signal.SIGKILL)
    end = await child.plane.end("J1")
    assert (end["state"], end["reason"]) == ("interrupted", "wrapper_gone")
    claim = read_claim(str(child.root / "spool" / "J2.1"))
    child.kill()
    os.killpg(claim.pid, signal.SIGKILL)
    await child.start()
    end = await child.plane.end("J2")
    assert (end["state"], end["reason"]) == ("interrupted", "wrapper_gone")
    assert starts() == 2


async def test_a_cancel_that_came_before_the_crash_is_carried_out_after_it(child, tmp_path):
    text, starts = counting(tmp_path, "trap '' TERM; sleep 60 & wait; sleep 60")
    await child.start()
    child.plane.push("task", child.plane.task(shell=text, grace=30.0))
    await child.plane.until(starts)
    child.plane.push("cancel", child.plane.cancel(grace=0.5))
    await asyncio.sleep(0.15)
    child.kill()
    await child.start()
    end = await child.plane.end()
    assert (end["state"], end["reason"]) == ("cancelled", "killed")


async def test_what_the_dying_worker_had_stopped_is_cancelled_not_failed(child, tmp_path):
    text, starts = counting(tmp_path, "exec sleep 60")
    await child.start(TEST_CRASH="corral.agent.worker.supervision:Supervision.exited:before")
    child.plane.push("task", child.plane.task(shell=text))
    await child.plane.until(starts)
    child.plane.push("cancel", child.plane.cancel())
    await child.plane.until(lambda: child.process.poll() is not None)
    child.kill()
    await child.start()
    end = await child.plane.end()
    assert (end["state"], end["reason"], end["exit_code"]) == ("cancelled", "killed", 143)


async def test_the_time_limit_counts_on_over_a_restart(child, tmp_path):
    text, starts = counting(tmp_path, "sleep 60")
    await child.start()
    child.plane.push("task", child.plane.task(shell=text, timeout=1.5))
    await child.plane.until(starts)
    child.kill()
    await asyncio.sleep(0.5)
    await child.start()
    end = await child.plane.end()
    assert end["state"] == "timed_out"
    assert end["finished_at"] - end["started_at"] < 3


WORKER = "corral.agent.worker."
STEPS = (
    "journal:Journal.add",
    "journal:Journal.starting",
    "invocation:Preparer.prepare",
    "wrapper:Launcher.launch",
    "supervision:Supervision.follow",
    "supervision:Supervision.exited",
    "output:OutputFollower.end",
    "journal:Journal.done",
    "closing:Closing._leave",
    "outbox:Outbox.put",
    "outbox:Outbox.receipt",
    "journal:Journal.flush",
    "closing:Closing._sweep",
)


async def crash_and_recover(child, tmp_path, *points, queued=False):
    """One task, pushed and pushed again, while the worker dies at each of `points` in turn; then a worker that lives."""
    text, starts = counting(tmp_path, "echo out; echo err >&2; sleep 0.05; exit 3")
    plane = child.plane
    for point in (*points, ""):
        await child.start(TEST_CRASH=point, TEST_SLOTS=1)
        if queued and point == points[0]:
            plane.push("task", plane.task("J0", argv=["sleep", "0.3"]))
        wire = plane.task(shell=text)
        plane.pending = [wire]
        plane.push("task", wire)
        plane.push("task", wire)
        if point:
            await plane.until(lambda: child.process.poll() is not None, point)
            child.kill()
    ends = {(e["state"], e["exit_code"], e["stdout_bytes"], e["stderr_bytes"], e["token"]) for e in [await plane.end()]}
    await plane.until(lambda: plane.stream()[0] == b"out\n" and plane.stream(stream="stderr")[0] == b"err\n")
    ends |= {(e["state"], e["exit_code"], e["stdout_bytes"], e["stderr_bytes"], e["token"]) for e in plane.ends()}
    assert starts() == 1
    assert {end[:4] for end in ends} == {("failed", 3, 4, 4)}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_at_any_boundary_starts_nothing_twice_and_loses_nothing(child, tmp_path, step, when):
    await crash_and_recover(child, tmp_path, f"{WORKER}{step}:{when}", queued="starting" in step)


@pytest.mark.parametrize(
    "second", ["adoption:take_claim:after", "journal:Journal.starting:before", "journal:Journal.starting:after"]
)
async def test_a_crash_while_recovering_from_a_start_without_a_claim_still_runs_it_once(child, tmp_path, second):
    await crash_and_recover(child, tmp_path, f"{WORKER}wrapper:Launcher.launch:before", f"{WORKER}{second}")


@pytest.mark.parametrize(
    "second", ["adoption:Adoption.recover:after", "runner:Runner.adopt:after", "runner:Runner._say:before"]
)
async def test_a_crash_while_adopting_still_runs_it_once(child, tmp_path, second):
    if second.startswith("adoption"):
        await crash_and_recover(child, tmp_path, f"{WORKER}wrapper:Launcher.launch:after", f"{WORKER}{second}")
        return
    text, starts = counting(tmp_path, "sleep 1; echo out; exit 3")
    await child.start(TEST_CRASH=f"{WORKER}supervision:Supervision.follow:after")
    child.plane.push("task", child.plane.task(shell=text))
    await child.plane.until(lambda: child.process.poll() is not None)
    child.kill()
    child.plane.answers = False
    await child.spawn(TEST_CRASH=f"{WORKER}{second}")
    await child.plane.until(lambda: child.process.poll() is not None)
    child.kill()
    child.plane.answers = True
    await child.start()
    assert (await child.plane.end())["exit_code"] == 3
    assert starts() == 1


def test_a_claim_is_taken_by_exactly_one(tmp_path):
    folder = str(tmp_path / "a")
    assert read_claim(folder) is None
    assert take_claim(folder)
    assert not take_claim(folder)
    assert read_claim(folder).pid == 0


def test_half_a_claim_or_half_a_status_is_not_one(tmp_path):
    (tmp_path / "claim").write_bytes(b"123")
    (tmp_path / "rc").write_bytes(b"1")
    assert read_claim(str(tmp_path)).pid == -1
    assert read_status(str(tmp_path)) is None
    (tmp_path / "rc").write_bytes(b"12\n")
    assert read_status(str(tmp_path)) == 12


def test_a_process_that_got_the_pid_later_is_not_the_wrapper():
    pid = spawn(("/bin/sleep", "30"), {"CORRAL_TASK": "n1.J1.1"})
    try:
        # a process in the middle of its exec shows no environment yet; a claim is only written after it
        while not Path(f"/proc/{pid}/environ").read_bytes():
            pass
        assert is_wrapper(Claim(pid, None), "CORRAL_TASK=n1.J1.1")
        assert not is_wrapper(Claim(pid, None), "CORRAL_TASK=n1.J1.2")
        assert is_wrapper(Claim(pid, start_time(pid)), "x=y")
        assert not is_wrapper(Claim(pid, start_time(pid) + 1), "CORRAL_TASK=n1.J1.1")
        assert not is_wrapper(Claim(os.getpid(), start_time(os.getpid())), "x=y")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert reap(pid) is None
    assert not is_wrapper(Claim(pid, None), "CORRAL_TASK=n1.J1.1")


async def test_a_damaged_journal_is_set_aside_and_old_work_is_refused(rig, tmp_path):
    text, starts = counting(tmp_path)
    rig.run(shell=text)
    await rig.plane.end()
    journal = rig.worker.status()["journal"]
    old = rig.plane.task(shell=text)
    await rig.stop()
    data = bytearray(rig.state.journal.read_bytes())
    for start in range(0, len(data), 4096):
        data[start + 100 : start + 1100] = b"\xa5" * 1000
    rig.state.journal.write_bytes(data)
    rig.plane.reports.clear()
    await rig.start(connect=False)
    rig.plane.push("task", old)
    assert rig.worker.status()["journal"] != journal
    assert list(rig.state.root.glob("journal.db.damaged-1*"))
    await rig.link.connect()
    await rig.synced()
    assert rig.plane.syncs[-1]["journal"] == rig.worker.status()["journal"]
    for _ in range(20):
        rig.plane.push("task", old)
    rig.run(shell=text, job="J2")
    assert (await rig.plane.end("J2"))["state"] == "succeeded"
    assert not rig.plane.ends("J1")
    assert starts() == 2
    await rig.restart()
    rig.plane.push("task", old)
    await asyncio.sleep(0.1)
    assert not rig.plane.ends("J1")


async def test_a_journal_that_vanished_beside_its_spool_counts_as_lost(rig, tmp_path):
    text, starts = counting(tmp_path)
    rig.run(shell=text)
    await rig.plane.end()
    old = rig.plane.task(shell=text)
    await rig.stop()
    for path in rig.state.root.glob("journal.db*"):
        path.unlink()
    await (await rig.start()).synced()
    rig.plane.push("task", old)
    await asyncio.sleep(0.2)
    assert starts() == 1


async def test_a_task_that_cannot_be_journalled_is_not_accepted_and_comes_again(rig, tmp_path, monkeypatch):
    text, starts = counting(tmp_path)
    rig.run("true", job="J0")
    await rig.plane.end("J0")

    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(rig.worker._journal, "add", full)
    rig.run(shell=text)
    await asyncio.sleep(0.1)
    assert starts() == 0
    monkeypatch.undo()
    rig.run(shell=text)
    await rig.plane.end()
    assert starts() == 1


async def test_an_end_that_cannot_be_journalled_is_reported_once_it_can(rig, tmp_path, monkeypatch):
    monkeypatch.setattr("corral.agent.worker.closing._JOURNAL_AGAIN_SECONDS", 0.05)
    rig.run("sleep", "0.2")
    failures = []

    def full(*_):
        failures.append(1)
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(rig.worker._journal, "done", full)
    await rig.plane.until(lambda: len(failures) > 3)
    assert not rig.plane.ends()
    monkeypatch.undo()
    assert (await rig.plane.end())["state"] == "succeeded"

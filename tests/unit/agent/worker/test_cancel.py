"""Cancel with a receipt: whole trees, stubborn ones, queued ones, and the real outcome when it came too late."""

import asyncio
import os

from corral.runtime.process import read_stat
from corral.runtime.proctree import find_tree

MARK = "CORRAL_TASK=n1.J1.1"


async def running(rig, *argv, count=1, **spec):
    rig.run(*argv, **spec)
    await rig.plane.until(lambda: len(find_tree(MARK)) >= count)


async def test_a_running_task_is_stopped_and_the_receipt_lists_what_was_signalled(rig):
    await running(rig, "sleep", "321")
    rig.plane.push("cancel", rig.plane.cancel())
    end = await rig.plane.end()
    assert (end["state"], end["reason"], end["signal"]) == ("cancelled", "killed", 15)
    (entry,) = end["cancel"]["signalled"]
    assert entry["command"].endswith("sleep 321")
    assert entry["signals"] == ["SIGTERM"]
    assert end["cancel"]["survivors"] == []
    assert find_tree(MARK) == []


async def test_setsid_double_forks_lost_marks_and_deaf_processes_all_go(rig, tmp_path):
    script = f"""
    trap '' TERM HUP INT
    setsid sh -c 'trap "" TERM; sleep 300 & sleep 300' &
    (setsid sh -c 'sleep 300 & echo $! >{tmp_path}/orphan' &)
    env -i sleep 300 &
    nohup sleep 300 >/dev/null 2>&1 &
    sleep 300
    """
    await running(rig, shell=script, count=8)
    await rig.plane.until((tmp_path / "orphan").exists)
    rig.plane.push("cancel", rig.plane.cancel(grace=0.3))
    end = await rig.plane.end()
    assert end["state"] == "cancelled"
    assert end["cancel"]["signalled_count"] >= 6
    assert end["cancel"]["killed"] >= 2
    assert end["cancel"]["survivors"] == []
    assert find_tree(MARK) == []
    orphan = read_stat(int((tmp_path / "orphan").read_text()))
    assert orphan is None or orphan.state == "Z"


async def test_a_tree_that_keeps_forking_is_caught(rig):
    await running(rig, shell="trap '' TERM; while :; do sleep 30 & sleep 0.01; done", count=3)
    rig.plane.push("cancel", rig.plane.cancel(grace=0.1))
    assert (await rig.plane.end())["state"] == "cancelled"
    assert find_tree(MARK) == []


async def test_a_stopped_process_is_stopped_for_good(rig):
    await running(rig, shell="kill -STOP $$; sleep 60")
    rig.plane.push("cancel", rig.plane.cancel(grace=2))
    end = await rig.plane.end()
    assert end["state"] == "cancelled"
    assert end["cancel"]["seconds"] < 1.5


async def test_a_polite_process_may_finish_within_its_grace(rig):
    await running(rig, shell="trap 'echo cleaned; exit 5' TERM; echo ready; while :; do sleep 0.05; done")
    await rig.plane.until(lambda: rig.plane.stream()[0] == b"ready\n")
    rig.plane.push("cancel", rig.plane.cancel(grace=5))
    end = await rig.plane.end()
    assert (end["state"], end["exit_code"]) == ("cancelled", 5)
    assert end["cancel"]["killed"] == 0
    assert rig.plane.stream()[0] == b"ready\ncleaned\n"


async def test_a_cancel_that_comes_after_the_end_changes_nothing(rig):
    rig.run("true")
    first = await rig.plane.end()
    rig.plane.push("cancel", rig.plane.cancel())
    await rig.plane.until(lambda: len(rig.plane.ends()) == 2)
    assert rig.plane.ends()[1] == first


async def test_a_queued_task_is_withdrawn_at_once(make_rig, tmp_path):
    rig = make_rig(slots=1)
    await (await rig.start()).synced()
    rig.run("sleep", "0.5", job="J0")
    rig.run("touch", str(tmp_path / "ran"))
    rig.plane.push("cancel", rig.plane.cancel())
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("cancelled", "withdrawn")
    assert not rig.plane.ends("J0")
    await rig.plane.end("J0")
    await asyncio.sleep(0.1)
    assert not (tmp_path / "ran").exists()


async def test_neighbours_are_left_alone(rig):
    rig.run("sleep", "1", job="J2")
    await running(rig, "sleep", "300")
    rig.plane.push("cancel", rig.plane.cancel())
    assert (await rig.plane.end())["state"] == "cancelled"
    assert (await rig.plane.end("J2"))["state"] == "succeeded"
    assert os.getpid()


async def test_a_background_process_is_left_when_its_task_ended_by_itself(rig):
    rig.run(shell="sleep 1.5 & exit 0")
    assert (await rig.plane.end())["state"] == "succeeded"
    assert len(find_tree(MARK)) == 1
    await rig.plane.until(lambda: not find_tree(MARK))

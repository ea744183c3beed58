"""`corral up` as a person meets it: what it says, what works right away, what is left behind, what is kept."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from corral.testing.up_demo import UpDemo

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[UpDemo]:
    demo = UpDemo(tmp_path, nodes=3)
    yield demo
    await demo.clean()


async def until(condition: object, what: str, seconds: float = 20.0) -> None:
    assert callable(condition)
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"not within {seconds:g} s: {what}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_first_look_works_and_leaves_nothing(demo: UpDemo, tmp_path: Path, number: signal.Signals) -> None:
    seconds = await demo.start("--ephemeral", "--nodes", "3", "--port", "0")
    assert seconds < 30
    assert "3 nodes online" in demo.said
    assert re.search(r"http://127\.0\.0\.1:\d+/login\?code=\S+", demo.said)
    assert len(re.findall(r"(?m)^  \S*corral (?:node|exec) ", demo.said)) == 3
    done = await demo.run("exec", "run", "-t", "all", "-o", "json", "--", "echo", "hello")
    assert done.returncode == 0, done.stderr
    tasks = json.loads(done.stdout)["tasks"]
    assert sorted(task["stdout"] for task in tasks) == ["hello\n"] * 3
    online = json.loads((await demo.run("node", "list", "--online", "-o", "json")).stdout)
    assert [node["id"] for node in online] == ["node-1", "node-2", "node-3"]
    folder = next(Path(word) for words in demo.processes().values() for word in words if word.endswith(".pyz")).parent
    # a command that left its session, too, ends with the demo: these nodes are this machine
    mark = ("--env", f"CORRAL_UP_MARK={tmp_path}")  # commands inherit nothing from us
    await demo.run("exec", "run", "-t", "node-1", "--detach", *mark, "--shell", "--", "setsid sleep 300 & sleep 300")
    await until(lambda: len(demo.pids("sleep 300")) >= 2, "the command runs")
    assert await demo.end(number) == 0
    assert demo.processes() == {}
    assert not folder.exists()
    assert not (tmp_path / ".corral" / "local.json").exists()


async def test_a_second_one_on_the_same_data_says_who_holds_it(demo: UpDemo) -> None:
    await demo.start()
    second = await demo.run("up", "--data-dir", str(demo.data), "--port", "0")
    assert second.returncode == 1
    assert demo.process is not None
    assert str(demo.process.pid) in second.stderr
    assert "Traceback" not in second.stderr


async def test_data_is_kept_and_nodes_come_back_without_enrolment(demo: UpDemo) -> None:
    await demo.start()
    done = await demo.run("exec", "run", "-t", "all", "-o", "json", "--", "echo", "before")
    job = json.loads(done.stdout)["job"]
    enrolled = {node.id: node.enrolled_at for node in await demo.fleet.nodes.list()}
    assert await demo.end(signal.SIGINT) == 0
    assert demo.processes() == {}
    await demo.start()
    assert {node.id: node.enrolled_at for node in await demo.fleet.nodes.list()} == enrolled
    history = json.loads((await demo.run("exec", "get", job, "--with-output", "-o", "json")).stdout)
    assert [task["stdout"] for task in history["tasks"]] == ["before\n"] * 3
    again = await demo.run("exec", "run", "-t", "all", "--", "true")
    assert again.returncode == 0, again.stderr


async def test_after_kill_minus_9_of_the_launcher_the_next_one_takes_over_and_a_running_task_is_adopted(
    demo: UpDemo, tmp_path: Path
) -> None:
    await demo.start()
    log = tmp_path / "ran.log"
    script = f'echo "$CORRAL_TASK" >>{log}; echo first; sleep 15; echo last'
    done = await demo.run("exec", "run", "-t", "all", "--detach", "-o", "json", "--shell", "--", script)
    job = json.loads(done.stdout)["job"]
    await until(lambda: log.exists() and len(log.read_text().splitlines()) == 3, "all three run")
    await demo.end(signal.SIGKILL)
    await demo.start()
    handle = await demo.fleet.jobs.handle(job)
    async with asyncio.timeout(45):
        await handle.wait()
    over = await handle.refresh(with_output=True)
    assert [(task.state, task.stdout) for task in over.tasks] == [("succeeded", "first\nlast\n")] * 3
    assert len(log.read_text().splitlines()) == 3

"""Four eyes over a real server and a real node: held, shown, decided by somebody else, and nothing before that."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from corral.domain.errors import Denied, WrongState
from corral.sdk import connect
from corral.sdk.jobs import Submission
from corral.testing.real_node import RealNode
from corral.testing.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@dataclass
class Ground:
    stack: Stack
    folder: Path
    second: str

    async def cli(self, *words: str, token: str | None = None) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "corral",
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "CORRAL_URL": self.stack.url,
                "CORRAL_TOKEN": token or (self.stack.data / "admin.token").read_text().strip(),
            },
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    async with Stack.temporary() as stack, RealNode.enrolled(stack, "n1"):
        await stack.online(1)
        made = await stack.fleet.call("POST", "/api-tokens", {"name": "bob", "permissions": ["*"]})
        await stack.fleet.approvals.set_rule("prod", kinds=["exec"])
        yield Ground(stack, tmp_path, made["token"])


async def test_a_job_waits_until_somebody_else_approves_it(ground: Ground) -> None:
    mark = ground.folder / "ran"
    status, out, err = await ground.cli("exec", "run", "-t", "all", "--dry-run", "--", "touch", str(mark))
    assert status == 0, err
    assert "would wait for approval: rule 'prod' asks for a second person" in out

    status, job, err = await ground.cli("exec", "run", "-t", "all", "--detach", "--", "touch", str(mark))
    assert status == 0, err
    assert "waits for approval P" in err
    job = job.strip()
    status, out, _ = await ground.cli("approval", "list", "-o", "json")
    [waiting] = json.loads(out)
    assert (waiting["job"], waiting["state"], waiting["nodes"]) == (job, "pending", 1)
    approval = waiting["approval"]
    status, out, _ = await ground.cli("why", job, "n1")
    assert "waiting for approval" in out
    status, out, _ = await ground.cli("approval", "show", approval)
    assert "touch" in out and "n1" in out

    # not by the one who asked, and nothing has run
    status, _, err = await ground.cli("approval", "approve", approval)
    assert (status, "second person" in err) == (5, True), err
    assert not mark.exists()
    # not after a restart of the server either
    await ground.stack.stop_server()
    await ground.stack.start_server()
    await ground.stack.online(1)
    assert not mark.exists()

    status, _, err = await ground.cli("approval", "approve", approval, "--note", "fine", token=ground.second)
    assert status == 0, err
    done = await (await ground.stack.fleet.jobs.handle(job)).wait(everyone=True)
    assert done.state == "succeeded"
    assert mark.exists()
    # an approved job may be tried again
    status, _, err = await ground.cli("approval", "deny", approval, token=ground.second)
    assert status == 1, err


async def test_a_denied_job_is_cancelled_with_the_words_of_who_denied_it(ground: Ground) -> None:
    handle = await ground.stack.fleet.jobs.submit(Submission(target="all", argv=["true"]))
    [waiting] = await ground.stack.fleet.approvals.list(states=["pending"])
    status, _, err = await ground.cli(
        "approval", "deny", waiting["approval"], "--note", "not today", token=ground.second
    )
    assert status == 0, err
    job = await handle.wait(everyone=True)
    assert (job.state, job.tasks[0].detail) == ("cancelled", "denied by bob: not today")
    with pytest.raises(Denied, match="nobody has approved"):
        await ground.stack.fleet.jobs.retry(handle.id)


async def test_what_was_altered_in_the_database_meanwhile_never_runs(ground: Ground) -> None:
    mark = ground.folder / "altered"
    handle = await ground.stack.fleet.jobs.submit(Submission(target="all", argv=["echo", "AAAA"]))
    [waiting] = await ground.stack.fleet.approvals.list(states=["pending"])
    await ground.stack.stop_server()
    with sqlite3.connect(ground.stack.data / "corral.db") as db:
        spec = json.loads(db.execute("select spec from jobs where id = ?", (handle.id,)).fetchone()[0])
        spec["argv"] = ["touch", str(mark)]
        db.execute("update jobs set spec = ? where id = ?", (json.dumps(spec), handle.id))
    db.close()
    await ground.stack.start_server()
    async with connect(ground.stack.url, ground.second) as bob:
        with pytest.raises(WrongState, match="not what was asked for"):
            await bob.approvals.decide(waiting["approval"], approve=True)
        await bob.approvals.decide(waiting["approval"], approve=False)
    assert not mark.exists()

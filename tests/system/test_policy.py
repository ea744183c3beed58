"""The command policy on real processes: refused at submission, decided by the node, brought to nodes that were away.

What is refused here is a stand-in called `canary-tool` that only writes a file: nothing dangerous can run even when a guard fails.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from corral.domain.errors import Conflict, Denied
from corral.runtime.clock import SystemClock
from corral.sdk.jobs import Submission
from corral.testing.real_node import RealNode
from corral.testing.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.slow]

CLOCK = SystemClock()
DENY = {"id": "no-canary", "effect": "deny", "match": {"program": ["canary-tool"]}}


@dataclass
class Ground:
    stack: Stack
    node: RealNode
    tool: Path
    proof: Path

    def job(self, target: str = "n1", **more: Any) -> Submission:
        return Submission(target=target, argv=[str(self.tool)], **more)

    async def ended(self, what: Submission) -> Any:
        handle = await self.stack.fleet.jobs.submit(what)
        await handle.wait(everyone=True)
        return (await self.stack.fleet.jobs.get(handle.job.job)).tasks[0]

    async def cli(self, *words: str) -> tuple[int, str, str]:
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
                "CORRAL_TOKEN": (self.stack.data / "admin.token").read_text().strip(),
            },
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    proof, tool = tmp_path / "proof", tmp_path / "canary-tool"
    tool.write_text(f"#!/bin/sh\necho ran >> {proof}\n")
    tool.chmod(0o755)
    async with Stack.temporary() as stack, RealNode.enrolled(stack, "n1", slots=2) as node:
        await stack.online(1)
        yield Ground(stack, node, tool, proof)


def held(node: RealNode) -> int:
    """The revision a node keeps over restarts."""
    try:
        with closing(sqlite3.connect(f"file:{node.state.journal}?mode=ro", uri=True)) as db:
            row = db.execute("select value from meta where key = 'policy'").fetchone()
    except sqlite3.OperationalError:
        return 0  # the worker has not made its journal yet
    return 0 if row is None else int(json.loads(row[0])["revision"])


async def test_a_new_installation_refuses_at_submission_what_the_shipped_list_names(ground: Ground) -> None:
    policy = await ground.stack.fleet.policy.get()
    assert (policy["revision"], policy["mode"]) == (1, "deny-list")
    assert "no-system-removal" in [rule["id"] for rule in policy["rules"]]

    await ground.stack.fleet.policy.put(DENY)
    with pytest.raises(Denied) as refused:
        await ground.stack.fleet.jobs.submit(ground.job())
    assert refused.value.element == "no-canary"
    assert await ground.stack.fleet.jobs.list() == []

    status, _, err = await ground.cli("exec", "run", "-t", "n1", "--", str(ground.tool))
    assert status == 5 and "no-canary" in err
    await ground.stack.fleet.policy.remove("no-canary")
    assert (await ground.ended(ground.job())).state == "succeeded"
    assert ground.proof.read_text() == "ran\n"


async def test_the_node_decides_about_what_was_accepted_before_the_rule(ground: Ground) -> None:
    assert (await ground.ended(ground.job())).state == "succeeded"
    await ground.node.stop("worker")
    handle = await ground.stack.fleet.jobs.submit(ground.job())
    # the server let it pass; while the node was away it was forbidden
    await ground.stack.fleet.policy.put(DENY)
    await ground.node.start("worker")

    await asyncio.wait_for(handle.wait(everyone=True), 30)
    task = (await ground.stack.fleet.jobs.get(handle.job.job)).tasks[0]
    assert (task.state, task.reason) == ("rejected", "policy")
    assert "no-canary" in task.detail
    assert ground.proof.read_text() == "ran\n"


async def test_a_change_reaches_an_online_node_within_seconds(ground: Ground) -> None:
    revision = (await ground.stack.fleet.policy.put({**DENY, "selector": "n1"}))["revision"]
    until = CLOCK.monotonic() + 10
    while held(ground.node) < revision:
        assert CLOCK.monotonic() < until, "the node never heard of it"
        await CLOCK.sleep(0.1)


async def test_a_rule_in_the_nodes_own_file_alone_is_enough(ground: Ground) -> None:
    ground.node.state.policy.write_text(json.dumps({"rules": [DENY]}))
    task = await ground.ended(ground.job())
    assert (task.state, task.reason) == ("rejected", "policy"), "the server knows nothing of this rule"
    assert not ground.proof.exists()


async def test_an_allow_list_runs_listed_words_and_no_text(ground: Ground) -> None:
    fleet = ground.stack.fleet
    await fleet.policy.put({"id": "the-tool", "effect": "allow", "match": {"argv": [str(ground.tool)]}})
    await fleet.policy.set_mode("allow-list")
    assert (await ground.ended(ground.job())).state == "succeeded"
    for other in (Submission(target="n1", argv=["true"]), Submission(target="n1", shell=str(ground.tool))):
        with pytest.raises(Denied):
            await fleet.jobs.submit(other)


async def test_the_whole_life_of_a_rule_on_the_command_line(ground: Ground) -> None:
    status, _, err = await ground.cli(
        "policy", "set", "no-canary", "--deny", "--program", "canary-*", "--position", "1"
    )
    assert (status, err.strip()) == (0, "no-canary: set; the policy is at revision 2")
    status, out, _ = await ground.cli("policy", "test", "--", "sudo", "canary-tool")
    assert status == 5 and "refused by no-canary" in out
    status, out, _ = await ground.cli("policy", "test", "echo hello | cat")
    assert status == 0 and "may run" in out
    status, out, _ = await ground.cli("policy", "list", "-o", "name")
    assert out.splitlines()[0] == "no-canary"
    status, exported, _ = await ground.cli("policy", "export")
    file = ground.proof.parent / "policy.json"
    file.write_text(exported)
    assert (await ground.cli("policy", "remove", "no-canary"))[0] == 0
    status, _, err = await ground.cli("policy", "import", str(file), "--if-match", "2")
    assert status == Conflict.exit_status and "revision 3" in err
    assert (await ground.cli("policy", "import", str(file), "--if-match", "3"))[0] == 0
    assert (await ground.cli("policy", "move", "no-canary", "2"))[0] == 0
    status, out, _ = await ground.cli("policy", "list", "-o", "json")
    assert [rule["id"] for rule in json.loads(out)["rules"]][1] == "no-canary"
    assert (await ground.cli("policy", "reset", "--yes"))[0] == 0
    assert "no-canary" not in (await ground.cli("policy", "list"))[1]

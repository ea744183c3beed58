"""The audit record of a real server: what it says of a submission, that it proves itself, and that a change in the database is found."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from corral.domain.errors import Denied
from corral.sdk import Submission, connect
from corral.sdk.rollouts import NewRollout
from corral.testing.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

CANARY = "canary-7f3a9"
SLOW = "echo one; sleep 0.6; echo two; sleep 0.6; echo three"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with Stack.temporary() as running:
        await running.simulate(2, prefix="a")
        yield running


async def start(stack: Stack, *words: str) -> asyncio.subprocess.Process:
    token = (stack.data / "admin.token").read_text().strip()
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "corral",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "CORRAL_URL": stack.url, "CORRAL_TOKEN": token},
    )


async def cli(stack: Stack, *words: str) -> tuple[int, str, str]:
    process = await start(stack, *words)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, out.decode(), err.decode()


async def sealed(stack: Stack) -> dict[str, Any]:
    """The verdict once nothing waits for its seal but what asking itself wrote."""
    async with asyncio.timeout(20):
        while True:
            status, out, err = await cli(stack, "audit", "verify", "-o", "json")
            assert out, err
            verdict: dict[str, Any] = json.loads(out)
            assert status == (0 if verdict["ok"] else 1)
            if not verdict["ok"] or (verdict["checked"] and verdict["unsealed"] <= 2):
                return verdict
            await asyncio.sleep(0.2)


async def test_the_entry_of_a_submission_says_what_it_was_and_hides_what_it_must(stack: Stack) -> None:
    what = Submission(target="all", shell="echo $KEY", env={"KEY": CANARY}, stdin=CANARY.encode(), name="the job")
    handle = await stack.fleet.jobs.submit(what)
    await handle.wait()
    (entry,) = await stack.fleet.audit.list(job=handle.id, action="POST /jobs")
    assert (entry["outcome"], entry["status"], entry["actor"]) == ("ok", 201, "admin")
    assert entry["credential"] and entry["request_id"] and entry["address"] == "127.0.0.1"
    details = entry["details"]
    assert (details["node_count"], details["kind"], details["made"]) == (2, "exec", handle.id)
    assert details["spec_hash"].startswith("sha256:") and details["pinned"].startswith("sha256:")
    spec = json.loads(details["spec"])
    assert (spec["shell"], spec["env"]) == ("echo $KEY", {"KEY": "[cut]"})
    assert CANARY not in json.dumps(await stack.fleet.audit.list(limit=None))
    about_node = await stack.fleet.audit.list(node="a-00001", action="POST /jobs")
    assert entry["id"] in [row["id"] for row in about_node]
    status, out, _ = await cli(stack, "audit", "show", str(entry["id"]))
    assert status == 0
    assert "sha256:" in out and f"audit replay {handle.id}" in out and CANARY in out, (
        "the output is the job's, not the entry's"
    )


async def test_refused_attempts_say_what_was_attempted(stack: Stack) -> None:
    token = await stack.fleet.api_tokens.create("narrow", permissions=["node.read", "exec.read"])
    secret = str(token.token)
    async with connect(stack.url, secret) as narrow:
        with pytest.raises(Denied):
            await narrow.jobs.submit(Submission(target="all", argv=("id",)))
        with pytest.raises(Denied):
            await narrow.audit.list()
    refused = await stack.fleet.audit.list(actor="narrow", outcome="denied")
    assert [row["action"] for row in refused] == ["GET /audit", "POST /jobs"]
    assert "permission" in refused[1]["details"]["error"]


async def test_reads_of_output_and_of_the_record_itself_are_in_it(stack: Stack) -> None:
    handle = await stack.fleet.submit("echo hello", on="a-00001")
    await handle.wait()
    await stack.fleet.jobs.get(handle.id)
    assert await stack.fleet.audit.list(job=handle.id, action="GET") == []
    await stack.fleet.jobs.get(handle.id, with_output=True)
    (read,) = await stack.fleet.audit.list(job=handle.id, action="GET /jobs/{job}")
    assert read["details"]["read"] == "output"
    assert (await stack.fleet.audit.list(action="GET /audit"))[0]["outcome"] == "ok"


async def test_what_a_rollout_starts_by_itself_is_in_the_record_in_its_creator_s_name(stack: Stack) -> None:
    change = {"shell": "true", "env": {"KEY": CANARY}}
    new = NewRollout(target="all", name="by-itself", change=change, strategy="count:1,0", auto_advance=True)
    made = await stack.fleet.rollouts.create(new)
    async with asyncio.timeout(30):
        while (await stack.fleet.rollouts.get(made.rollout)).state != "succeeded":
            await asyncio.sleep(0.1)
    entries = await stack.fleet.audit.list(outcome="asked", action="submits")
    assert [(row["actor"], row["action"], row["target"]) for row in entries] == [
        ("admin", "rollout submits", f"{made.rollout}/stage-{number}") for number in (2, 1)
    ]
    assert [row["details"]["node_count"] for row in entries] == [1, 1]
    assert CANARY not in json.dumps(await stack.fleet.audit.list(limit=None))


async def test_a_replay_takes_the_time_it_took_and_stops_at_ctrl_c(stack: Stack) -> None:
    handle = await stack.fleet.submit(SLOW, on="a-00001", shell=True)
    await handle.wait()
    clock = asyncio.get_running_loop().time
    began = clock()
    status, out, err = await cli(stack, "audit", "replay", handle.id)
    assert (status, out.split()) == (0, ["one", "two", "three"]), err
    assert clock() - began >= 1.1
    assert "as the server stored it" in err and "a-00001: started" in err and "succeeded" in err
    status, out, _ = await cli(stack, "audit", "replay", handle.id, "--speed", "100", "--from", "500ms", "--to", "1s")
    assert (status, out.split()) == (0, ["two"])
    process = await start(stack, "audit", "replay", handle.id, "--speed", "0.01")
    assert process.stdout is not None and process.stderr is not None
    async with asyncio.timeout(20):
        await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err_bytes = await process.communicate()
    assert process.returncode == 130, err_bytes
    assert b"Traceback" not in err_bytes
    assert b"stopped" in err_bytes


async def test_an_export_is_proved_without_the_server_and_a_changed_one_is_not(stack: Stack, tmp_path: Path) -> None:
    await sealed(stack)
    status, out, err = await cli(stack, "audit", "export")
    assert status == 0, err
    file = tmp_path / "audit.jsonl"
    file.write_text(out)
    env = {**os.environ, "CORRAL_URL": "http://127.0.0.1:1"}
    words = [sys.executable, "-m", "corral", "audit", "verify", "--file", str(file)]
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, env=env)
    shown, _ = await process.communicate()
    assert process.returncode == 0 and b"whole:" in shown and b"signed by k" in shown
    file.write_text(out.replace('"actor":"narrow"', '"actor":"nobody"', 1))
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE, env=env)
    shown, _ = await process.communicate()
    assert process.returncode == 1 and b"NOT WHOLE: altered" in shown


async def test_the_record_goes_on_behind_a_kill_and_a_change_in_the_database_is_found(stack: Stack) -> None:
    """Last: it breaks the record of this stack."""
    before = await sealed(stack)
    assert before["ok"] is True
    assert stack.server is not None
    stack.server.kill()
    await stack.server.wait()
    await stack.start_server()
    assert (await sealed(stack))["ok"] is True
    with closing(sqlite3.connect(stack.data / "corral.db", timeout=10)) as db:
        with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
            db.execute("update audit set actor = 'eve' where id = 5")
        db.execute("drop trigger audit_no_change")
        db.execute("update audit set actor = 'eve' where id = 5")
        db.commit()
    status, out, _ = await cli(stack, "audit", "verify")
    assert (status, out.startswith("NOT WHOLE: altered at sequence 5, entry 5")) == (1, True)

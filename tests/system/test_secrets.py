"""The canary: tasks use a secret in every way there is, and nothing that is left behind holds it in any form."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from corral.sdk.jobs import KindTask, Submission
from corral.testing.real_node import RealNode
from corral.testing.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.slow]

CANARY = "Canary/7f3a+zwölf&q=1"
NAMED = "{{ secret.canary }}"


def forms() -> Iterator[bytes]:
    raw = CANARY.encode()
    yield raw
    yield base64.b64encode(raw)
    yield base64.urlsafe_b64encode(raw)
    yield raw.hex().encode()
    yield quote(CANARY, safe="").encode()
    yield json.dumps(CANARY)[1:-1].encode()


def found_in(data: bytes) -> list[bytes]:
    return [form for form in forms() if form in data]


@dataclass
class Ground:
    stack: Stack
    node: RealNode
    folder: Path

    async def cli(self, *words: str, said: bytes | None = None) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "corral",
            *words,
            stdin=asyncio.subprocess.DEVNULL if said is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "CORRAL_URL": self.stack.url,
                "CORRAL_TOKEN": (self.stack.data / "admin.token").read_text().strip(),
            },
        )
        out, err = await asyncio.wait_for(process.communicate(said), 60)
        return process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")

    async def ended(self, what: Any) -> Any:
        handle = await self.stack.fleet.jobs.submit(what)
        job = await handle.wait(everyone=True)
        [task] = (await self.stack.fleet.jobs.get(job.job, with_output=True)).tasks
        return task

    def left_behind(self) -> Iterator[tuple[str, bytes]]:
        """Every file of server, engine and node, but for the vaults that seal it."""
        for path in sorted(self.stack.folder.rglob("*")):
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(self.stack.folder)), path.read_bytes()


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    async with Stack.temporary() as stack, RealNode.enrolled(stack, "n1", slots=2) as node:
        await stack.online(1)
        yield Ground(stack, node, tmp_path)


def running_commands() -> bytes:
    seen = b""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                seen += (entry / "cmdline").read_bytes() + b"\n"
            except OSError:
                continue
    return seen


async def echo_server() -> tuple[asyncio.Server, list[bytes]]:
    """Answers with what it was sent."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().lower().splitlines() if ": " in line)
        body = await reader.readexactly(int(fields["content-length"]))
        heard.append(body)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return await asyncio.start_server(serve, "127.0.0.1", 0), heard


async def test_nothing_that_is_left_behind_holds_the_canary(ground: Ground) -> None:
    status, out, err = await ground.cli("secret", "set", "canary", "--from-stdin", said=CANARY.encode() + b"\n")
    assert status == 0, err
    assert not found_in((out + err).encode())

    proof = ground.folder / "proof"
    task = await ground.ended(
        Submission(target="n1", shell=f'printf %s "$PW" > {proof}; echo "it is $PW."', env={"PW": NAMED})
    )
    assert task.state == "succeeded"
    assert proof.read_text() == CANARY, "the command itself has the value"
    assert task.stdout == f"it is {'*' * len(CANARY.encode())}.\n"
    proof.unlink()

    for what in (
        Submission(
            target="n1", shell=f"echo '{NAMED}' | base64; echo '{NAMED}' | od -An -tx1 | tr -d ' \\n' >&2; exit 3"
        ),
        Submission(
            target="n1",
            script=f"import base64; print(base64.b64encode(b'user:' + '{NAMED}'.encode()).decode())",
            interpreter="python3",
        ),
        Submission(target="n1", argv=["cat"], stdin=f"x {NAMED} y".encode()),
        # across the border of chunks, at every offset there is
        Submission(
            target="n1",
            shell="i=0; while [ $i -lt 4000 ]; do printf '%s%s' \"$PW\" abcdefg; i=$((i+1)); done",
            env={"PW": NAMED},
        ),
        Submission(target="n1", argv=["no-such-program"], env={"PW": NAMED}),
    ):
        task = await ground.ended(what)
        assert not found_in(repr(task).encode()), what

    server, heard = await echo_server()
    async with server:
        port = server.sockets[0].getsockname()[1]
        await ground.node.stop("worker")
        os.environ["CORRAL__AGENT__HTTP_ALLOW"] = "127.0.0.1/32"
        try:
            await ground.node.start("worker")
        finally:
            del os.environ["CORRAL__AGENT__HTTP_ALLOW"]
        task = await ground.ended(
            KindTask(
                target="n1",
                kind="http",
                params={
                    "method": "POST",
                    "url": f"http://127.0.0.1:{port}/",
                    "json": {"password": NAMED},
                    "save_body": True,
                },
            )
        )
    assert [json.loads(body) for body in heard] == [{"password": CANARY}]
    assert task.state == "succeeded", task
    assert not found_in(repr(task).encode())

    # a task that waits behind slots, and one that runs, live through kill -9 of the worker
    jobs = ground.stack.fleet.jobs
    go = ground.folder / "go"
    waits = f"while [ ! -e {go} ]; do sleep 0.05; done; echo done-$PW"
    handles = [
        await jobs.submit(Submission(target="n1", shell=waits, env={"PW": NAMED}, name=f"w{number}"))
        for number in range(3)
    ]
    async with asyncio.timeout(20):
        while (await jobs.get(handles[0].id)).tasks[0].state != "running":
            await asyncio.sleep(0.05)
    assert not found_in(running_commands())
    await ground.node.kill("worker")
    state = [(name, data) for name, data in ground.left_behind() if "spool" not in name]
    assert [name for name, data in state if found_in(data)] == []
    await ground.node.start("worker")
    go.touch()
    for handle in handles:
        job = await handle.wait(everyone=True)
        [task] = (await jobs.get(job.job, with_output=True)).tasks
        assert (task.state, task.stdout) == ("succeeded", f"done-{'*' * len(CANARY.encode())}\n")

    for words in (("audit", "list", "-o", "json"), ("exec", "list", "-o", "json"), ("secret", "list", "-o", "json")):
        status, out, err = await ground.cli(*words)
        assert status == 0, err
        assert not found_in((out + err).encode()), words
    async with asyncio.timeout(20):
        while any((ground.node.state.spool).glob("*")):
            await asyncio.sleep(0.1)
    assert [name for name, data in ground.left_behind() if found_in(data)] == []


async def test_a_secret_that_is_gone_when_its_task_is_sent_fails_that_task_alone(ground: Ground) -> None:
    await ground.stack.fleet.secrets.set("late", "something")
    await ground.node.stop("daemon")
    await ground.node.stop("worker")
    handle = await ground.stack.fleet.jobs.submit(
        Submission(target="n1", argv=["true"], env={"X": "{{ secret.late }}"}, offline="queue")
    )
    await ground.stack.fleet.secrets.delete("late")
    await ground.node.start("worker")
    await ground.node.start("daemon")
    job = await handle.wait(everyone=True)
    [task] = (await ground.stack.fleet.jobs.get(job.job)).tasks
    assert (task.state, task.reason) == ("failed", "spawn")
    assert "'late'" in task.detail

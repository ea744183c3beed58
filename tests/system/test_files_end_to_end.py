"""Files from the command line to the disk of a real node: server, engine, daemon and worker as processes, the CLI as people run it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from corral.domain.errors import CorralError
from corral.sdk.files import PART_BYTES
from corral.testing.real_node import RealNode
from corral.testing.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.slow]


@dataclass
class Ground:
    """One server, one real node `n1`, and a folder that stands for its disk."""

    stack: Stack
    node: RealNode
    disk: Path

    async def cli(self, *words: str, cwd: Path | None = None) -> tuple[int, str, str]:
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
            cwd=cwd or self.disk,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")

    async def file(self, *words: str) -> dict[str, Any]:
        """The task of `n1` after `corral file …`."""
        status, out, err = await self.cli("file", *words, "-t", "n1", "--wait", "-o", "json")
        assert out, err
        task: dict[str, Any] = json.loads(out)["tasks"][0]
        assert (status == 0) == (task["state"] == "succeeded"), (task, err)
        return task

    async def where(self, source: str) -> list[tuple[str, str, int]]:
        """What `file where` says."""
        status, out, err = await self.cli("file", "where", "--source-path", source, "-o", "json")
        assert status == 0, err
        return [(entry["node"], entry["dest"], entry["revision"]) for entry in json.loads(out)]


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    async with Stack.temporary() as stack:
        async with RealNode.enrolled(stack, "n1") as node:
            await stack.online(1)
            await stack.fleet.nodes.set("n1", labels={"role": "web"})
            (tmp_path / "disk").mkdir()
            yield Ground(stack, node, tmp_path / "disk")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_a_file_is_applied_seen_as_unchanged_compared_and_rolled_back(ground: Ground) -> None:
    src, dest = ground.disk / "app.conf", ground.disk / "etc" / "app.conf"
    dest.parent.mkdir()
    src.write_bytes(b"one\n")
    apply = ("apply", "--src", "app.conf", "--dest", str(dest))

    task = await ground.file(*apply, "--mode", "0640", "--owner", f"{os.getuid()}:{os.getgid()}")
    assert task["result"]["changed"] is True
    assert (task["result"]["old"], task["result"]["new"]) == (None, sha(b"one\n"))
    assert dest.read_bytes() == b"one\n"
    assert dest.stat().st_mode & 0o7777 == 0o640

    task = await ground.file(*apply, "--mode", "0640")
    assert task["result"]["changed"] is False

    src.write_bytes(b"two\n")
    status, out, err = await ground.cli("file", *apply, "-t", "all", "--diff")
    assert status == 0, err
    assert "-one" in out and "+two" in out
    assert dest.read_bytes() == b"one\n"
    task = await ground.file(*apply, "--dry-run")
    assert task["result"]["changed"] is True
    assert dest.read_bytes() == b"one\n"

    task = await ground.file(*apply, "--validate", "grep -q one %s")
    assert task["state"] == "failed"
    assert dest.read_bytes() == b"one\n"
    mark = ground.disk / "notified"
    task = await ground.file(*apply, "--validate", "grep -q two %s", "--notify", f"touch {mark}")
    assert (task["result"]["validated"], task["result"]["notified"]) == (True, 0)
    assert mark.exists()
    assert dest.read_bytes() == b"two\n"

    status, out, _ = await ground.cli("file", "history", "--source-path", "app.conf", "-o", "name")
    assert (status, out) == (0, "2\n1\n")

    task = await ground.file("rollback", "--previous", "--dest", str(dest))
    assert task["result"]["changed"] is True
    assert dest.read_bytes() == b"one\n"
    assert dest.stat().st_mode & 0o7777 == 0o640
    assert await ground.where("app.conf") == [("n1", str(dest), 1)]
    await ground.file("rollback", "--source-path", "app.conf", "--revision", "2", "--dest", str(dest))
    assert dest.read_bytes() == b"two\n"
    assert await ground.where("app.conf") == [("n1", str(dest), 2)]
    status, out, _ = await ground.cli("file", "diff", "--source-path", "app.conf")
    assert "-one\n+two" in out
    _, out, _ = await ground.cli("node", "files", "n1")
    assert [line.split()[:3] for line in out.splitlines()[1:]] == [[str(dest), str(src), "r2"]]
    await ground.file("delete", "--path", str(dest))
    _, out, _ = await ground.cli("node", "files", "n1")
    assert out == "no file was put on n1\n"


async def test_templates_know_the_node_and_fail_on_what_they_do_not_know(ground: Ground) -> None:
    src = ground.disk / "t.conf"
    src.write_text("id={{ node.id }} role={{ labels.role }} os={{ facts.os }}\n")
    task = await ground.file(
        "apply", "--src", "t.conf", "--dest", f"{ground.disk}/{{{{ node.id }}}}.conf", "--template"
    )
    text = (ground.disk / "n1.conf").read_text()
    assert text.startswith("id=n1 role=web os=") and not text.endswith("os=\n")
    assert task["result"]["new"] == sha(text.encode())
    src.write_text("{{ labels.nothing }}\n")
    task = await ground.file("apply", "--src", "t.conf", "--dest", f"{ground.disk}/bad.conf", "--template")
    assert task["state"] == "failed"
    assert "nothing" in task["detail"]
    assert not (ground.disk / "bad.conf").exists()


async def test_a_directory_arrives_as_a_whole(ground: Ground) -> None:
    site = ground.disk / "site"
    (site / "img").mkdir(parents=True)
    (site / "index.html").write_text("<p>hi</p>")
    (site / "img" / "x.png").write_bytes(os.urandom(300_000))
    dest = ground.disk / "www"
    task = await ground.file("apply", "--src", "site", "--dest", str(dest))
    assert task["result"]["changed"] is True
    assert (dest / "img" / "x.png").read_bytes() == (site / "img" / "x.png").read_bytes()
    task = await ground.file("apply", "--src", "site", "--dest", str(dest))
    assert task["result"]["changed"] is False


async def test_a_fetched_file_is_the_nodes_byte_for_byte(ground: Ground) -> None:
    data = os.urandom(5 << 20)
    (ground.disk / "dump").write_bytes(data)
    status, out, err = await ground.cli("file", "fetch", "--path", str(ground.disk / "dump"), "-t", "n1", "--to", "got")
    assert status == 0, err
    assert (ground.disk / "got" / "n1" / "dump").read_bytes() == data
    status, out, _ = await ground.cli("file", "preview", "--path", str(ground.disk), "-t", "n1")
    assert "dump" in out


async def test_copy_and_delete_keep_to_the_same_rules(ground: Ground) -> None:
    (ground.disk / "a").write_text("a")
    await ground.file("copy", "--src", str(ground.disk / "a"), "--dest", str(ground.disk / "b"))
    assert (ground.disk / "b").read_text() == "a"
    (ground.disk / "link").symlink_to(ground.disk / "a")
    task = await ground.file("copy", "--src", str(ground.disk / "b"), "--dest", str(ground.disk / "link"))
    assert task["state"] == "failed"
    await ground.file("delete", "--path", str(ground.disk / "b"))
    assert not (ground.disk / "b").exists()
    task = await ground.file("delete", "--path", str(ground.disk / "b"))
    assert task["result"]["changed"] is False


async def test_a_revision_an_open_job_needs_is_not_cleared(ground: Ground) -> None:
    src = ground.disk / "app.conf"
    src.write_text("one")
    await ground.node.stop("worker")
    await ground.node.stop("daemon")
    apply = ("file", "apply", "--src", "app.conf", "--dest", str(ground.disk / "x"), "-t", "n1", "--detach")
    status, job, err = await ground.cli(*apply)
    assert status == 0, err
    src.write_text("two")
    await ground.cli(*apply[:-1], "--detach", "--offline", "skip")
    status, _, err = await ground.cli("file", "clear", "--keep", "1", "-y")
    assert status == 1
    assert job.strip() in err
    assert (await ground.cli("exec", "cancel", job.strip()))[0] == 0
    status, out, err = await ground.cli("file", "clear", "--keep", "1", "-y")
    assert (status, out) == (0, "1 revision removed\n"), err


async def test_an_upload_goes_on_after_the_server_was_killed_in_the_middle(ground: Ground) -> None:
    data = os.urandom(12 * PART_BYTES + 5)
    src = ground.disk / "big"
    src.write_bytes(data)
    seen: list[int] = []
    killed = asyncio.Event()

    def progress(done: int, total: int) -> None:
        seen.append(done)
        if done >= 3 * PART_BYTES and not killed.is_set():
            killed.set()
            assert ground.stack.server is not None
            os.kill(ground.stack.server.pid, signal.SIGKILL)

    async def revive() -> None:
        await killed.wait()
        assert ground.stack.server is not None
        await ground.stack.server.wait()
        await ground.stack.start_server()

    revision, _ = await asyncio.gather(ground.stack.fleet.files.upload(src, progress=progress), revive())
    assert revision.digest == sha(data)
    assert seen.count(0) == 1, "it went on, it did not begin again"
    assert list((ground.stack.data / "uploads").iterdir()) == []
    content = b"".join([part async for part in ground.stack.fleet.files.content(str(src))])
    assert content == data
    task = await ground.file("apply", "--src", "big", "--dest", str(ground.disk / "copy"))
    assert task["result"]["new"] == sha(data)
    assert (ground.disk / "copy").read_bytes() == data


async def test_bytes_the_engine_lost_come_back_by_another_upload(ground: Ground) -> None:
    src = ground.disk / "app.conf"
    src.write_text("precious")
    await ground.stack.fleet.files.upload(src)
    await ground.stack.stop_server()
    for part in sorted((ground.stack.data / "engine").rglob("OBJ_artifacts")):
        for path in sorted(part.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        part.rmdir()
    await ground.stack.start_server()
    await ground.stack.online(1)
    (revision,) = await ground.stack.fleet.files.history(str(src))
    assert revision.missing
    with pytest.raises(CorralError) as caught:
        await ground.stack.fleet.files.apply(str(src), str(ground.disk / "x"), on="n1")
    assert "upload" in (caught.value.hint or "")
    task = await ground.file("apply", "--src", "app.conf", "--dest", str(ground.disk / "x"))
    assert task["state"] == "succeeded"
    (revision,) = await ground.stack.fleet.files.history(str(src))
    assert (revision.revision, revision.missing) == (1, False)

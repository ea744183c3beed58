"""Tasks of executors' kinds, from the command line through a real server to a real node (the zipapp) and back."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from corral.testing import opensearch
from corral.testing.real_node import RealNode
from corral.testing.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SYSTEMCTL = """#!/bin/sh
echo "$@" >>{calls}
[ "$1" != show ] || printf 'LoadState=loaded\\nActiveState=active\\nSubState=running\\nUnitFileState=enabled\\nMainPID=7\\n'
"""


def words(text: str) -> list[str]:
    return text.split()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.seen.append(self.headers.get("Authorization"))  # type: ignore[attr-defined]  # set below
        data = json.dumps({"status": "up", "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *words: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen = []  # type: ignore[attr-defined]  # what was asked for, by the test alone
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Ground:
    stack: Stack
    calls: Path

    async def run(self, *words: str) -> tuple[int, str, str]:
        """A task; --wait, because on a busy machine a node may seem away for a moment."""
        return await self.cli(*words, "--wait")

    async def cli(self, *words: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "corral", *words),
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
async def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ground]:
    """A node that may ask 127.0.0.1, with a stand-in systemctl first on its PATH."""
    stand_ins = tmp_path / "stand-ins"
    stand_ins.mkdir()
    calls = tmp_path / "calls"
    calls.touch()
    (stand_ins / "systemctl").write_text(SYSTEMCTL.format(calls=calls))
    (stand_ins / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_ins}:{os.environ['PATH']}")
    monkeypatch.setenv("CORRAL__AGENT__HTTP_ALLOW", "127.0.0.1/32")
    async with Stack.temporary() as stack, RealNode.enrolled(stack, "n1"):
        await stack.online(1)
        yield Ground(stack, calls)


async def test_http_service_and_search_go_all_the_way(ground: Ground, web: http.server.ThreadingHTTPServer) -> None:
    url = f"http://127.0.0.1:{web.server_address[1]}/health"
    status, out, err = await ground.run("http", url, "-t", "n1", "--assert", '$.status == "up"')
    assert (status, out) == (0, '200 OK\n{"status": "up", "path": "/health"}\n'), err
    status, out, err = await ground.run("http", url, "-t", "n1", "--assert", '$.status == "down"', "-o", "json")
    assert status == 1
    task = json.loads(out)["tasks"][0]
    assert task["state"] == "failed"
    assert '$.status is "up", expected "down"' in task["stderr"]

    await ground.stack.fleet.secrets.set("api", "s3cret-value")
    status, out, err = await ground.run("http", url, "-t", "n1", "-H", "Authorization: Bearer {{ secret.api }}")
    assert status == 0, err
    assert web.seen[-1] == "Bearer s3cret-value"  # type: ignore[attr-defined]  # set above

    status, out, err = await ground.run("http", "http://127.0.0.2:1/", "-t", "n1")
    assert status == 1
    assert "127.0.0.2 is the node itself" in out + err
    status, out, err = await ground.run("http", "http://2130706433/", "-t", "n1")
    assert status == 2
    assert "is neither a name nor four decimal numbers" in err

    status, out, err = await ground.run(*words("task run service -t n1 -p action=restart -p unit=nginx"))
    assert (status, out) == (0, "nginx.service: active (running), enabled\n"), err
    assert "restart -- nginx.service" in ground.calls.read_text()

    if opensearch.program() is not None:
        with opensearch.running() as server:
            await ground.stack.fleet.connections.set("logs", engine="opensearch", host="127.0.0.1", port=server.port)
            first = words(
                "task run elasticsearch -t n1 --connection logs -p index=logs -p refresh=true -p operation=index"
            )
            status, out, err = await ground.run(*first, "-p", 'document={"level": "error"}')
            assert status == 0, err
            first = words("task run elasticsearch -t n1 --connection logs -p index=logs -p operation=count")
            status, out, err = await ground.run(*first, "-p", 'query={"match": {"level": "error"}}')
            assert (status, out) == (0, "1\n"), err


async def test_kinds_and_their_params_are_shown_before_anything_runs(ground: Ground) -> None:
    status, out, err = await ground.cli("task", "kinds", "-o", "name")
    assert {"elasticsearch", "exec", "file", "http", "kubernetes", "service"} <= set(out.split()), err
    status, out, err = await ground.cli("task", "schema", "service", "-o", "json")
    assert json.loads(out)["required"] == ["action", "unit"]
    status, out, err = await ground.cli(*words("task run service -t n1 -p action=explode -p unit=nginx"))
    assert status == 2
    assert "expected one of 'status', 'start'" in err
    assert ground.calls.read_text() == ""

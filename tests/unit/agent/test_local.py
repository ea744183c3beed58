"""The local socket: JSON-RPC 2.0, private, bounded, and honest about errors."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from corral.agent import local
from corral.agent.local import LocalClient, LocalServer, allowed, call
from corral.domain.errors import Conflict, Internal, NotFound, Unavailable
from corral.runtime.lifecycle import TaskSet


async def status(params: dict[str, Any]) -> dict[str, Any]:
    return {"got": params}


async def missing(params: dict[str, Any]) -> None:
    raise NotFound("cannot find it: gone", element="it", hint="look elsewhere")


async def broken(params: dict[str, Any]) -> None:
    raise RuntimeError("secret detail")


async def slow(params: dict[str, Any]) -> None:
    await asyncio.sleep(60)


METHODS = {"status": status, "missing": missing, "broken": broken, "slow": slow}


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    tasks, path = TaskSet("test"), tmp_path / "daemon.sock"
    await serve(tasks, path)
    yield path
    await tasks.close()
    assert not path.exists()


async def serve(tasks: TaskSet, path: Path) -> None:
    ready = asyncio.Event()
    task = tasks.start(LocalServer(path, METHODS).run(ready.set), name="server")
    waiter = tasks.start(ready.wait(), name="ready")
    await asyncio.wait((task, waiter), timeout=5, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()


async def raw(path: Path, line: bytes) -> Any:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(line)
    try:
        answer = await asyncio.wait_for(reader.readline(), 5)
    finally:
        writer.close()
        await writer.wait_closed()
    return json.loads(answer) if answer else None


async def test_a_call_gets_its_result(path: Path) -> None:
    assert await call(path, "status", {"a": [1, "ü"]}) == {"got": {"a": [1, "ü"]}}


async def test_an_error_comes_back_as_the_same_error(path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        await call(path, "missing")
    assert caught.value.message == "cannot find it: gone"
    assert (caught.value.element, caught.value.hint) == ("it", "look elsewhere")


async def test_our_own_mistake_is_an_internal_error_without_its_details(path: Path) -> None:
    with pytest.raises(Internal) as caught:
        await call(path, "broken")
    assert "secret detail" not in caught.value.message


async def test_an_unknown_method_names_the_known_ones(path: Path) -> None:
    with pytest.raises(Internal, match="known are broken, missing, slow, status"):
        await call(path, "reboot")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"nonsense\n", -32700),
        (b"[" * 5000 + b"\n", -32700),
        (b"[]\n", -32600),
        (b'{"id": 1, "method": "status"}\n', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 5}\n', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "status", "params": [1]}\n', -32602),
    ],
)
async def test_a_bad_request_gets_the_code_of_the_standard(path: Path, line: bytes, code: int) -> None:
    assert (await raw(path, line))["error"]["code"] == code


async def test_a_notification_is_not_answered_and_the_next_request_is(path: Path) -> None:
    note = b'{"jsonrpc": "2.0", "method": "status"}\n'
    ask = b'{"jsonrpc": "2.0", "method": "status", "id": 7}\n'
    assert (await raw(path, note + ask))["id"] == 7


async def test_a_line_beyond_the_limit_ends_the_connection(path: Path) -> None:
    assert await raw(path, b"x" * (local.REQUEST_BYTES_MAX + 100_000)) is None
    assert await call(path, "status") == {"got": {}}


async def test_an_idle_connection_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "IDLE_SECONDS", 0.05)
    reader, writer = await asyncio.open_unix_connection(str(path))
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    await writer.wait_closed()


async def test_more_connections_than_allowed_are_hung_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "CONNECTIONS_MAX", 1)
    _, held = await asyncio.open_unix_connection(str(path))
    await asyncio.sleep(0.05)
    with pytest.raises(Unavailable):
        await call(path, "status")
    held.close()
    await held.wait_closed()


async def test_nobody_there_and_no_answer_are_unavailable(path: Path, tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        await call(tmp_path / "other.sock", "status")
    with pytest.raises(Unavailable, match="no answer"):
        await call(path, "slow", timeout_seconds=0.1)


async def test_the_socket_is_private_and_a_second_server_is_refused(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    tasks = TaskSet("second")
    with pytest.raises(Conflict, match="another process serves it"):
        await serve(tasks, path)
    assert await call(path, "status") == {"got": {}}


async def test_a_socket_left_by_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    path, tasks = tmp_path / "daemon.sock", TaskSet("test")
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    await serve(tasks, path)
    assert await call(path, "status") == {"got": {}}
    await tasks.close()


async def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    folder, tasks = tmp_path / ("d" * 120), TaskSet("test")
    folder.mkdir()
    await serve(tasks, folder / "daemon.sock")
    assert await call(folder / "daemon.sock", "status") == {"got": {}}
    await tasks.close()
    assert not (folder / "daemon.sock").exists()


async def test_a_kept_connection_serves_many_calls_and_survives_another_server(tmp_path: Path) -> None:
    path, client = tmp_path / "worker.sock", LocalClient(tmp_path / "worker.sock")
    for _ in range(2):
        tasks = TaskSet("test")
        await serve(tasks, path)
        answers = await asyncio.gather(*(client.call("status", {"n": n}) for n in range(5)))
        assert [answer["got"]["n"] for answer in answers] == [0, 1, 2, 3, 4]
        with pytest.raises(Unavailable, match="no answer"):
            await client.call("slow", timeout_seconds=0.05)
        assert await client.call("status") == {"got": {}}, "a late answer is not taken for another call's"
        await tasks.close()
    with pytest.raises(Unavailable):
        await client.call("status")
    client.close()


def test_root_and_ourselves_are_allowed_and_nobody_else() -> None:
    assert allowed(0)
    assert allowed(os.geteuid())
    assert not allowed(65534)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
async def test_another_user_is_hung_up_even_when_the_file_lets_him_in(path: Path) -> None:
    path.chmod(0o777)
    for parent in (path.parent, path.parent.parent, path.parent.parent.parent):
        parent.chmod(0o755)
    text = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(5)\n"
        "fd = os.open(os.path.dirname(sys.argv[1]), os.O_RDONLY)\n"
        "os.fchdir(fd); os.setuid(65534); s.connect('daemon.sock')\n"
        'try:\n    s.sendall(b\'{"jsonrpc": "2.0", "id": 1, "method": "status"}\\n\')\n'
        "except OSError: pass\n"
        "try: print(s.recv(1000))\nexcept ConnectionResetError: print(b'')\n"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", text, str(path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(child.communicate(), 20)
    assert out.decode().strip() == "b''"
    assert await call(path, "status") == {"got": {}}

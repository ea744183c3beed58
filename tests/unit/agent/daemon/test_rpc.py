"""Requests to a live node: only signed ones, for this node and method, of this moment, and each only once."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corral.agent.daemon.rpc import KIND, Files, RpcDesk
from corral.agent.link.port import NoAnswer
from corral.domain.errors import Invalid, NotFound
from corral.protocol import codec, subjects
from corral.protocol.messages import RpcRequest
from corral.protocol.signing import seal
from corral.runtime.crypto import ed25519_public, ed25519_sign
from corral.runtime.lifecycle import TaskSet
from corral.testing.clock import FakeClock
from corral.testing.link import MemoryEngine


class Key:
    def __init__(self, key_id: str, seed: bytes) -> None:
        self.key_id = key_id
        self.seed = seed

    def sign(self, data: bytes) -> bytes:
        return ed25519_sign(self.seed, data)


GOOD, FOREIGN = Key("k1", bytes(32)), Key("k1", bytes([1]) * 32)


class Scene:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.engine = MemoryEngine()
        self.node, self.server = self.engine.link("node"), self.engine.link("server")
        self.offset: float | None = None
        self.asked: list[dict[str, Any]] = []
        self.desk = RpcDesk(
            node_id="web-1",
            link=self.node,
            methods={"status": self.status, "tail": self.fail},
            keys=lambda: {"k1": ed25519_public(GOOD.seed)},
            clock=self.clock,
            offset=lambda: self.offset,
        )

    async def status(self, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(params)
        return {"fine": True}

    async def fail(self, params: dict[str, Any]) -> None:
        raise Invalid("cannot read the file: no", element="path") if params else RuntimeError("on purpose")

    def request(self, **changes: Any) -> RpcRequest:
        now = self.clock.wall()
        request = RpcRequest(kid="k1", node="web-1", method="status", issued=now, not_after=now + 30)
        return replace(request, **changes)

    async def ask(self, wire: bytes, method: str = "status") -> Any:
        answer = await self.server.request(subjects.rpc("web-1", method), wire, timeout_seconds=0.05)
        return json.loads(answer.data)


def sealed(request: RpcRequest, key: Key = GOOD, kind: str = KIND) -> bytes:
    return seal(key, kind, codec.encode(request))


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene, tasks = Scene(), TaskSet("scene")
    for link in (scene.node, scene.server):
        tasks.start(link.run(lambda: None), name="link")
    await asyncio.sleep(0)
    yield scene
    await tasks.close()


async def test_a_signed_request_is_answered(scene: Scene) -> None:
    assert await scene.ask(sealed(scene.request(params={"watch": 5}))) == {"result": {"fine": True}}
    assert scene.asked == [{"watch": 5}]


async def test_a_refusal_and_our_own_mistake_come_back_as_errors(scene: Scene) -> None:
    refused = await scene.ask(sealed(scene.request(method="tail", params={"path": "x"})), "tail")
    assert refused["error"]["message"] == "cannot read the file: no"
    mistake = await scene.ask(sealed(scene.request(method="tail")), "tail")
    assert "internal error" in mistake["error"]["message"]
    assert "on purpose" not in json.dumps(mistake)


@pytest.mark.parametrize(
    "forge",
    [
        lambda s: codec.encode(s.request()),
        lambda s: b"",
        lambda s: b"\n" * 200,
        lambda s: sealed(s.request(), FOREIGN),
        lambda s: sealed(s.request(kid="k2")),
        lambda s: sealed(s.request(), kind="task"),
        lambda s: sealed(s.request(node="web-2")),
        lambda s: sealed(s.request(method="tail")),
        lambda s: sealed(s.request())[:-1] + b" }",
        lambda s: sealed(s.request(issued=s.clock.wall() - 5000, not_after=s.clock.wall() - 4000)),
        lambda s: sealed(s.request(issued=s.clock.wall() + 5000, not_after=s.clock.wall() + 6000)),
        lambda s: seal(GOOD, KIND, b"[]"),
        lambda s: seal(GOOD, KIND, b"nonsense"),
    ],
)
async def test_what_does_not_prove_itself_is_never_answered(scene: Scene, forge: Any) -> None:
    with pytest.raises(NoAnswer):
        await scene.ask(forge(scene))
    assert scene.asked == []
    assert scene.desk.refused == 1


async def test_a_request_is_answered_once_however_often_it_is_sent(scene: Scene) -> None:
    wire = sealed(scene.request())
    assert await scene.ask(wire) == {"result": {"fine": True}}
    for _ in range(100):
        await scene.server.publish(subjects.rpc("web-1", "status"), wire, reply="answer")
    with pytest.raises(NoAnswer):
        await scene.ask(wire)
    assert len(scene.asked) == 1


async def test_a_wrong_clock_here_does_not_matter_once_the_servers_time_is_known(scene: Scene) -> None:
    request = scene.request()
    scene.clock.step_wall(-86400 * 365)
    with pytest.raises(NoAnswer):
        await scene.ask(sealed(request))
    scene.offset = 86400.0 * 365
    assert await scene.ask(sealed(request)) == {"result": {"fine": True}}


async def test_what_was_seen_is_forgotten_only_when_it_has_expired(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corral.agent.daemon.rpc.SEEN_MAX", 3)
    for number in range(3):
        await scene.ask(sealed(scene.request(params={"n": number})))
    with pytest.raises(NoAnswer):
        await scene.ask(sealed(scene.request(params={"n": 4})))
    scene.clock.step_wall(2000)
    assert await scene.ask(sealed(scene.request())) == {"result": {"fine": True}}


async def test_preview_and_tail_read_the_ends_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)))
    files = Files(tmp_path / "state")
    head = await files.preview({"path": str(tmp_path / "file"), "bytes": 3})
    tail = await files.tail({"path": str(tmp_path / "file"), "bytes": 3})
    assert base64.b64decode(head["data"]) == b"\x00\x01\x02"
    assert base64.b64decode(tail["data"]) == b"\xfd\xfe\xff"
    assert (tail["size"], tail["offset"]) == (256, 253)


async def test_the_nodes_own_secrets_are_not_read_by_any_name(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    (state / "identity.json").write_text("seed")
    (state / "daemon.log").write_text("line")
    (tmp_path / "link").symlink_to(state / "identity.json")
    (tmp_path / "folder").symlink_to(state)
    files = Files(state)
    for path in (state / "identity.json", tmp_path / "link", tmp_path / "folder" / "identity.json"):
        with pytest.raises(Invalid, match="agent itself"):
            await files.preview({"path": str(path)})
    with pytest.raises(Invalid, match="agent itself"):
        await files.preview({"path": str(tmp_path / "other" / ".." / "state" / "identity.json")})
    assert (await files.tail({"path": str(state / "daemon.log")}))["size"] == 4


async def test_a_pipe_a_device_and_a_folder_are_no_files_to_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    files = Files(tmp_path / "state")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(Invalid, match="plain file"):
            await files.preview({"path": str(path)})
    with pytest.raises(NotFound):
        await files.preview({"path": str(tmp_path / "none")})
    for params in ({"path": "relative"}, {"path": "/a\0b"}, {}, {"path": "/etc/hosts", "bytes": 1 << 20}):
        with pytest.raises(Invalid):
            await files.preview(params)

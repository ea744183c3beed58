"""What only our own link promises: coming back, refusing to be downgraded, staying small when the other side misbehaves."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from corral.agent.link import client, connection
from corral.agent.link.client import NatsLink
from corral.agent.link.port import LinkDown, LinkMessage
from corral.bus.engine_config import EngineSettings, EngineTls
from corral.domain.errors import TooLarge
from corral.runtime.lifecycle import TaskSet
from corral.runtime.tls import client_context
from corral.testing.engine import RunningEngine

pytestmark = pytest.mark.engine
INFO = b'INFO {"server_id":"X","max_payload":1048576,"headers":true}\r\n'


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.005)


@pytest.fixture
async def tasks() -> AsyncIterator[TaskSet]:
    tasks = TaskSet("test")
    yield tasks
    await tasks.close()


class FakeEngine:
    """A TCP server that says what a test wants it to say."""

    def __init__(self, script: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self._script = script
        self.connections = 0
        self.got = b""
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> FakeEngine:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task, writer in self._serving.items():
            writer.transport.abort()
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        try:
            await self._script(reader, writer)
        except OSError:
            pass
        finally:
            writer.close()


async def polite(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The handshake: INFO, read CONNECT … PING, answer PONG."""
    writer.write(INFO)
    await reader.readuntil(b"PING\r\n")
    writer.write(b"PONG\r\n")


async def test_after_the_engine_died_and_came_back_subscriptions_and_hooks_are_back(
    own_engine: Any, make_link: Callable[..., NatsLink], tasks: TaskSet
) -> None:
    link, events, got = make_link(own_engine.url), [], []

    async def hook() -> None:
        # Everything subscribed is with the engine by now: what is published here comes back.
        await link.publish("t.hello", b"")
        events.append("hook")

    def handler(message: LinkMessage) -> None:
        got.append(message)

    link.subscribe("t.hello", handler)
    link.subscribe("t.mute", lambda message: None)
    link.on_connect(hook)
    tasks.start(link.run(lambda: None), name="link")
    await until(lambda: len(got) == 1)

    pending = tasks.start(link.request("t.mute", b"", timeout_seconds=30), name="pending")
    await link.flush()
    begin = time.monotonic()
    own_engine.kill()
    with pytest.raises(LinkDown):
        await pending
    assert time.monotonic() - begin < 2
    await until(lambda: not link.connected)
    with pytest.raises(LinkDown):
        await link.publish("t.hello", b"")
    with pytest.raises(LinkDown):
        await link.request("t.mute", b"")

    own_engine.start()
    await until(lambda: len(got) == 2)
    assert link.connected
    assert link.reconnects == 1
    assert events == ["hook", "hook"]


async def test_a_dead_address_is_passed_over_for_the_next(
    engine: Any, make_link: Callable[..., NatsLink], tasks: TaskSet
) -> None:
    link = make_link("", urls=["nats://127.0.0.1:1", engine.url])
    tasks.start(link.run(lambda: None), name="link")
    await until(lambda: link.connected)


async def test_what_is_larger_than_the_engine_takes_is_refused_here(
    engine: Any, make_link: Callable[..., NatsLink], tasks: TaskSet
) -> None:
    link, got = make_link(engine.url), []

    def handler(message: LinkMessage) -> None:
        got.append(message)

    link.subscribe("t.big", handler)
    tasks.start(link.run(lambda: None), name="link")
    await until(lambda: link.connected)
    with pytest.raises(TooLarge):
        await link.publish("t.big", bytes((1 << 20) + 1))
    await link.publish("t.big", bytes(1 << 20))
    await until(lambda: len(got) == 1)
    assert link.connected


async def test_a_signed_nonce_lets_a_node_in_and_a_wrong_seed_is_tried_slowly(
    tmp_path: Path,
    make_link: Callable[..., NatsLink],
    tasks: TaskSet,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(client, "_JWT_LOOK_SECONDS", 0.05)
    async with RunningEngine(tmp_path / "engine") as engine:
        node, other = engine.node("web-1", "daemon"), engine.node("web-2", "daemon")
        current = {"jwt": other.jwt}  # signed for another key: the engine refuses the pair
        link = make_link(engine.url, jwt=lambda: current["jwt"], seed=node.seed, inbox=node.inbox)
        tasks.start(link.run(lambda: None), name="link")
        with caplog.at_level(logging.WARNING, "corral.link"):
            await until(lambda: "Authorization Violation" in caplog.text)
        current["jwt"] = node.jwt
        begin = time.monotonic()
        await until(lambda: link.connected)
        assert time.monotonic() - begin < 2, "a new credential is tried at once"


async def test_a_revoked_node_is_cut_off_and_comes_back_with_a_new_credential(
    tmp_path: Path, make_link: Callable[..., NatsLink], tasks: TaskSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_JWT_LOOK_SECONDS", 0.05)
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        node = engine.node("web-1", "daemon")
        link = make_link(engine.url, jwt=lambda: node.jwt, seed=node.seed, inbox=node.inbox)
        tasks.start(link.run(lambda: None), name="link")
        await until(lambda: link.connected)
        await engine.revoke(server, node.public)
        await until(lambda: not link.connected, 2.0)


async def test_tls_is_spoken_under_the_pinned_ca_only(
    tmp_path: Path, make_link: Callable[..., NatsLink], tasks: TaskSet, caplog: pytest.LogCaptureFixture
) -> None:
    ca, stranger = trustme.CA(), trustme.CA()
    certificate = ca.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    tls = EngineTls(cert=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    context = client_context(ca.cert_pem.bytes().decode())
    async with RunningEngine(
        tmp_path / "engine", settings=EngineSettings(port=0, tls=tls), client_tls=context
    ) as engine:
        node = engine.node("web-1", "daemon")
        port = engine.url.rsplit(":", 1)[1]
        asked = {"jwt": lambda: node.jwt, "seed": node.seed, "inbox": node.inbox}
        link = make_link(f"tls://127.0.0.1:{port}", ssl_context=context, **asked)
        tasks.start(link.run(lambda: None), name="link")
        await until(lambda: link.connected)
        await link.publish("corral.up.web-1.beat", b"x" * 100_000)
        await link.flush()

        wrong = make_link(
            f"tls://127.0.0.1:{port}", ssl_context=client_context(stranger.cert_pem.bytes().decode()), **asked
        )
        with caplog.at_level(logging.WARNING, "corral.link"):
            tasks.start(wrong.run(lambda: None), name="wrong")
            await until(lambda: "CERTIFICATE_VERIFY_FAILED" in caplog.text)
        assert not wrong.connected


async def test_an_engine_without_tls_is_told_nothing_where_tls_was_asked_for(
    make_link: Callable[..., NatsLink], tasks: TaskSet, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(INFO)
        heard.append(await reader.read(100))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with FakeEngine(script) as fake:
        link = make_link(f"tls://127.0.0.1:{fake.port}", ssl_context=context)
        with caplog.at_level(logging.WARNING, "corral.link"):
            tasks.start(link.run(lambda: None), name="link")
            await until(lambda: bool(heard))
        assert heard[0] == b""
        assert "offers no TLS" in caplog.text
        await tasks.close()


async def test_words_slipped_in_before_tls_end_the_connection(
    make_link: Callable[..., NatsLink], tasks: TaskSet, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"tls_required":true}\r\nMSG corral.down.n.task 1 100\r\nhalf')
        await reader.read(100)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with FakeEngine(script) as fake:
        link = make_link(f"tls://127.0.0.1:{fake.port}", ssl_context=context)
        with caplog.at_level(logging.WARNING, "corral.link"):
            tasks.start(link.run(lambda: None), name="link")
            await until(lambda: "in the clear" in caplog.text)
        await tasks.close()


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00" * 70_000, b"", b"PING\r\n" * 1000])
async def test_something_that_is_no_engine_is_left_and_tried_again(
    greeting: bytes, make_link: Callable[..., NatsLink], tasks: TaskSet
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)

    async with FakeEngine(script) as fake:
        link = make_link(f"nats://127.0.0.1:{fake.port}")
        tasks.start(link.run(lambda: None), name="link")
        await until(lambda: fake.connections >= 3)
        assert not link.connected
        await tasks.close()


async def test_a_silent_engine_is_left_after_two_unanswered_pings(
    make_link: Callable[..., NatsLink], tasks: TaskSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PING_SECONDS", 0.05)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await polite(reader, writer)
        while await reader.read(1000):
            pass

    async with FakeEngine(script) as fake:
        link = make_link(f"nats://127.0.0.1:{fake.port}")
        tasks.start(link.run(lambda: None), name="link")
        await until(lambda: link.reconnects >= 1)
        await tasks.close()


async def test_a_network_that_takes_nothing_holds_the_sender_back_and_not_in_memory(
    make_link: Callable[..., NatsLink], tasks: TaskSet
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await polite(reader, writer)
        await asyncio.Event().wait()

    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            await link.publish("t.flood", b"x" * 100_000)
            sent += 1

    async with FakeEngine(script) as fake:
        link = make_link(f"nats://127.0.0.1:{fake.port}")
        runner = tasks.start(link.run(lambda: None), name="link")
        await until(lambda: link.connected)
        flooding = tasks.start(flood(), name="flood")
        before = -1
        while before != sent:  # until it stands still
            before = sent
            await asyncio.sleep(0.1)
        assert sent * 100_000 < 32 << 20, "bounded by our buffer and the kernel's"
        assert not flooding.done()
        runner.cancel()
        await asyncio.wait([flooding], timeout=5)
        assert isinstance(flooding.exception(), LinkDown)
        await tasks.close()


async def test_a_handler_that_cannot_keep_up_loses_messages_and_not_the_connection(
    engine: Any,
    make_link: Callable[..., NatsLink],
    tasks: TaskSet,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(client, "BACKLOG_MESSAGES", 10)
    link, gate, got = make_link(engine.url), asyncio.Event(), []

    async def slow(message: LinkMessage) -> None:
        await gate.wait()
        got.append(message.data)

    link.subscribe("t.slow", slow)
    link.subscribe("t.last", lambda message: got.append(b"last"))
    tasks.start(link.run(lambda: None), name="link")
    await until(lambda: link.connected)
    for number in range(100):
        await link.publish("t.slow", str(number).encode())
    await link.publish("t.last", b"")
    await until(lambda: got == [b"last"])
    gate.set()
    await until(lambda: len(got) == 12)
    assert got[1:] == [str(number).encode() for number in range(11)]
    assert caplog.text.count("Cannot keep up") == 1
    await link.publish("t.slow", b"again")
    await until(lambda: got[-1] == b"again")


async def test_a_handler_without_await_costs_no_task(
    engine: Any, make_link: Callable[..., NatsLink], tasks: TaskSet
) -> None:
    link, seen = make_link(engine.url), []

    def handler(message: LinkMessage) -> None:
        seen.append(len(asyncio.all_tasks()))

    link.subscribe("t.cheap", handler)
    tasks.start(link.run(lambda: None), name="link")
    await until(lambda: link.connected)
    before = len(asyncio.all_tasks())
    for _ in range(50):
        await link.publish("t.cheap", b"")
    await until(lambda: len(seen) == 50)
    assert max(seen) <= before


async def test_when_stopped_it_says_what_was_buffered_and_hangs_up(
    engine: Any, make_link: Callable[..., NatsLink], tasks: TaskSet
) -> None:
    got: list[LinkMessage] = []
    listener, link = make_link(engine.url), make_link(engine.url)
    listener.subscribe("t.bye", got.append)
    tasks.start(listener.run(lambda: None), name="listener")
    runner = tasks.start(link.run(lambda: None), name="link")
    await until(lambda: listener.connected and link.connected)
    await link.publish("t.bye", b"bye")
    runner.cancel()
    await asyncio.wait([runner], timeout=5)
    assert runner.cancelled()
    assert not link.connected
    await until(lambda: len(got) == 1)

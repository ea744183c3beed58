"""The supervised engine: it comes back by itself, on its port, with its revocations; it never fights over its directory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from nats import errors

from corral.bus import embedded, engine_health, jetstream, jetstream_accounts
from corral.bus.embedded import EmbeddedEngine
from corral.bus.engine_config import EngineSettings, EngineTls
from corral.bus.engine_process import EngineProcess, find_program, orphans
from corral.bus.port import BusError
from corral.bus.realm import NodesClaims, Realm
from corral.domain.errors import Conflict, OutOfSpace, Unavailable
from corral.protocol import subjects, topology
from corral.runtime.clock import SystemClock
from corral.testing.engine import SMALL, RunningEngine
from corral.testing.raw_node import RawNode

pytestmark = pytest.mark.engine


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def stored(engine: RunningEngine, server: jetstream.JetStreamEngine, data: bytes) -> None:
    node = await RawNode.connect(engine.url, engine.node("web-1", "worker"))
    answer = await node.send(subjects.output("web-1", "J1", 1), data)
    await node.close()
    assert "error" not in answer


async def test_after_kill_it_comes_back_at_the_same_address_with_what_it_stored(
    tmp_path: Path, eventually: Any
) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        await stored(engine, server, b"kept")
        url, before = engine.url, engine.embedded.starts
        dead = engine.kill()
        await engine.until_restarted(before)
        assert engine.url == url
        assert engine.embedded.pid != dead
        await eventually(lambda: server.connected, "the server is connected again")
        kept = await server.streams.read(subjects.OUTPUT, subjects.output_filter("J1"))
        assert [message.data for message in kept] == [b"kept"]


async def test_a_wiped_store_heals_by_itself(tmp_path: Path, eventually: Any) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        await stored(engine, server, b"gone")
        before = engine.embedded.starts
        engine.kill()
        shutil.rmtree(tmp_path / "engine" / "store")
        await engine.until_restarted(before)
        await eventually(lambda: server.connected, "the server is connected again")
        assert (await server.streams.usage())["output"]["messages"] == 0
        await stored(engine, server, b"new")


async def test_a_stream_that_vanished_is_made_again_when_it_is_missed(tmp_path: Path) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        connection = server.streams._connection
        for stream in (subjects.REPORTS, subjects.BEATS):
            await connection.request(f"$JS.API.STREAM.DELETE.{stream}", b"", timeout_seconds=2)
        assert await server.streams.latest(subjects.BEATS, 0) == []
        batches = server.streams.batches(subjects.REPORTS, topology.INGEST)
        node = await RawNode.connect(engine.url, engine.node("web-1", "worker"))
        await node.send(subjects.up("web-1", "report"), b"x")
        got = await batches.next(limit=10, wait_seconds=5)
        assert [message.data for message in got] == [b"x"]
        await node.close()


async def test_a_reader_whose_consumer_vanished_goes_on(tmp_path: Path) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        batches = server.streams.batches(subjects.REPORTS, topology.INGEST)
        assert await batches.next(limit=10, wait_seconds=0.1) == []
        connection = server.streams._connection
        await connection.request("$JS.API.CONSUMER.DELETE.reports.ingest", b"", timeout_seconds=2)
        node = await RawNode.connect(engine.url, engine.node("web-1", "worker"))
        await node.send(subjects.up("web-1", "report"), b"x")
        got = await batches.next(limit=10, wait_seconds=5)
        assert [message.data for message in got] == [b"x"]
        await node.close()


async def test_changed_limits_are_applied_to_what_is_there(tmp_path: Path) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        await stored(engine, server, b"kept")
        larger = topology.StoreLimits(
            **{**{name: getattr(SMALL, name) for name in SMALL.__slots__}, "output_bytes": 300 << 20}
        )
        other = await jetstream.connect([engine.url], realm=engine.realm, limits=larger)
        usage = await other.streams.usage()
        assert usage["output"]["max_bytes"] == 300 << 20
        assert usage["output"]["messages"] == 1
        await other.close()


async def test_the_claims_are_asked_for_before_every_start(tmp_path: Path) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        bad = engine.node("web-1", "worker")
        link = await RawNode.connect(engine.url, bad)
        await link.close()
        engine.revoked[bad.public] = int(time.time())
        before = engine.embedded.starts
        engine.kill()
        await engine.until_restarted(before)
        with pytest.raises(errors.Error):
            await RawNode.connect(engine.url, bad)


async def test_two_engines_cannot_share_a_directory(tmp_path: Path) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        with pytest.raises(Conflict, match=f"pid {os.getpid()}"):
            async with RunningEngine(tmp_path / "engine"):
                pass
        assert is_alive(engine.embedded.pid or 0)


async def test_a_port_in_use_is_an_error_at_the_first_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = EngineSettings(port=taken.getsockname()[1])
        with pytest.raises(Unavailable, match="address already in use"):
            async with RunningEngine(tmp_path / "engine", settings=settings):
                pass


async def test_an_engine_that_outlived_its_server_is_stopped_before_the_next_start(tmp_path: Path) -> None:
    directory = tmp_path / "engine"
    async with RunningEngine(directory):
        pass
    config = directory / "engine.conf"
    left = await EngineProcess.start(find_program(os.environ), config, {})
    async with asyncio.timeout(5):
        while orphans(config) != [left.pid]:
            await asyncio.sleep(0.01)
    async with RunningEngine(directory) as engine:
        assert engine.embedded.pid != left.pid
        assert orphans(config) == [engine.embedded.pid]
    async with asyncio.timeout(5):
        await left.wait()


async def test_another_programs_engine_is_left_alone(tmp_path: Path) -> None:
    async with RunningEngine(tmp_path / "one") as one, RunningEngine(tmp_path / "two") as two:
        assert orphans(tmp_path / "one" / "engine.conf") == [one.embedded.pid]
        assert orphans(tmp_path / "two" / "engine.conf") == [two.embedded.pid]


PARENT = """
import asyncio, sys
from pathlib import Path
from corral.testing.engine import RunningEngine
async def main():
    async with RunningEngine(Path(sys.argv[1])) as engine:
        print(engine.embedded.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def test_the_engine_dies_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "engine")], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        parent.stdout.close()
    deadline = time.monotonic() + 5
    while is_alive(pid):
        assert time.monotonic() < deadline, "the engine still runs"
        time.sleep(0.01)


async def test_cancelling_a_start_leaves_no_engine(tmp_path: Path) -> None:
    async def claims() -> NodesClaims:
        return NodesClaims()

    directory = tmp_path / "engine"
    engine = EmbeddedEngine(directory=directory, realm=Realm.create(), claims=claims, settings=EngineSettings(port=0))
    task = asyncio.ensure_future(engine.run(lambda: None))
    async with asyncio.timeout(5):
        while not orphans(directory / "engine.conf"):
            await asyncio.sleep(0.001)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert orphans(directory / "engine.conf") == []


async def test_an_engine_that_does_not_answer_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(engine_health, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(embedded, "UNWELL_GRACE_SECONDS", 0.1)
    async with RunningEngine(tmp_path / "engine") as engine:
        frozen, before = engine.embedded.pid, engine.embedded.starts
        assert frozen is not None
        os.kill(frozen, signal.SIGSTOP)
        await engine.until_restarted(before)
        assert not is_alive(frozen)


async def test_after_a_failed_write_the_engine_starts_again_and_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    """A file size limit on the engine's process stands in for the full disk: the same error, the same freeze."""
    monkeypatch.setattr(embedded, "CHECK_SECONDS", 0.05)
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        assert engine.embedded.pid is not None
        resource.prlimit(engine.embedded.pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        before = engine.embedded.starts
        node = await RawNode.connect(engine.url, engine.node("web-1", "worker"))
        with contextlib.suppress(errors.Error, OSError):
            for _ in range(40):
                await node.publish(subjects.output("web-1", "J1", 1), b"z" * 65536)
                await node.flush()
        await engine.until_restarted(before)
        await node.close()
        await eventually(lambda: server.connected, "the server is connected again", 10.0)
        await stored(engine, server, b"after")


async def test_with_a_full_disk_the_engine_waits_for_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    monkeypatch.setattr(embedded, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(engine_health, "has_space", lambda _directory: False)
    async with RunningEngine(tmp_path / "engine") as engine:
        assert engine.embedded.pid is not None
        await engine.connect()
        pid, before = engine.embedded.pid, engine.embedded.starts
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        node = await RawNode.connect(engine.url, engine.node("web-1", "worker"))
        for _ in range(40):
            await node.publish(subjects.output("web-1", "J1", 1), b"z" * 65536)
            await node.flush()
        await eventually(lambda: "disk is full" in engine.embedded.sickness, "it says what is wrong")
        assert (engine.embedded.pid, engine.embedded.starts) == (pid, before)
        assert node.connected
        monkeypatch.setattr(engine_health, "has_space", lambda _directory: True)
        await engine.until_restarted(before)
        await node.close()


async def test_the_links_of_many_nodes_are_listed_page_by_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jetstream_accounts, "PAGE", 2)
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        credentials = [engine.node(f"web-{number}", "daemon") for number in range(5)]
        links = [await RawNode.connect(engine.url, credential) for credential in credentials]
        assert await server.accounts.connected_keys() == {credential.public for credential in credentials}
        for link in links:
            await link.close()


async def test_a_bucket_that_is_full_says_so_and_keeps_nothing(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield bytes(1 << 20)

    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        with pytest.raises(OutOfSpace):
            await server.objects.put("artifacts", "too-big", pieces())
        assert not await server.objects.exists("artifacts", "too-big")
        assert (await server.streams.usage())["OBJ_artifacts"]["messages"] == 0


# -- TLS


class Certificates:
    def __init__(self, directory: Path) -> None:
        self.ca, self.clients = trustme.CA(), trustme.CA()
        certificate = self.ca.issue_cert("127.0.0.1", "localhost")
        self.cert, self.key, self.client_ca = directory / "cert.pem", directory / "key.pem", directory / "clients.pem"
        self.key.write_bytes(certificate.private_key_pem.bytes())
        self.cert.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        self.clients.cert_pem.write_to_path(str(self.client_ca))

    def context(self, *, client: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if client:
            self.clients.issue_cert("server@corral").configure_cert(context)
        return context


async def test_over_tls_server_and_nodes_talk_and_plain_text_is_refused(tmp_path: Path, eventually: Any) -> None:
    certificates = Certificates(tmp_path)
    settings = EngineSettings(port=0, tls=EngineTls(cert=certificates.cert, key=certificates.key))
    context = certificates.context()
    async with RunningEngine(tmp_path / "engine", settings=settings, client_tls=context) as engine:
        assert engine.url.startswith("tls://")
        server = await engine.connect()
        node = await RawNode.connect(engine.url, engine.node("web-1", "worker"), tls=context)
        await node.hear(subjects.down("web-1", ">"))
        await server.wire.publish(subjects.down("web-1", "task"), b"hello")
        await eventually(lambda: bool(node.heard), "the message arrived")
        assert (await node.send(subjects.up("web-1", "report"), b"x"))["stream"] == "reports"
        socket_ = node.client._transport._io_writer.get_extra_info("ssl_object")
        assert socket_.version() == "TLSv1.3"
        await node.close()
        with pytest.raises((errors.Error, ssl.SSLError)):
            await RawNode.connect(engine.url, engine.node("web-2", "worker"), tls=ssl.create_default_context())


async def test_where_client_certificates_are_asked_for_a_missing_one_is_refused(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    tls = EngineTls(cert=certificates.cert, key=certificates.key, client_ca=certificates.client_ca)
    with_certificate = certificates.context(client=True)
    settings = EngineSettings(port=0, tls=tls)
    async with RunningEngine(tmp_path / "engine", settings=settings, client_tls=with_certificate) as engine:
        server = await engine.connect()
        assert (await server.streams.usage())["reports"]["messages"] == 0
        with pytest.raises((errors.Error, OSError)):
            await RawNode.connect(engine.url, engine.node("web-1", "worker"), tls=certificates.context())


# -- the connection


async def test_what_is_published_while_the_engine_is_away_arrives_later_in_order(
    tmp_path: Path, eventually: Any
) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        before = engine.embedded.starts
        engine.kill()
        await eventually(lambda: not server.wire._connection.connected, "the loss was noticed")
        for number in range(3):
            await server.wire.publish(subjects.down("web-1", "task"), b"%d" % number)
        with pytest.raises(BusError):
            for _ in range(10):
                await server.wire.publish(subjects.down("web-1", "task"), bytes(1 << 20))
        with pytest.raises(BusError):
            await server.wire.request(subjects.rpc("web-1", "status"), b"", timeout_seconds=5)
        got: list[bytes] = []
        connection = server.streams._connection
        await connection.subscribe(subjects.down("web-1", "task"), lambda message: got.append(message.data))
        await engine.until_restarted(before)
        await eventually(lambda: len(got) >= 3 or server.connected, "the server is connected again")
        await server.wire.publish(subjects.down("web-1", "task"), b"last")
        await eventually(lambda: b"last" in got, "messages arrive again")
        # The kept ones may leave before the other connection listens again; those that arrive are in order.
        small = [data for data in got if len(data) == 1]
        assert small == sorted(small)


async def test_a_request_in_flight_fails_when_the_connection_breaks(tmp_path: Path) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        node = await RawNode.connect(engine.url, engine.node("web-1", "worker"))
        await node.hear(subjects.rpc("web-1", ">"))  # hears, and never answers
        asked = asyncio.ensure_future(server.wire.request(subjects.rpc("web-1", "status"), b"", timeout_seconds=60))
        await asyncio.sleep(0.05)
        engine.kill()
        async with asyncio.timeout(5):
            with pytest.raises(BusError):
                await asked
        await node.close()


async def test_the_hook_runs_after_every_connect(tmp_path: Path, eventually: Any) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        runs: list[int] = []

        async def hook() -> None:
            await server.accounts.push_claims(engine.realm.nodes_jwt(engine.claims))
            runs.append(1)

        server.on_connect(hook)
        before = engine.embedded.starts
        engine.kill()
        await engine.until_restarted(before)
        await eventually(lambda: bool(runs), "the hook ran")


async def test_an_engine_that_is_not_there_is_an_error_that_says_where(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable, match=str(port)):
        await jetstream.connect([f"nats://127.0.0.1:{port}"], realm=Realm.create(), timeout_seconds=1)


async def test_the_newer_acknowledgement_format_is_read_and_answered(tmp_path: Path) -> None:
    settings = EngineSettings(port=0, ack_format_v2=True)
    async with RunningEngine(tmp_path / "engine", settings=settings) as engine:
        server = await engine.connect()
        node = await RawNode.connect(engine.url, engine.node("web-1", "worker"))
        for number in range(3):
            await node.send(subjects.up("web-1", "report"), b"%d" % number)
            await node.send(subjects.output("web-1", "J1", 1), b"%d" % number)
        batches = server.streams.batches(subjects.REPORTS, topology.INGEST)
        got = await batches.next(limit=10, wait_seconds=2)
        assert len(got[0].ack.split(".")) > 9
        assert [message.sequence for message in got] == [1, 2, 3]
        await batches.ack(got)
        async with asyncio.timeout(5):
            while (await server.streams.usage())["reports"]["messages"]:
                await asyncio.sleep(0.01)
        follow = server.streams.follow(subjects.OUTPUT, subjects.output_filter("J1"), from_sequence=1)
        async with asyncio.timeout(5):
            assert [(await anext(follow)).sequence for _ in range(3)] == [1, 2, 3]
        await follow.aclose()
        await node.close()


async def test_a_revocation_holds_although_the_servers_clock_stepped_back(tmp_path: Path, eventually: Any) -> None:
    """The engine keeps claims by their time of issue; older ones with a revocation must still win."""
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        engine.realm.save(tmp_path / "realm.json")
        ahead = Realm.load(tmp_path / "realm.json", SystemClock(5000))
        bad = engine.node("web-1", "worker")
        link = await RawNode.connect(engine.url, bad)
        await server.accounts.push_claims(ahead.nodes_jwt(engine.claims))
        assert link.connected
        await engine.revoke(server, bad.public)
        await eventually(lambda: not link.connected, "the link went", 2.0)
        before = engine.embedded.starts
        engine.kill()
        await engine.until_restarted(before)
        with pytest.raises(errors.Error):
            await RawNode.connect(engine.url, bad)
        await link.close()

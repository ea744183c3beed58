"""The server's job traffic over the real nats-server and SQLite: reports, receipts, sync and output, with a node played by hand.

What these hold: a report is receipted only once it is committed; poison stalls nobody; an engine that was killed or lost its whole
store loses no task and no report, because both ends repeat what was not answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from corral.bus.jetstream import JetStreamEngine
from corral.domain.ids import new_id
from corral.domain.job import CommandSpec, Job, JobState, pinned_hash
from corral.domain.task import TaskState
from corral.protocol import codec
from corral.protocol.messages import (
    HEADER_OFFSET,
    HEADER_STREAM,
    ReceiptMessage,
    ReportMessage,
    SyncAnswer,
    SyncRequest,
)
from corral.runtime.clock import SystemClock, now_ms
from corral.runtime.lifecycle import TaskSet
from corral.server.application.jobs.aftermath import Aftermath
from corral.server.application.jobs.counters import Counters
from corral.server.application.jobs.dispatch import Dispatcher
from corral.server.application.jobs.events import EventHub
from corral.server.application.ports.jobs import Delivery, NewTask
from corral.server.infrastructure.nats.down import NatsDown
from corral.server.infrastructure.nats.output import NatsOutputLog
from corral.server.infrastructure.nats.reports import ReportIngest
from corral.server.infrastructure.nats.specs import WireSpecs
from corral.server.infrastructure.nats.sync import SyncResponder
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.dead_letters import SqlDeadLetters
from corral.server.infrastructure.sql.jobs import SqlJobStore
from corral.server.infrastructure.sql.jobs_queries import SqlJobQueries
from corral.server.infrastructure.sql.migrate import migrate
from corral.testing.engine import RunningEngine
from corral.testing.raw_node import RawNode

pytestmark = pytest.mark.engine


class Key:
    key_id = "T1"

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


class Everyone:
    """A fleet where every node is online."""

    def online(self, nodes: Sequence[str]) -> frozenset[str]:
        return frozenset(nodes)


class Server:
    """The jobs side of a server: its components running over one engine and one database."""

    def __init__(self, engine: JetStreamEngine, db: Database) -> None:
        self.clock, self.counters, self.engine = SystemClock(0), Counters(), engine
        self.store, self.queries = SqlJobStore(db), SqlJobQueries(db)
        self.letters = SqlDeadLetters(db, self.clock)
        key = Key()
        specs = WireSpecs(objects=engine.objects, signer=key)
        self.down = NatsDown(wire=engine.wire, specs=specs, signer=key, clock=self.clock)
        self.dispatcher = Dispatcher(
            store=self.store, down=self.down, fleet=Everyone(), clock=self.clock, counters=self.counters
        )
        aftermath = Aftermath(events=EventHub(counters=self.counters), dispatcher=self.dispatcher)
        self.ingest = ReportIngest(
            streams=engine.streams,
            store=self.store,
            letters=self.letters,
            down=self.down,
            aftermath=aftermath,
            clock=self.clock,
            counters=self.counters,
        )
        self.dispatcher.behind = self.ingest.behind
        self.sync = SyncResponder(
            streams=engine.streams,
            wire=engine.wire,
            store=self.store,
            queries=self.queries,
            down=self.down,
            aftermath=aftermath,
            signer=key,
            keys=dict,
            clock=self.clock,
            counters=self.counters,
        )
        self.output = NatsOutputLog(streams=engine.streams, counters=self.counters)
        self._tasks = TaskSet("server")

    async def start(self) -> None:
        for component in (self.dispatcher, self.ingest, self.sync):
            ready = asyncio.Event()
            self._tasks.start(component.run(ready.set), name=component.name)
            await ready.wait()

    async def stop(self) -> None:
        await self._tasks.close()

    async def submit(self, nodes: Sequence[str], spec: CommandSpec | None = None) -> Job:
        now = self.clock.now()
        job = Job(
            id=new_id("J", now_ms(self.clock), os.urandom(6)),
            name="",
            kind="exec",
            target="all",
            spec=spec or CommandSpec(argv=("true",)),
            state=JobState.OPEN,
            counts={},
            nodes=len(nodes),
            pinned=pinned_hash(nodes),
            created_at=now,
            created_by="ann",
            expires_at=now + timedelta(hours=1),
        )
        await self.store.add(job, [NewTask(node=node) for node in nodes], operation=None)
        self.dispatcher.hand(
            [
                Delivery(job=job.id, node=node, attempt=1, kind="exec", spec=job.spec, not_after=job.expires_at)
                for node in nodes
            ]
        )
        return job


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[RunningEngine]:
    async with RunningEngine(tmp_path / "engine") as running:
        yield running


@pytest.fixture
async def server(engine: RunningEngine, tmp_path: Path) -> AsyncIterator[Server]:
    db = Database(f"sqlite:///{tmp_path}/corral.db")
    await migrate(db)
    running = Server(await engine.connect(), db)
    await running.start()
    yield running
    await running.stop()
    await db.close()


@pytest.fixture
async def node(engine: RunningEngine) -> AsyncIterator[RawNode]:
    raw = await RawNode.connect(engine.url, engine.node("n1"))
    await raw.hear("corral.down.n1.>")
    yield raw
    await raw.close()


async def eventually(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)
    assert condition(), f"not within {seconds} s: {what}"


def of_kind(node: RawNode, kind: str) -> list[dict[str, object]]:
    return [
        json.loads(data.partition(b"\n")[2] if kind != "receipt" else data)
        for subject, data in node.heard
        if subject.endswith(f".{kind}") and data
    ]


def tokens(node: RawNode) -> set[str]:
    return {
        token
        for subject, data in node.heard
        if subject.endswith(".receipt")
        for token in codec.decode(ReceiptMessage, data).tokens
    }


def report(job: Job, state: str, **more: object) -> tuple[str, bytes]:
    token = secrets.token_hex(16)
    given = {"token": token, "job": job.id, "attempt": 1, "seq": 1, "state": state, **more}
    return token, codec.encode(ReportMessage(**given))  # type: ignore[arg-type]  # a test's short hand


async def test_a_task_is_pushed_its_report_committed_and_receipted(server: Server, node: RawNode) -> None:
    job = await server.submit(["n1"])
    await eventually(lambda: bool(of_kind(node, "task")), "the task at the node")
    assert of_kind(node, "task")[0]["job"] == job.id
    token, body = report(job, "succeeded", exit_code=0)
    assert "error" not in await node.send("corral.up.n1.report", body)
    await eventually(lambda: token in tokens(node), "the receipt")
    task = await server.queries.task(job.id, "n1")
    assert (task.state, task.exit_code) == (TaskState.SUCCEEDED, 0)
    await server.engine.wire.flush()
    assert (await server.engine.streams.usage())["reports"]["messages"] == 0


async def test_a_node_that_syncs_gets_what_it_lacks(server: Server, node: RawNode, engine: RunningEngine) -> None:
    job = await server.submit(["n1", "n2"])
    late = await RawNode.connect(engine.url, engine.node("n2"))
    try:
        await late.hear("corral.down.n2.sync")
        request = SyncRequest(nonce="ab" * 16, journal="j", boot_id="b")
        await late.send("corral.up.n2.sync", codec.encode(request))
        await eventually(lambda: bool(of_kind(late, "sync")), "the answer")
        answer = codec.from_mapping(SyncAnswer, of_kind(late, "sync")[0])
        assert [json.loads(wire.partition("\n")[2])["job"] for wire in answer.tasks] == [job.id]
    finally:
        await late.close()


async def test_output_is_followed_live_and_read_back(server: Server, node: RawNode) -> None:
    job = await server.submit(["n1"])
    got: list[bytes] = []

    async def follow() -> None:
        async for chunk in server.output.follow(job.id):
            got.append(chunk.data)  # noqa: PERF401  # a comprehension would show nothing before the end

    tasks = TaskSet("test")
    tasks.start(follow(), name="follow")
    for i in range(20):
        headers = {HEADER_STREAM: "stdout", HEADER_OFFSET: str(i * 4)}
        await node.send(f"corral.up.n1.output.{job.id}.1", b"%03d\n" % i, headers)
    await eventually(lambda: len(got) == 20, "all output at the follower")
    await tasks.close()
    stored = await server.output.read(job.id, node="n1")
    assert b"".join(chunk.data for chunk in stored) == b"".join(got) == b"".join(b"%03d\n" % i for i in range(20))
    assert await server.output.end() >= stored[-1].sequence


async def test_ten_thousand_poison_reports_do_not_stall_good_ones(
    server: Server, node: RawNode, engine: RunningEngine
) -> None:
    evil = await RawNode.connect(engine.url, engine.node("evil"))
    sent = 0
    try:
        job = await server.submit(["n1"])

        async def poison() -> None:
            nonlocal sent
            junk = (b"\xff\x00", b"{}", b"[" * 3000, b'{"v":99}', os.urandom(2000))
            while sent < 10_000:
                for _ in range(100):
                    await evil.publish("corral.up.evil.report", junk[sent % len(junk)])
                    sent += 1
                await evil.flush()

        tasks = TaskSet("test")
        flood = tasks.start(poison(), name="poison")
        waits = []
        loop = asyncio.get_running_loop()
        for seq in range(1, 11):
            token, body = report(job, "running" if seq < 10 else "succeeded", seq=seq)
            start = loop.time()
            while "error" in await node.send("corral.up.n1.report", body):
                await asyncio.sleep(0.05)
            await eventually(lambda token=token: token in tokens(node), "the receipt beside the poison")
            waits.append(loop.time() - start)
        await flood
        await tasks.close()
        assert sent == 10_000
        assert sorted(waits)[len(waits) // 2] < 2.0, waits
        assert (await server.queries.task(job.id, "n1")).state is TaskState.SUCCEEDED
        assert server.counters["reports_poison_total"] > 0
        assert len(await server.letters.list(limit=500)) <= 100
        usage = await server.engine.streams.usage()
        assert usage["reports"]["messages"] <= 256
    finally:
        await evil.close()


@pytest.mark.parametrize("wipe", [False, True], ids=["killed", "wiped"])
async def test_after_the_engine_came_back_every_open_task_ends(
    server: Server, engine: RunningEngine, tmp_path: Path, *, wipe: bool
) -> None:
    """Half of the nodes answered before; what was under way is lost with the engine, and repeated by both ends."""
    nodes = [f"n{i}" for i in range(1, 21)]
    job = await server.submit(nodes)
    first = await RawNode.connect(engine.url, engine.node("n1"))
    await first.hear("corral.down.n1.receipt")
    token, body = report(job, "succeeded")
    await first.send("corral.up.n1.report", body)
    await eventually(lambda: token in tokens(first), "the first receipt")
    await first.close()

    starts = engine.embedded.starts
    if wipe:
        stores = [path for path in tmp_path.rglob("jetstream") if path.is_dir()]
        assert stores, "the engine keeps its store somewhere else now"
        for path in stores:
            shutil.rmtree(path)
    engine.kill()
    await engine.until_restarted(starts)

    async def end(name: str) -> None:
        """Connect as a real node does, sync, run what comes, report until receipted."""
        raw = await connected(engine, name)
        try:
            await raw.hear(f"corral.down.{name}.>")
            while not any(s.endswith((".task", ".sync")) and d for s, d in raw.heard):
                request = SyncRequest(nonce=secrets.token_hex(16), journal="j", boot_id="b")
                with contextlib.suppress(Exception):
                    await raw.send(f"corral.up.{name}.sync", codec.encode(request))
                await asyncio.sleep(0.2)
            token, body = report(job, "succeeded", seq=2)
            while token not in tokens(raw):
                with contextlib.suppress(Exception):
                    await raw.send(f"corral.up.{name}.report", body)
                await asyncio.sleep(0.2)
        finally:
            await raw.close()

    async with asyncio.timeout(45):
        await asyncio.gather(*(end(name) for name in nodes[1:]))
    found = await server.queries.get(job.id)
    assert (found.state, found.counts) == (JobState.SUCCEEDED, {TaskState.SUCCEEDED: 20})


async def connected(engine: RunningEngine, name: str) -> RawNode:
    while True:
        try:
            return await RawNode.connect(engine.url, engine.node(name))
        except Exception:
            await asyncio.sleep(0.1)

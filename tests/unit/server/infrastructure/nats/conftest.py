"""The jobs side of the engine adapters: an engine and stores in memory, a signing key."""

import json
import secrets
from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from corral.bus.memory import MemoryBus
from corral.domain.job import CommandSpec, Job, JobState, pinned_hash
from corral.domain.task import TaskState
from corral.protocol import codec
from corral.protocol.messages import ReceiptMessage, ReportMessage
from corral.server.application.jobs.aftermath import Aftermath
from corral.server.application.jobs.counters import Counters
from corral.server.application.jobs.dispatch import Dispatcher
from corral.server.application.jobs.events import EventHub
from corral.server.application.ports.jobs import NewTask
from corral.server.infrastructure.nats.down import NatsDown
from corral.server.infrastructure.nats.reports import ReportIngest
from corral.server.infrastructure.nats.specs import WireSpecs
from corral.testing.clock import FakeClock
from corral.testing.stores import MemoryDatabase, MemoryDeadLetters, MemoryJobQueries, MemoryJobStore


class Key:
    key_id = "T1"

    def __init__(self):
        self._key = Ed25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, data):
        return self._key.sign(data)


class Everyone:
    """A fleet where every node is online."""

    def online(self, nodes):
        return frozenset(nodes)


@dataclass
class Bench:
    bus: MemoryBus
    key: Key
    clock: FakeClock
    store: MemoryJobStore
    queries: MemoryJobQueries
    letters: MemoryDeadLetters
    counters: Counters
    events: EventHub
    dispatcher: Dispatcher
    aftermath: Aftermath
    down: NatsDown
    ingest: ReportIngest
    heard: list

    async def job(self, nodes=("n1",), *, retries=0, spec=None):
        now = self.clock.now()
        job = Job(
            id="J" + "".join(secrets.choice("0123456789") for _ in range(18)),
            name="",
            kind="exec",
            target="all",
            spec=spec or CommandSpec(argv=("true",)),
            state=JobState.OPEN,
            counts={TaskState.QUEUED: len(nodes)},
            nodes=len(nodes),
            pinned=pinned_hash(nodes),
            created_at=now,
            created_by="ann",
            expires_at=now + timedelta(hours=1),
            retries=retries,
        )
        return await self.store.add(job, [NewTask(node=n) for n in nodes], operation=None)

    def report(self, job, node, state, **more):
        """A node's report arrives at the engine; returns its token."""
        message = ReportMessage(
            **{"token": secrets.token_hex(16), "job": job.id, "attempt": 1, "seq": 1, "state": state, **more}
        )
        self.bus.arrive(f"corral.up.{node}.report", codec.encode(message))
        return message.token

    async def ingest_all(self):
        """Until the stream is empty."""
        batches = self.bus.streams.batches("reports", "ingest")
        while messages := await batches.next(limit=500, wait_seconds=0):
            await self.ingest.take(messages)

    def receipts(self):
        return [
            token
            for subject, data in self.heard
            if subject.endswith(".receipt")
            for token in codec.decode(ReceiptMessage, data).tokens
        ]

    def bodies(self, kind):
        return [
            json.loads(data.partition(b"\n")[2])
            for subject, data in self.heard
            if subject.endswith(f".{kind}") and data
        ]


@pytest.fixture
def bench():
    db = MemoryDatabase()
    bus, key, clock, counters = MemoryBus(), Key(), FakeClock(), Counters()
    store, queries, letters = MemoryJobStore(db), MemoryJobQueries(db), MemoryDeadLetters(db)
    events = EventHub(counters=counters)
    down = NatsDown(wire=bus.wire, specs=WireSpecs(objects=bus.objects, signer=key), signer=key, clock=clock)
    dispatcher = Dispatcher(store=store, down=down, fleet=Everyone(), clock=clock, counters=counters)
    aftermath = Aftermath(events=events, dispatcher=dispatcher)
    ingest = ReportIngest(
        streams=bus.streams,
        store=store,
        letters=letters,
        down=down,
        aftermath=aftermath,
        clock=clock,
        counters=counters,
    )
    heard = []
    bus.hear("corral.down.>", lambda subject, data: heard.append((subject, data)))
    return Bench(bus, key, clock, store, queries, letters, counters, events, dispatcher, aftermath, down, ingest, heard)

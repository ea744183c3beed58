"""The jobs room over stores and a fleet in memory and a way down that writes down what it is told."""

import asyncio
import itertools
from dataclasses import dataclass, field

import pytest

from corral.domain.errors import NotFound, NothingMatched, Unavailable
from corral.domain.job import CommandSpec, JobSpec
from corral.domain.node import Node, Presence
from corral.domain.task import Outcome
from corral.runtime.clock import SystemClock
from corral.server.application.access.scope import Scope, ScopeGuard
from corral.server.application.jobs.aftermath import Aftermath
from corral.server.application.jobs.cancel import Cancellation
from corral.server.application.jobs.counters import Counters
from corral.server.application.jobs.dispatch import Dispatcher
from corral.server.application.jobs.events import EventHub
from corral.server.application.jobs.explain import Explaining
from corral.server.application.jobs.listing import Listing
from corral.server.application.jobs.output import OutputReading
from corral.server.application.jobs.reach import Reach
from corral.server.application.jobs.retry import Retry
from corral.server.application.jobs.room import JobRoom
from corral.server.application.jobs.search import OutputSearch
from corral.server.application.jobs.sight import JobSight
from corral.server.application.jobs.submit import Submission
from corral.server.application.jobs.sweep import Sweeper
from corral.server.application.jobs.watch import Watching
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import OutputChunk, Reported
from corral.testing.clock import FakeClock
from corral.testing.stores import MemoryDatabase, MemoryJobQueries, MemoryJobStore

CALLER = Caller(name="ann")


class SetFleet:
    """Nodes n1, n2, …; `away` are offline since the beginning."""

    def __init__(self, count=3):
        self.nodes = [f"n{i}" for i in range(1, count + 1)]
        self.away = set()
        self.since = None

    def resolve(self, selector):
        found = self.nodes if selector == "all" else [n for n in self.nodes if n in selector.split(",")]
        if not found:
            raise NothingMatched(f"cannot run this: no node matches {selector!r}", element="selector")
        return sorted(found)

    def within(self, selectors):
        return frozenset(node for text in selectors for node in text.split(",")) & frozenset(self.nodes)

    def online(self, nodes):
        return frozenset(nodes) - self.away

    def get(self, node):
        if node not in self.nodes:
            raise NotFound(f"cannot find node {node!r}", element="node")
        presence = Presence.OFFLINE if node in self.away else Presence.ONLINE
        return Node(id=node, presence=presence, presence_since=self.since, presence_reason="")

    def gone_since(self, before):
        return frozenset(self.away)


class NotingDown:
    def __init__(self):
        self.pushed = []
        self.receipts = {}
        self.poked = []
        self.broken = False

    async def push(self, deliveries):
        if self.broken:
            raise Unavailable("cannot publish: the engine is away", retryable=True)
        self.pushed += [(d.node, "cancel" if d.cancel else d.attempt) for d in deliveries]

    async def receipt(self, tokens):
        for node, of_node in tokens.items():
            self.receipts.setdefault(node, []).extend(of_node)

    async def poke(self, nodes):
        self.poked += nodes


class ListLog:
    """Output as a list; followers are served from it."""

    def __init__(self):
        self.chunks = []
        self._more = asyncio.Event()
        self.followers = 0

    def say(self, node, data, *, job="J", attempt=1, stream="stdout", offset=0, skipped=0):
        self.chunks.append(
            (job, OutputChunk(sequence=len(self.chunks) + 1, node=node, attempt=attempt, stream=stream, offset=offset,
                              data=data, skipped=skipped))
        )  # fmt: skip
        self._more.set()

    async def read(self, job, *, node=None, after=0, limit=1000):
        found = [c for j, c in self.chunks if j == job and c.sequence > after and node in (None, c.node)]
        return found[:limit]

    async def follow(self, job, *, node=None, after=0):
        self.followers += 1
        try:
            while True:
                self._more.clear()
                for chunk in await self.read(job, node=node, after=after):
                    after = chunk.sequence
                    yield chunk
                await self._more.wait()
        finally:
            self.followers -= 1

    async def end(self):
        return len(self.chunks)

    async def drop(self, job):
        self.chunks = [entry for entry in self.chunks if entry[0] != job]


@dataclass
class World:
    """Everything a test of this room touches."""

    clock: FakeClock
    fleet: SetFleet
    down: NotingDown
    log: ListLog
    store: MemoryJobStore
    queries: MemoryJobQueries
    counters: Counters
    dispatcher: Dispatcher
    events: EventHub
    aftermath: Aftermath
    sweeper: Sweeper
    room: JobRoom
    caller: Caller = CALLER
    seqs: itertools.count = field(default_factory=lambda: itertools.count(1))

    async def submit(self, target="all", **limits):
        command = CommandSpec(argv=("true",), **limits.pop("command", {}))
        submitted = await self.room.submission.submit(
            CALLER, JobSpec(target=target, command=command, **limits), limits.get("operation")
        )
        await self.dispatcher.push_waiting()
        return submitted.job

    async def report(self, job, node, state, *, attempt=1, seq=None, **more):
        outcome = Outcome(job=job, attempt=attempt, seq=next(self.seqs) if seq is None else seq, state=state, **more)
        changed = await self.store.apply([Reported(node=node, outcome=outcome)], now=self.clock.now())
        self.aftermath.of(changed)
        await self.dispatcher.push_waiting()
        return changed


@pytest.fixture
def world():
    db = MemoryDatabase()
    clock, fleet, down, log = FakeClock(), SetFleet(), NotingDown(), ListLog()
    store, queries, counters = MemoryJobStore(db), MemoryJobQueries(db), Counters()
    events = EventHub(counters=counters)
    dispatcher = Dispatcher(store=store, down=down, fleet=fleet, clock=_Real(clock), counters=counters)
    aftermath = Aftermath(events=events, dispatcher=dispatcher)
    reach = Reach(fleet=fleet)
    sight = JobSight(queries=queries, scope=Scope(fleet))
    output = OutputReading(queries=queries, log=log, sight=sight)
    use = {
        "store": store, "queries": queries, "aftermath": aftermath, "clock": clock, "counters": counters, "sight": sight
    }  # fmt: skip
    room = JobRoom(
        submission=Submission(
            store=store,
            fleet=fleet,
            dispatcher=dispatcher,
            clock=clock,
            counters=counters,
            guards=[ScopeGuard(Scope(fleet))],
        ),
        cancellation=Cancellation(fleet=fleet, **use),
        retry=Retry(**use),
        queries=queries,
        explanation=Explaining(store=store, queries=queries, fleet=fleet, clock=clock, sight=sight),
        listing=Listing(queries=queries, output=output, reach=reach, sight=sight),
        output=output,
        events=events,
        watching=Watching(
            queries=queries, output=log, events=events, reach=reach, clock=_Real(clock), look_seconds=0.05, sight=sight
        ),
        search=OutputSearch(queries=queries, log=log, sight=sight, clock=clock),
    )
    sweeper = Sweeper(store=store, aftermath=aftermath, clock=clock, counters=counters)
    return World(clock, fleet, down, log, store, queries, counters, dispatcher, events, aftermath, sweeper, room)


class _Real:
    """The test's wall time, but real time for waiting: what waits for an event is not stepped."""

    def __init__(self, fake):
        self._real = SystemClock(0)
        self.now, self.wall = fake.now, fake.wall
        self.monotonic, self.sleep = self._real.monotonic, self._real.sleep


@pytest.fixture
def eventually():
    """`await eventually(lambda: …)`: wait for a condition, with a deadline."""

    async def wait(condition, seconds=5.0):
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.002)

    return wait

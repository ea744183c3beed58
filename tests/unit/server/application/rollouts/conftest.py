"""The rollouts room over stores in memory, with nodes that do what a test says and a driver that may die at any step."""

import asyncio
import random as random_module

import pytest

from corral.domain.errors import NothingMatched
from corral.domain.job import CommandSpec
from corral.domain.node import Node, Presence
from corral.domain.rollout_facts import ProbeFact
from corral.domain.rollout_plan import parse_strategy
from corral.domain.task import OPEN, Outcome, TaskState
from corral.server.application.access.scope import Scope, ScopeGuard
from corral.server.application.jobs.aftermath import Aftermath
from corral.server.application.jobs.cancel import Cancellation
from corral.server.application.jobs.counters import Counters
from corral.server.application.jobs.dispatch import Dispatcher
from corral.server.application.jobs.events import EventHub
from corral.server.application.jobs.submit import Submission
from corral.server.application.leadership import Leadership
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import Reported
from corral.server.application.ports.rollouts import Change, Changes
from corral.server.application.rollouts.control import Steering
from corral.server.application.rollouts.create import Creation, Wanted
from corral.server.application.rollouts.engine import SETTLE_SECONDS, RolloutDriver
from corral.server.application.rollouts.explain import RolloutExplaining
from corral.server.application.rollouts.facts import FactReader
from corral.server.application.rollouts.listing import RolloutListing
from corral.server.application.rollouts.perform import Performer
from corral.server.application.rollouts.sight import RolloutSight
from corral.testing.clock import FakeClock
from corral.testing.rollout_stores import MemoryRolloutStore, MemoryStageJobs
from corral.testing.stores import MemoryDatabase, MemoryJobQueries, MemoryJobStore, MemoryLeaseStore

CALLER = Caller(name="ann")


class Crash(Exception):
    """The server died here."""


class LabelFleet:
    """Nodes n1, n2, … with rack labels; `away` are offline."""

    def __init__(self, count):
        self.nodes = [f"n{i}" for i in range(1, count + 1)]
        self.labels = {node: {"rack": f"r{i % 2}", "serial": node} for i, node in enumerate(self.nodes)}
        self.away = set()

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
        presence = Presence.OFFLINE if node in self.away else Presence.ONLINE
        return Node(id=node, presence=presence, labels=self.labels[node])

    def gone_since(self, before):
        return frozenset(self.away)


class SilentDown:
    async def push(self, deliveries):
        pass

    async def receipt(self, tokens):
        pass

    async def poke(self, nodes):
        pass


class SetProber:
    """Answers what a test put there."""

    def __init__(self):
        self.answer = ProbeFact(True, "answered 200")
        self.asked = []

    async def check(self, gate):
        pass

    async def probe(self, gate):
        self.asked.append(gate.url)
        return self.answer


class DyingStore(MemoryRolloutStore):
    """Before a write of the driver, when a test says so, the server dies."""

    crash_in = 0

    async def save(self, rollout, *, token=None, back=None):
        if token is not None and self.crash_in:
            self.crash_in -= 1
            if not self.crash_in:
                raise Crash
        return await super().save(rollout, token=token, back=back)


class Room:
    def __init__(self, count=6):
        self.clock = FakeClock()
        self.db = MemoryDatabase()
        self.fleet = LabelFleet(count)
        self.prober = SetProber()
        self.store = DyingStore(self.db)
        self.jobs = MemoryJobStore(self.db)
        self.queries = MemoryJobQueries(self.db)
        self.stage_jobs = MemoryStageJobs(self.db)
        counters = Counters()
        dispatcher = Dispatcher(
            store=self.jobs, down=SilentDown(), fleet=self.fleet, clock=self.clock, counters=counters
        )
        aftermath = Aftermath(events=EventHub(counters=counters), dispatcher=dispatcher)
        self.submission = Submission(
            store=self.jobs, fleet=self.fleet, dispatcher=dispatcher, clock=self.clock, counters=counters,
            guards=[ScopeGuard(Scope(self.fleet))],
        )  # fmt: skip
        self.grants = {}
        sight = RolloutSight(Scope(self.fleet))
        self.cancellation = Cancellation(
            store=self.jobs, queries=self.queries, fleet=self.fleet, aftermath=aftermath, clock=self.clock,
            counters=counters,
        )  # fmt: skip
        self.leases = MemoryLeaseStore(self.db)
        self.steering = Steering(store=self.store, clock=self.clock, sight=sight)
        self.creation = Creation(store=self.store, fleet=self.fleet, prober=self.prober, clock=self.clock, sight=sight)
        self.listing = RolloutListing(store=self.store, jobs=self.stage_jobs, clock=self.clock, sight=sight)
        self.facts = FactReader(jobs=self.stage_jobs, fleet=self.fleet, clock=self.clock)
        self.explanation = RolloutExplaining(store=self.store, facts=self.facts, clock=self.clock, sight=sight)
        self.starts = []
        self.servers = 0
        self.driver = None

    async def grants_of(self, owner):
        return self.grants.get(owner, ())

    async def boot(self, *, settled=True):
        """A new server process leads, as after kill -9; by default its nodes have had time to come back."""
        self.servers += 1
        leadership = Leadership(leases=self.leases, holder=f"s{self.servers}", clock=self.clock)
        self.db.leases.pop("leader", None) if self.servers == 1 else self.db.leases.update(
            leader=(*self.db.leases["leader"][:1], 0.0, self.db.leases["leader"][2])
        )
        await leadership._renew()
        leadership._until = float("inf")
        self.driver = RolloutDriver(
            store=self.store,
            facts=FactReader(jobs=self.stage_jobs, fleet=self.fleet, clock=self.clock),
            performer=Performer(
                store=self.store, submission=self.submission, cancellation=self.cancellation, grants_of=self.grants_of
            ),
            prober=self.prober,
            leadership=leadership,
            clock=self.clock,
        )
        if settled:
            self.driver._driving_since = self.clock.monotonic() - SETTLE_SECONDS
        return self.driver

    async def create(self, *, by=CALLER, **fields):
        strategy = parse_strategy(fields.pop("strategy", "count:2,2,0"))
        back = fields.pop("back", "undo")
        changes = Changes(
            forward=Change(spec=CommandSpec(argv=("deploy",))),
            back=Change(spec=CommandSpec(shell=back)) if back else None,
        )
        wanted = Wanted(name="web", target="all", strategy=strategy, changes=changes, **fields)
        return (await self.creation.create(by, wanted)).rollout.id

    async def step(self):
        """One round of the driver, and whatever probes it began."""
        await self.driver.step()
        for _ in range(10):
            await asyncio.sleep(0)

    async def state(self, rollout):
        return await self.store.get(rollout)

    def stage_tasks(self, stage, direction="forward"):
        """Open tasks of one stage's job: (job, node)."""
        found = [job for name, job in self.db.operations.items() if name.endswith(f"/{stage}/{direction}")]
        return [(row.job, row.node) for row in self.db.tasks.values() if row.job in found and row.state in OPEN]

    async def report(self, job, node, state=TaskState.SUCCEEDED, **fields):
        row = self.db.tasks[(job, node)]
        now = self.clock.wall()
        ended = state not in OPEN
        outcome = Outcome(
            job=job, attempt=row.attempt, seq=row.seq + 1, state=state, started_at=now,
            finished_at=now if ended else None, exit_code=0 if state is TaskState.SUCCEEDED else None, **fields,
        )  # fmt: skip
        await self.jobs.apply([Reported(node=node, outcome=outcome)], now=self.clock.now())

    async def finish(self, stage, state=TaskState.SUCCEEDED, *, direction="forward", nodes=None):
        """Every open task of a stage ends like that."""
        for job, node in self.stage_tasks(stage, direction):
            if nodes is None or node in nodes:
                await self.report(job, node, state)

    async def wait(self, seconds):
        await self.clock.advance(seconds)


@pytest.fixture
def room():
    return Room()


@pytest.fixture
def make_room():
    return Room


@pytest.fixture
def caller():
    return CALLER


@pytest.fixture
def crash():
    return Crash


@pytest.fixture
def rng():
    return random_module.Random

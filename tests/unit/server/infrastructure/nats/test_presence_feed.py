"""Presence end to end on the engine in memory: beats and links in, registry and SQL out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from corral.bus.memory import MemoryBus
from corral.domain.node import Node, Presence
from corral.domain.presence_log import PresenceChange
from corral.protocol import subjects
from corral.protocol.codec import encode
from corral.protocol.messages import BeatMessage
from corral.runtime.lifecycle import TaskSet
from corral.server.application.nodes.presence import PresenceKeeper
from corral.server.application.nodes.registry import Registry
from corral.server.infrastructure.nats.presence import PresenceFeed
from corral.testing.clock import FakeClock
from corral.testing.presence_stores import MemoryPresenceLog
from corral.testing.stores import MemoryDatabase, MemoryDeadLetters, MemoryNodeStore


class FailingLog(MemoryPresenceLog):
    """Away while its stage says so."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.db)
        self._stage = stage

    async def add(self, changes: Sequence[PresenceChange]) -> None:
        if self._stage.log_fails:
            raise OSError("the database is away")
        await super().add(changes)


class Stage:
    def __init__(self, nodes: int = 2) -> None:
        self.clock = FakeClock()
        self.bus = MemoryBus(clock=self.clock)
        self.db = MemoryDatabase()
        self.fleet = Registry()
        for i in range(nodes):
            node = Node(id=f"n{i}", daemon_key=f"D{i}", worker_key=f"W{i}", enrolled_at=self.clock.now())
            self.db.nodes[node.id] = node
            self.fleet.upsert(node)
        self.leads, self.log_fails = True, False
        self.keeper = PresenceKeeper(
            registry=self.fleet,
            store=MemoryNodeStore(self.db),
            log=FailingLog(self),
            clock=self.clock,
            leads=lambda: self.leads,
        )
        self.rounds: list[dict[str, str]] = []
        self.counted: list[dict[str, int]] = []
        self.feed = PresenceFeed(
            streams=self.bus.streams,
            accounts=self.bus.accounts,
            keeper=self.keeper,
            letters=MemoryDeadLetters(self.db),
            clock=self.clock,
            on_beats=self._beats,
            count=lambda sent: self.counted.append(dict(sent)),
        )
        self.bus.on_connect(self.feed.engine_came_back)
        self.tasks = TaskSet("test")

    async def _beats(self, beats: Sequence[tuple[str, BeatMessage]]) -> None:
        self.rounds.append({node: beat.digest for node, beat in beats})

    async def begin(self) -> None:
        self.tasks.start(self.feed.run(lambda: None), name="feed")
        await self.clock.advance(1.0)

    def beat(self, node: str, **values: Any) -> None:
        self.bus.arrive(subjects.up(node, "beat"), encode(BeatMessage(sent=self.clock.wall(), **values)))

    def connect(self, i: int) -> None:
        self.bus.link(f"D{i}", f"n{i}")
        self.bus.link(f"W{i}", f"n{i}")

    def disconnect(self, i: int) -> None:
        self.bus.unlink(f"D{i}")
        self.bus.unlink(f"W{i}")

    def presence(self, node: str = "n0") -> Presence:
        return self.fleet.get(node).presence


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    out = Stage()
    await out.begin()
    yield out
    await out.tasks.close()


async def test_a_link_shows_within_a_second_and_its_end_too(stage: Stage) -> None:
    stage.connect(0)
    await stage.clock.advance(0.4)
    assert stage.presence() is Presence.ONLINE
    stage.bus.unlink("D0")
    await stage.clock.advance(0.4)
    assert stage.presence() is Presence.OFFLINE
    assert stage.fleet.get("n0").presence_reason == "its link closed: Client Closed"


async def test_a_worker_that_went_is_only_a_flag(stage: Stage) -> None:
    stage.connect(0)
    await stage.clock.advance(0.4)
    stage.bus.unlink("W0")
    await stage.clock.advance(0.4)
    assert stage.fleet.get("n0").worker_down
    assert stage.presence() is Presence.ONLINE


async def test_the_last_beat_of_a_killed_daemon_does_not_bring_it_back(stage: Stage) -> None:
    stage.connect(0)
    await stage.clock.advance(1.0)
    stage.beat("n0")
    stage.bus.unlink("D0")
    await stage.clock.advance(3.0)
    assert stage.presence() is Presence.OFFLINE


async def test_beats_keep_a_node_and_three_missed_ones_lose_it(stage: Stage) -> None:
    for _ in range(5):
        stage.beat("n0", digest="ab" * 8, version="1.2")
        await stage.clock.advance(10)
    assert stage.presence() is Presence.ONLINE
    assert stage.rounds[-1] == {"n0": "ab" * 8}
    vitals = stage.keeper.vitals("n0")
    assert vitals is not None and vitals.version == "1.2"
    await stage.clock.advance(25)
    assert stage.presence() is Presence.OFFLINE
    assert stage.fleet.get("n0").presence_reason == "no beat for 30 s"


async def test_a_server_that_starts_learns_who_is_connected_and_believes_no_old_beat() -> None:
    stage = Stage()
    stage.connect(0)
    stage.beat("n1")
    await stage.begin()
    assert stage.presence("n0") is Presence.ONLINE
    assert stage.presence("n1") is not Presence.ONLINE
    await stage.tasks.close()


async def test_an_engine_that_restarts_loses_nobody_who_comes_back() -> None:
    stage = Stage(nodes=10)
    for i in range(10):
        stage.connect(i)
    await stage.begin()
    stage.bus.away = True
    stage.bus.accounts._links.clear()  # their links died with the engine: nobody was told
    await stage.clock.advance(20)
    stage.bus.wipe()
    await stage.bus.come_back()
    for i in range(9):
        stage.connect(i)
    await stage.clock.advance(2)
    assert stage.fleet.counts()["online"] == 10
    for i in range(9):
        stage.beat(f"n{i}")
    await stage.clock.advance(9)
    assert stage.presence("n9") is Presence.OFFLINE
    assert stage.fleet.counts()["online"] == 9
    stage.bus.unlink("D0")
    await stage.clock.advance(0.6)
    assert stage.presence("n0") is Presence.OFFLINE
    await stage.tasks.close()


async def test_what_is_no_beat_goes_to_the_dead_letters_and_counts_as_none(stage: Stage) -> None:
    for body in (b"", b"{", b"[]", b'{"sent":"x"}', b'{"sent":1,"running":"many"}'):
        stage.bus.arrive(subjects.up("n0", "beat"), body)
        await stage.clock.advance(1.5)
    assert stage.presence() is not Presence.ONLINE
    assert len(stage.db.dead_letters) == 5
    assert all(letter.at is not None and letter.node == "n0" and letter.reason for letter in stage.db.dead_letters)


async def test_a_flood_of_beats_is_counted_against_the_one_who_sends_every_second(stage: Stage) -> None:
    for second in range(6):
        for _ in range(200):
            stage.beat("n0")
        if second == 1:
            stage.beat("n1")
        await stage.clock.advance(1)
    assert sum(sent.get("n0", 0) for sent in stage.counted) >= 600
    assert sum(sent.get("n1", 0) for sent in stage.counted) == 1


async def test_presence_is_stored_now_and_then_and_at_the_end(stage: Stage) -> None:
    stage.connect(0)
    await stage.clock.advance(5)
    assert stage.db.nodes["n0"].presence is Presence.UNKNOWN
    await stage.clock.advance(30)
    assert stage.db.nodes["n0"].presence is not Presence.UNKNOWN
    stage.connect(1)
    await stage.clock.advance(1)
    await stage.tasks.close()
    assert stage.db.nodes["n1"].presence is Presence.ONLINE


async def test_every_change_is_logged_however_short_and_by_the_leader_alone(stage: Stage) -> None:
    log = MemoryPresenceLog(stage.db)
    stage.connect(0)
    await stage.clock.advance(2)
    stage.disconnect(0)
    await stage.clock.advance(2)
    stage.connect(0)
    await stage.clock.advance(40)
    said = (await log.read("n0", limit=9)).items
    assert [change.presence.value for change in said] == ["online", "offline", "online"]
    assert "link closed" in said[1].reason
    assert round((said[0].at - said[1].at).total_seconds()) == 2
    stage.leads = False
    stage.disconnect(0)
    await stage.clock.advance(40)
    stage.leads = True
    await stage.clock.advance(40)
    assert list((await log.read("n0", limit=9)).items) == list(said), "another server wrote what happened meanwhile"


async def test_changes_wait_for_a_database_that_is_away(stage: Stage) -> None:
    log = MemoryPresenceLog(stage.db)
    stage.connect(0)
    await stage.clock.advance(2)
    stage.log_fails = True
    with pytest.raises(OSError, match="away"):
        await stage.keeper.persist(now=True)
    stage.log_fails = False
    stage.connect(1)
    await stage.clock.advance(1)
    await stage.keeper.persist(now=True)
    assert len((await log.read("n0", limit=9)).items) == 1


async def test_strangers_and_nodes_removed_or_enrolled_meanwhile_are_followed(stage: Stage) -> None:
    stage.beat("stranger")
    stage.bus.link("DX", "stranger")
    stage.fleet.upsert(Node(id="new", daemon_key="DN", worker_key="WN", enrolled_at=stage.clock.now()))
    stage.fleet.remove("n1")
    await stage.clock.advance(1)
    stage.bus.link("DN", "new")
    await stage.clock.advance(1)
    assert stage.presence("new") is Presence.ONLINE
    assert len(stage.fleet) == 2

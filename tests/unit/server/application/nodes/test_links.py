"""Links that flood, and credentials in use twice: the decisions, and the component that acts on them."""

from __future__ import annotations

from typing import Any

import pytest

from corral.bus.port import LinkEvent
from corral.runtime.lifecycle import TaskSet
from corral.server.application.nodes.doubles import DoubleWatch
from corral.server.application.nodes.link_rates import LinkRates
from corral.server.application.nodes.presence import PresenceKeeper
from corral.server.infrastructure.nats.links import LinkWatch
from corral.testing.presence_stores import MemoryPresenceLog


def test_only_a_link_that_is_over_the_limit_all_the_time_is_guilty() -> None:
    rates = LinkRates(limit_per_second=100, seconds=3)
    said: dict[str, float] = {}
    for tick in range(9):
        now = tick * 0.5
        burst = 500 * min(tick, 3)  # a second and a half of it
        said |= rates.look({"loud": 100 * tick, "burst": burst, "calm": 10 * tick}, now)
    assert set(said) == {"loud"}
    assert said["loud"] == pytest.approx(200)


def test_a_link_that_reconnects_counts_from_nothing_again() -> None:
    rates = LinkRates(limit_per_second=100, seconds=1)
    assert rates.look({"a": 1_000_000}, 0.0) == {}
    assert rates.look({"a": 5}, 1.0) == {}
    assert rates.look({"a": 10}, 2.0) == {}


def test_two_links_of_one_key_are_said_only_after_a_dead_one_would_have_been_noticed() -> None:
    watch = DoubleWatch(held_seconds=90)
    watch.up("K", "s/1", "10.0.0.1", 0.0)
    watch.up("K", "s/2", "10.0.0.2", 100.0)
    watch.up("other", "s/3", "10.0.0.3", 0.0)
    assert watch.doubled(189.0) == {}
    assert watch.doubled(190.0) == {"K": "its credential is in use 2 times at once, from 10.0.0.1, 10.0.0.2"}
    watch.down("K", "s/1")
    assert watch.doubled(300.0) == {}
    watch.down("K", "unknown")
    watch.clear()
    watch.down("K", "s/2")


@pytest.mark.parametrize("same_host", [True, False])
async def test_a_copied_credential_is_shown_with_its_node(room: Any, machine: Any, same_host: bool) -> None:
    web = machine("web-1")
    await room.join(web)
    keeper = PresenceKeeper(registry=room.fleet, store=room.nodes, log=MemoryPresenceLog(room.db), clock=room.clock)
    watch = LinkWatch(
        accounts=room.bus.accounts,
        keeper=keeper,
        accuse=lambda node, reason: pytest.fail(reason),
        clock=room.clock,
        doubles=DoubleWatch(held_seconds=5),
    )
    tasks = TaskSet("test")
    tasks.start(watch.run(lambda: None), name="links")
    await room.clock.advance(0)
    for link, host in (("s/1", "10.0.0.1"), ("s/2", "10.0.0.1" if same_host else "10.0.0.9")):
        room.bus.accounts._tell(LinkEvent(key=web.daemon_key, name="web-1", connected=True, link=link, host=host))
    for _ in range(12):
        await room.clock.advance(0.5)
    assert "in use 2 times at once" in keeper.warning("web-1")
    room.bus.accounts._tell(LinkEvent(key=web.daemon_key, name="web-1", connected=False, link="s/1"))
    await room.clock.advance(0.5)
    assert keeper.warning("web-1") == ""
    await tasks.close()


async def test_a_link_that_floods_with_anything_is_accused(room: Any, machine: Any) -> None:
    loud, calm = machine("loud"), machine("calm")
    for each in (loud, calm):
        await room.join(each)
        room.bus.link(each.worker_key, each.id)
    keeper = PresenceKeeper(registry=room.fleet, store=room.nodes, log=MemoryPresenceLog(room.db), clock=room.clock)
    accused: dict[str, str] = {}
    watch = LinkWatch(accounts=room.bus.accounts, keeper=keeper, accuse=accused.__setitem__, clock=room.clock)
    tasks = TaskSet("test")
    tasks.start(watch.run(lambda: None), name="links")
    await room.clock.advance(0)
    for tick in range(10):
        room.bus.accounts.sent = {loud.worker_key: 10_000 * tick, calm.worker_key: 100 * tick}
        await room.clock.advance(0.5)
    await tasks.close()
    assert accused == {"loud": "flooding: 20000 messages a second, over the limit of 10000"}

"""Bringing the policy out: pushed on change, to whom it applies, again to who is behind, and after labels move a node."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

WEB = 'labels["role"] == "web"'


@pytest.fixture
async def running(room: Any) -> AsyncIterator[Any]:
    ready = asyncio.Event()
    task = asyncio.get_running_loop().create_task(room.distribution.run(ready.set))
    await ready.wait()
    await look(room)
    yield room
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def look(room: Any) -> None:
    """Let the component look once more, now."""
    room.book.changed()
    for _ in range(50):
        await asyncio.sleep(0)


async def test_who_begins_to_lead_pushes_to_every_online_node(running: Any) -> None:
    assert running.down.pushed == [(1, "deny-list", {n: ["no-reboot"] for n in ("db-1", "web-1", "web-2")})]


async def test_a_change_is_pushed_and_each_node_gets_what_is_for_it(running: Any) -> None:
    running.fleet.away = {"web-2"}
    await running.put("web-only", program="x", selector=WEB)
    await running.put("by-role", program="x", roles=["operator"])
    await running.put("ask", "approval", program="x")
    await look(running)
    revision, _, rules = running.down.pushed[-1]
    assert (revision, rules) == (4, {"db-1": ["no-reboot"], "web-1": ["no-reboot", "web-only"]})


async def test_a_server_that_does_not_lead_pushes_nothing(running: Any) -> None:
    running.leads = False
    await running.put("a", program="x")
    await look(running)
    assert [revision for revision, _, _ in running.down.pushed] == [1]
    running.leads = True
    await look(running)
    assert [revision for revision, _, _ in running.down.pushed] == [1, 2]


async def test_a_node_that_labels_move_gets_other_rules_under_a_higher_revision(running: Any) -> None:
    await running.put("web-only", program="x", selector=WEB)
    await look(running)
    running.fleet.web.discard("web-2")
    await look(running)
    revision, _, rules = running.down.pushed[-1]
    assert (revision, rules["web-2"], rules["web-1"]) == (3, ["no-reboot"], ["no-reboot", "web-only"])


async def test_a_new_node_changes_no_revision(running: Any) -> None:
    await running.put("web-only", program="x", selector=WEB)
    await look(running)
    running.fleet.every.add("web-3")
    running.fleet.web.add("web-3")
    await look(running)
    assert (await running.book.current()).revision == 2


async def test_who_is_behind_gets_it_again_less_and_less_often(room: Any) -> None:
    await room.put("a", program="x")
    seen = []
    for _ in range(60):
        before = len(room.down.pushed)
        await room.distribution.observe({"web-1": 1, "web-2": 2})
        seen.append(len(room.down.pushed) - before)
        await room.clock.advance(10)
    assert [index for index, pushed in enumerate(seen) if pushed] == [0, 1, 3, 7, 15, 31]
    assert all(set(rules) == {"web-1"} for _, _, rules in room.down.pushed)


async def test_a_node_ahead_of_a_restored_database_is_outgrown_and_a_liar_is_not(room: Any) -> None:
    await room.distribution.observe({"web-1": 9})
    assert (await room.book.current()).revision == 10
    await room.clock.advance(120)
    await room.distribution.observe({"web-1": 2_000_000})
    assert (await room.book.current()).revision == 10


async def test_a_sync_carries_only_what_the_node_lacks(room: Any) -> None:
    await room.put("web-only", program="x", selector=WEB)
    assert await room.distribution.for_node("db-1", 2) is None
    policy, rules = await room.distribution.for_node("db-1", 1)
    assert (policy.revision, [rule["id"] for rule in rules]) == (2, ["no-reboot"])


async def test_a_policy_that_cannot_be_read_holds_up_no_sync_and_no_beat(room: Any) -> None:
    from corral.domain.errors import Internal

    async def broken() -> int:
        raise Internal("cannot read the stored command policy: x")

    room.store.revision = broken
    assert await room.distribution.for_node("db-1", 0) is None
    await room.distribution.observe({"db-1": 0})

"""Tokens, labels and groups, and taking rights away."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from corral.bus.claims import decode
from corral.domain.errors import Conflict, Invalid, NotFound, NothingMatched
from corral.domain.job import CommandSpec, Job, JobState
from corral.domain.node import relabelling
from corral.domain.task import Reason, TaskState
from corral.server.application.nodes.tokens import JoinTokens, parse_token, proof_key
from corral.server.application.ports.jobs import NewTask


async def test_a_token_shows_its_secret_once_and_stores_only_what_checks_it(room: Any, admin: Any) -> None:
    tokens = JoinTokens(store=room.token_store, clock=room.clock, fingerprint="ab" * 32)
    token, text = await tokens.create(admin, uses=3, ttl_seconds=60, labels={"a": "b"}, groups=["g"], node_id="web-1")
    parts = parse_token(text)
    assert (parts.id, parts.fingerprint) == (token.id, "ab" * 32)
    assert token.proof_key == proof_key(parts.secret)
    assert parts.secret not in repr(token)
    assert token.expires_at - room.clock.now() == timedelta(seconds=60)
    assert list(await tokens.list(admin)) == [token]


@pytest.mark.parametrize(
    "order",
    [
        {"uses": 0}, {"uses": 10**6}, {"ttl_seconds": 0}, {"ttl_seconds": 10**9}, {"labels": {"bad key": "x"}},
        {"groups": ["no spaces"]}, {"node_id": "*"},
    ],
)  # fmt: skip
async def test_a_token_order_outside_its_bounds_is_invalid(room: Any, order: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        await room.token(**order)
    assert not await room.token_store.list()


@pytest.mark.parametrize(
    "text", ["", "cj1", "cj2.a.b.c", "cj1.a.b", "cj1.a.b.c.d", "cj1..b.c", "cj1.a.b c.d", "é.a.b.c"]
)
def test_what_is_no_token_is_invalid_and_not_repeated(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_token(text)
    assert "." not in text or text not in caught.value.message


async def test_labels_merge_none_removes_groups_are_replaced_and_selectors_see_it_at_once(
    room: Any, machine: Any, admin: Any
) -> None:
    await room.join(machine("web-1"), await room.token(labels={"role": "web", "old": "1"}, groups=["a"]))
    node = await room.labels.set_node(
        admin, "web-1", relabelling(labels={"env": "prod", "old": None}, groups=["b", "c"])
    )
    assert node.labels == {"role": "web", "env": "prod"}
    assert node.groups == {"b", "c"}
    assert room.fleet.ids('labels["env"] == "prod" and "b" in groups and not has labels["old"]') == ["web-1"]
    assert room.fleet.ids('"a" in groups') == []


async def test_an_edit_of_a_version_that_passed_is_a_conflict(room: Any, machine: Any, admin: Any) -> None:
    node, _ = await room.join(machine("web-1"))
    await room.labels.set_node(admin, "web-1", relabelling(labels={"a": "1"}), if_match=node.resource_version)
    with pytest.raises(Conflict):
        await room.labels.set_node(admin, "web-1", relabelling(labels={"a": "2"}), if_match=node.resource_version)
    assert room.fleet.get("web-1").labels == {"a": "1"}


async def test_labels_of_all_that_a_selector_picks(room: Any, machine: Any, admin: Any) -> None:
    token = await room.token(uses=3)
    for id in ("web-2", "web-1", "db-1"):
        await room.join(machine(id), token)
    changed = await room.labels.set_selected(admin, "web-*", relabelling(labels={"role": "web"}))
    assert [node.id for node in changed] == ["web-1", "web-2"]
    with pytest.raises(NothingMatched):
        await room.labels.set_selected(admin, "mail-*", relabelling(labels={"role": "mail"}))
    for wrong in ({"labels": {"bad key": "x"}}, {"groups": [""]}, {}):
        with pytest.raises(Invalid):
            await room.labels.set_node(admin, "db-1", relabelling(**wrong))
    with pytest.raises(NotFound):
        await room.labels.set_node(admin, "ghost", relabelling(labels={"a": "b"}))


async def test_revoking_cuts_the_live_links_and_shows_the_reason(room: Any, machine: Any, admin: Any) -> None:
    web, other, token = machine("web-1"), machine("web-2"), await room.token(uses=2)
    for each in (web, other):
        await room.join(each, token)
        room.bus.link(each.daemon_key, each.id)
        room.bus.link(each.worker_key, each.id)
    node = await room.removal.revoke(admin, "web-1", reason=" stolen ")
    assert (node.revoked, node.revoked_reason) == (True, "stolen")
    assert await room.bus.accounts.connected_keys() == {other.daemon_key, other.worker_key}
    with pytest.raises(Invalid, match="reason"):
        await room.removal.revoke(admin, "web-2", reason="  ")


async def _open_task(room: Any, node: str) -> Job:
    now = room.clock.now()
    job = Job(
        id="J" + "0" * 18, name="", kind="exec", target=node, spec=CommandSpec(argv=("true",)), state=JobState.OPEN,
        counts={TaskState.QUEUED: 1}, nodes=1, pinned="", created_at=now, created_by="admin", expires_at=now + timedelta(hours=1),
    )  # fmt: skip
    return await room.jobs.add(job, [NewTask(node=node)], operation=None)


async def test_a_node_with_open_tasks_is_removed_only_by_force_and_they_end_as_lost(
    room: Any, machine: Any, admin: Any
) -> None:
    web = machine("web-1")
    await room.join(web)
    room.bus.link(web.daemon_key, "web-1")
    job = await _open_task(room, "web-1")
    with pytest.raises(Conflict, match="1 open task"):
        await room.removal.remove(admin, "web-1")
    assert "web-1" in room.fleet
    await room.removal.remove(admin, "web-1", force=True)
    assert "web-1" not in room.fleet
    task = await room.queries.task(job.id, "web-1")
    assert (task.state, task.reason) == (TaskState.LOST, Reason.NODE_REMOVED)
    assert [ended.id for ended in room.settled[-1].ended] == [job.id]
    assert not await room.bus.accounts.connected_keys()
    assert web.daemon_key in decode(room.bus.accounts.claims[-1])["nats"]["revocations"]
    with pytest.raises(NotFound):
        await room.removal.remove(admin, "web-1")


async def test_an_idle_node_is_removed_without_force_and_may_join_again(room: Any, machine: Any, admin: Any) -> None:
    web = machine("web-1")
    await room.join(web)
    await room.removal.remove(admin, "web-1")
    assert list(await room.nodes.all()) == []
    node, _ = await room.join(machine("web-1"))
    assert node.id == "web-1"


async def test_groups_are_added_and_removed_beside_the_others(room: Any, machine: Any, admin: Any) -> None:
    token = await room.token(uses=2)
    for id in ("web-2", "web-1"):
        await room.join(machine(id), token)
    await room.labels.set_selected(admin, "web-*", relabelling(groups=["eu"]))
    await room.labels.set_node(admin, "web-2", relabelling(add_groups=["old"]))
    changed = await room.labels.set_selected(admin, "web-*", relabelling(add_groups=["canary"], remove_groups=["old"]))
    assert {node.id: node.groups for node in changed} == {
        "web-1": frozenset({"eu", "canary"}),
        "web-2": frozenset({"eu", "canary"}),
    }
    for wrong in ({"groups": ["a"], "add_groups": ["b"]}, {"add_groups": ["a"], "remove_groups": ["a"]}):
        with pytest.raises(Invalid):
            await room.labels.set_node(admin, "web-1", relabelling(**wrong))

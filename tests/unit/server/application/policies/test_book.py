"""Changing the policy: one revision for all of it, nobody's change lost, nothing half done."""

from __future__ import annotations

from typing import Any

import pytest

from corral.domain.access import Grant
from corral.domain.errors import Conflict, Denied, Invalid, NotFound
from corral.domain.policy import Mode
from corral.domain.policy_rules import parse_fleet_rule
from corral.server.application.ports.access import Caller

ROOT = Caller(name="root")


def rule(name: str, program: str = "x") -> Any:
    return parse_fleet_rule({"id": name, "effect": "deny", "match": {"program": [program]}})


async def names(room: Any) -> list[str]:
    return [rule.id for rule in (await room.book.current()).rules]


async def test_every_change_is_one_revision_more(room: Any) -> None:
    assert (await room.book.current()).revision == 1
    assert await room.put("a", program="x") == 2
    assert (await room.book.move(ROOT, "a", 1)).policy.revision == 3
    assert await names(room) == ["a", "no-reboot"]
    assert (await room.book.set_mode(ROOT, Mode.DENY_LIST)).policy.revision == 4
    assert (await room.book.remove(ROOT, "a")).policy.revision == 5
    assert (await room.book.ship(ROOT)).policy.revision == 6
    assert await names(room) == ["no-reboot"]


async def test_a_rule_of_the_same_name_is_replaced_where_it_stands(room: Any) -> None:
    await room.put("b", program="x")
    await room.put("no-reboot", program="halt")
    assert await names(room) == ["no-reboot", "b"]
    assert (await room.book.current()).rules[0].match == {"program": ("halt",)}


async def test_who_read_an_older_revision_is_told(room: Any) -> None:
    await room.put("a", program="x")
    with pytest.raises(Conflict, match="at revision 2, not 1"):
        await room.book.remove(ROOT, "a", if_match=1)
    assert "a" in await names(room)


async def test_a_change_between_reading_and_writing_is_not_lost(room: Any) -> None:
    real = room.store.replace
    raced: list[bool] = []

    async def replace(policy: Any, *, after: int) -> bool:
        if not raced:
            raced.append(True)
            await room.book.put(ROOT, rule("theirs"))
        return bool(await real(policy, after=after))

    room.store.replace = replace
    await room.book.put(ROOT, rule("mine"))
    assert await names(room) == ["no-reboot", "theirs", "mine"]
    assert (await room.book.current()).revision == 3


async def test_what_is_not_there_cannot_be_moved_or_removed(room: Any) -> None:
    with pytest.raises(NotFound):
        await room.book.remove(ROOT, "x")
    with pytest.raises(NotFound):
        await room.book.move(ROOT, "x", 1)
    with pytest.raises(Invalid, match="1 to 1"):
        await room.book.move(ROOT, "no-reboot", 3)
    assert (await room.book.current()).revision == 1


async def test_an_allow_list_that_allows_nothing_is_refused(room: Any) -> None:
    with pytest.raises(Invalid, match="no rule allows anything"):
        await room.book.set_mode(ROOT, Mode.ALLOW_LIST)


async def test_who_may_write_it_on_some_nodes_may_not(room: Any) -> None:
    some = Caller(
        name="ana",
        permissions=frozenset({"policy.write"}),
        grants=(Grant(permissions=frozenset({"policy.write"}), selector="web-*"),),
    )
    with pytest.raises(Denied):
        await room.book.remove(some, "no-reboot")


async def test_the_rules_are_read_again_only_when_the_revision_is_another(room: Any) -> None:
    for _ in range(5):
        await room.book.current()
    assert room.store.reads == 1

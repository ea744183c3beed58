"""May I: yes, on some, no; and the grant that decides."""

from __future__ import annotations

from typing import Any

import pytest

from corral.domain.errors import Denied, Invalid, NothingMatched
from corral.server.application.ports.access import Caller

DEV = 'labels["env"] == "dev"'
ROOT = Caller(name="root")


async def test_yes_names_the_grant_that_decides(house: Any) -> None:
    made = await house.grant("operator", "ana", DEV)
    found = await house.can_i.ask(await house.caller("ana"), "exec.run", "dev-*")
    assert (found.verdict, found.nodes, list(found.outside)) == ("yes", 3, [])
    assert found.why == f"role operator on {DEV}"
    assert [(one.grant.id, one.nodes) for one in found.by] == [(made.id, 3)]


async def test_on_some_names_the_nodes_it_is_not(house: Any) -> None:
    await house.grant("operator", "ana", DEV)
    found = await house.can_i.ask(await house.caller("ana"), "exec.run", "dev-1,dev-2,prod-1")
    assert (found.verdict, found.nodes, list(found.outside)) == ("some", 3, ["prod-1"])


async def test_no_says_which_role_has_it_and_no_when_every_node_is_outside(house: Any) -> None:
    await house.grant("viewer", "ana", DEV)
    ana = await house.caller("ana")
    found = await house.can_i.ask(ana, "exec.run", "dev-1")
    assert found.verdict == "no" and "operator" in found.why
    assert (await house.can_i.ask(ana, "node.read", "prod-*")).verdict == "no"
    server = await house.can_i.ask(ana, "audit.read")
    assert server.verdict == "no" and "whole server" in server.why


async def test_without_nodes_it_says_where_it_is_held(house: Any) -> None:
    await house.grant("operator", "ana", DEV)
    found = await house.can_i.ask(await house.caller("ana"), "exec.run")
    assert found.verdict == "yes" and DEV in found.why
    assert (await house.can_i.ask(ROOT, "exec.run", "all")).why == "root has exec.run on every node"


async def test_asking_for_somebody_else_needs_role_read(house: Any) -> None:
    await house.grant("operator", "ana", DEV)
    await house.grant("viewer", "ben")
    assert (await house.can_i.ask(ROOT, "exec.run", "all", user="ana")).verdict == "some"
    assert (await house.can_i.ask(ROOT, "exec.run", "all", user="nobody")).verdict == "no"
    with pytest.raises(Denied):
        await house.can_i.ask(await house.caller("ben"), "exec.run", "all", user="ana")
    assert (await house.can_i.ask(await house.caller("ana"), "exec.run", "dev-1", user="ana")).verdict == "yes"


async def test_what_is_held_and_what_buttons_may_be_shown(house: Any) -> None:
    await house.grant("operator", "ana", DEV)
    ana = await house.caller("ana")
    held = await house.can_i.held(ana)
    assert held["exec.run"] == (DEV,) and "audit.read" not in held
    assert await house.can_i.booleans(ana, ["exec.run", "role.write"]) == {"exec.run": True, "role.write": False}


async def test_unknown_words_and_empty_selections_are_errors(house: Any) -> None:
    with pytest.raises(Invalid):
        await house.can_i.ask(ROOT, "exec.rn", "all")
    with pytest.raises(NothingMatched):
        await house.can_i.ask(ROOT, "exec.run", "web-*")

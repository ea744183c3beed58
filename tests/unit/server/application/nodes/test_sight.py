"""The fleet as somebody with grants on some of it sees it, and what moving a node by its labels asks for."""

from __future__ import annotations

from typing import Any

import pytest

from corral.domain.access import Grant, words
from corral.domain.errors import Denied, NotFound, NothingMatched
from corral.domain.node import Node, Presence, relabelling
from corral.server.application.access.deciding import Deciding
from corral.server.application.nodes.labels import Labelling
from corral.server.application.nodes.sight import NodeSight
from corral.server.application.nodes.tokens import JoinTokens
from corral.server.application.ports.access import Caller

DEV = 'labels["env"] == "dev"'
ALL_WORDS = frozenset({"node.read", "node.write", "node.remove"})


def person(*grants: tuple[frozenset[str], str]) -> Caller:
    held = tuple(Grant(permissions=permissions, selector=selector) for permissions, selector in grants)
    return Caller(name="ana", permissions=words(held), grants=held)


ANA = person((ALL_WORDS, DEV))


@pytest.fixture
async def fleet(room: Any) -> Any:
    nodes = [
        Node(id=f"{env}-{n}", labels={"env": env, "team": "a"}, daemon_key=f"{env}{n}")
        for env in ("dev", "prod")
        for n in (1, 2)
    ]
    await room.nodes.add_all(nodes)
    for node in nodes:
        room.fleet.upsert(node)
    return room.fleet


@pytest.fixture
def deciding() -> Deciding:
    """As at a server where something stands on the label env and the group canary."""

    async def selectors() -> list[str]:
        return ['labels["env"] == "dev" or "canary" in groups']

    return Deciding([selectors])


@pytest.fixture
def labels(room: Any, fleet: Any, deciding: Deciding) -> Labelling:
    return Labelling(fleet=fleet, store=room.nodes, deciding=deciding)


async def test_a_list_is_filtered_and_pages_of_it_too(fleet: Any) -> None:
    sight = NodeSight(fleet)
    page, more = sight.page(ANA, "all", presence=None, after="", limit=1)
    assert ([node.id for node in page], more) == (["dev-1"], True)
    page, more = sight.page(ANA, "all", presence=None, after="dev-1", limit=5)
    assert ([node.id for node in page], more) == (["dev-2"], False)
    assert sight.page(ANA, "all", presence=Presence.ONLINE, after="", limit=5) == ([], False)
    assert len(sight.page(Caller(name="root"), "all", presence=None, after="", limit=9)[0]) == 4


async def test_what_is_outside_is_not_found_whatever_is_asked(fleet: Any) -> None:
    sight = NodeSight(fleet)
    assert sight.get(ANA, "dev-1").id == "dev-1"
    assert sight.resolve(ANA, "all")[0] == ["dev-1", "dev-2"]
    for ask in (
        lambda: sight.get(ANA, "prod-1"),
        lambda: sight.explain(ANA, 'labels["env"] == "prod"', "prod-1"),
        lambda: sight.get(ANA, "no-such"),
    ):
        with pytest.raises(NotFound, match="no such node is enrolled"):
            ask()
    assert sight.resolve(ANA, "dev-1,prod-1,no-such")[1] == ["prod-1", "no-such"]
    with pytest.raises(NothingMatched):
        sight.resolve(ANA, 'labels["env"] == "prod"')


async def test_taking_a_node_away_needs_the_permission_there(room: Any, fleet: Any) -> None:
    reader = person((frozenset({"node.read"}), "all"), (ALL_WORDS, DEV))
    with pytest.raises(Denied, match="prod-1"):
        await room.removal.remove(reader, "prod-1")
    with pytest.raises(NotFound):
        await room.removal.remove(ANA, "prod-1")
    for verb in (room.removal.reset(reader, "prod-1"), room.removal.revoke(reader, "prod-1", reason="no")):
        with pytest.raises(Denied):
            await verb
    await room.removal.remove(ANA, "dev-1")
    assert "dev-1" not in fleet and "prod-1" in fleet


async def test_labels_are_changed_where_one_may_and_never_in_part(labels: Labelling, fleet: Any) -> None:
    await labels.set_node(ANA, "dev-1", relabelling(labels={"team": "b"}))
    reader = person((frozenset({"node.read"}), "all"), (ALL_WORDS, DEV))
    with pytest.raises(Denied, match="2 of the 4"):
        await labels.set_selected(reader, "all", relabelling(labels={"team": "c"}))
    with pytest.raises(NotFound):
        await labels.set_node(ANA, "prod-1", relabelling(labels={"team": "c"}))
    assert fleet.ids('labels["team"] == "c"') == []


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"env": "prod"}},
        {"labels": {"env": None}},
        {"groups": ["canary"]},
        {"labels": {"team": "x", "env": "dev"}},
    ],
)
async def test_a_label_that_grants_stand_on_is_changed_by_who_may_grant(
    labels: Labelling, fleet: Any, change: dict[str, Any]
) -> None:
    before = fleet.get("dev-1")
    token = Caller(name="token", permissions=frozenset({"node.read", "node.write"}))
    for caller in (ANA, token):
        with pytest.raises(Denied) as refused:
            await labels.set_node(caller, "dev-1", relabelling(**change))
        assert refused.value.element == "role.write"
    assert fleet.get("dev-1") == before
    await labels.set_node(Caller(name="root"), "dev-1", relabelling(**change))


async def test_taking_a_group_away_that_grants_stand_on_is_no_different(labels: Labelling, fleet: Any) -> None:
    await labels.set_node(Caller(name="root"), "dev-1", relabelling(groups=["canary", "x"]))
    with pytest.raises(Denied):
        await labels.set_node(ANA, "dev-1", relabelling(groups=["x"]))
    changed = await labels.set_node(ANA, "dev-1", relabelling(groups=["canary", "y"]))
    assert changed.groups == {"canary", "y"}


async def test_nobody_moves_a_node_to_where_he_may_not_change_it(room: Any, fleet: Any) -> None:
    labels = Labelling(fleet=fleet, store=room.nodes)
    keeper = person(
        (frozenset({"node.read", "node.write"}), 'labels["team"] == "a"'), (frozenset({"role.write"}), "all")
    )
    with pytest.raises(Denied, match="after it"):
        await labels.set_node(keeper, "dev-1", relabelling(labels={"team": "b"}))
    await labels.set_node(keeper, "dev-1", relabelling(labels={"team": "a", "x": "1"}))


async def test_a_join_token_is_made_by_who_may_everywhere(room: Any) -> None:
    some = person((frozenset({"token.write"}), DEV))
    with pytest.raises(Denied):
        await room.tokens.create(some, labels={"env": "prod"})
    with pytest.raises(Denied):
        await room.tokens.revoke(some, "t")
    everywhere = person((frozenset({"token.write"}), "all"))
    assert await room.tokens.create(everywhere)


async def test_a_join_token_with_labels_that_decide_is_made_by_who_may_grant(room: Any, deciding: Deciding) -> None:
    tokens = JoinTokens(store=room.token_store, clock=room.clock, deciding=deciding)
    maker = person((frozenset({"token.write"}), "all"))
    for order in ({"labels": {"env": "prod"}}, {"groups": ["canary"]}):
        with pytest.raises(Denied) as refused:
            await tokens.create(maker, **order)
        assert refused.value.element == "role.write"
    assert await tokens.create(maker, labels={"team": "a"}, groups=["x"])
    assert await tokens.create(Caller(name="root"), labels={"env": "prod"})

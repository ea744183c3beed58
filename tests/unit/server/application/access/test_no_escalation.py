"""Whatever people with role.write do to roles and grants, together they never hold more than they were given."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from corral.domain.access import Grant, words
from corral.domain.errors import CorralError
from corral.domain.node import Node
from corral.domain.selector.evaluate import matches
from corral.domain.selector.parser import parse
from corral.server.application.access.extent import SHARED_WORDS
from corral.server.application.access.grant_book import GrantBook
from corral.server.application.access.grants import Grants
from corral.server.application.access.permissions import PERMISSIONS
from corral.server.application.access.roles import Roles
from corral.server.application.access.scope import Scope
from corral.server.application.nodes.registry import Registry
from corral.server.application.ports.access import Caller
from corral.server.application.ports.roles import SubjectKind
from corral.testing.clock import FakeClock
from corral.testing.role_store import MemoryRoleStore

ROOT = Caller(name="root")
PEOPLE = ("ana", "ben")
WORDS = ("exec.run", "exec.run", "node.read", "file.write", "*")
SELECTORS = (
    "all",
    "n-1",
    "n-1,n-2",
    "n-*",
    'labels["env"] == "dev"',
    'labels["env"] in ["dev", "test"]',
    'labels["env"] == "dev" and "a" in groups',
    'not labels["env"] == "dev"',
    'has labels["env"]',
    '"a" in groups or n-1',
)
FLEET = [
    Node(id=id_, labels=labels, groups=groups)
    for id_ in ("n-1", "n-2", "m-1")
    for labels in ({}, {"env": "dev"}, {"env": "test"}, {"env": "prod"})
    for groups in (frozenset[str](), frozenset({"a"}))
]
"""Every way each node could ever be labelled: not only the nodes of this moment."""

_WORD_LISTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=2)
_CAPS = st.sampled_from([None, 1, 5])
_ROLES = st.sampled_from(["r0", "r0", "r1", "begin-0", "admin"])
_STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("grant"), st.sampled_from(PEOPLE), _ROLES, st.sampled_from(PEOPLE), st.sampled_from(SELECTORS)
        ),
        st.tuples(st.just("create"), st.sampled_from(PEOPLE), st.sampled_from(["r0", "r0", "r1"]), _WORD_LISTS, _CAPS),
        st.tuples(st.just("change"), st.sampled_from(PEOPLE), st.sampled_from(["r0", "r0", "r1"]), _WORD_LISTS, _CAPS),
        st.tuples(st.just("revoke"), st.sampled_from(PEOPLE), st.integers(2, 9)),
    ),
    min_size=3,
    max_size=8,
)
_BEGIN = st.lists(
    st.tuples(st.sampled_from(PEOPLE), _WORD_LISTS, st.sampled_from(SELECTORS), _CAPS), min_size=1, max_size=3
)


class House:
    def __init__(self) -> None:
        self.store = MemoryRoleStore()
        clock = FakeClock()

        async def groups_of(user: str) -> list[str]:
            return []

        self.book = GrantBook(store=self.store, clock=clock, groups_of=groups_of)
        self.roles = Roles(store=self.store, book=self.book, clock=clock)
        self.grants = Grants(store=self.store, book=self.book, clock=clock)

    async def caller(self, name: str) -> Caller:
        held = await self.book.of(name)
        return Caller(name=name, permissions=words(held), grants=held)

    async def give(self, by: Caller, role: str, to: str, selector: str) -> None:
        await self.grants.grant(by, role=role, subject_kind=SubjectKind.USER, subject=to, selector=selector)

    async def power(self) -> dict[tuple[str, str], float]:
        """(word, node as it could be) → the most nodes at once that anybody may do it on."""
        found: dict[tuple[str, str], float] = {}
        for name in PEOPLE:
            for grant in await self.book.of(name):
                tree = parse(grant.selector)
                cap = float("inf") if grant.max_nodes is None else float(grant.max_nodes)
                for node in FLEET:
                    if matches(tree, node):
                        for word in _expanded(grant.permissions):
                            key = (word, repr((node.id, node.labels, node.groups)))
                            found[key] = max(found.get(key, 0.0), cap)
        return found


def _expanded(permissions: frozenset[str]) -> Sequence[str]:
    return [*PERMISSIONS, "*"] if "*" in permissions else list(permissions)


async def _play(begin: Any, steps: Any) -> tuple[dict[Any, float], dict[Any, float], int]:
    house = House()
    await house.roles.create(ROOT, name="keeper", permissions=["role.write"])
    for name in PEOPLE:
        await house.give(ROOT, "keeper", name, "all")
    await house.roles.create(ROOT, name="r0", permissions=["node.read"])
    await house.give(ROOT, "r0", PEOPLE[1], "n-*")
    for number, (name, given_words, selector, cap) in enumerate(begin):
        await house.roles.create(ROOT, name=f"begin-{number}", permissions=given_words, max_nodes=cap)
        try:
            await house.give(ROOT, f"begin-{number}", name, selector)
        except CorralError:
            continue  # nothing in it is about nodes
    before, done = await house.power(), 0
    for kind, who, *rest in steps:
        by = await house.caller(who)
        try:
            if kind == "grant":
                await house.give(by, *rest)
            elif kind == "create":
                await house.roles.create(by, name=rest[0], permissions=rest[1], max_nodes=rest[2])
            elif kind == "change":
                await house.roles.change(by, rest[0], permissions=rest[1], max_nodes=rest[2], uncap=rest[2] is None)
            else:
                grants = (await house.store.book()).grants
                if rest[0] < len(grants):
                    await house.grants.revoke(by, grants[rest[0]].id)
            done += 1
        except CorralError:
            continue
    return before, await house.power(), done


@settings(max_examples=300, deadline=None)
@given(begin=_BEGIN, steps=_STEPS)
def test_together_they_never_hold_more_than_they_were_given(begin: Any, steps: Any) -> None:
    before, after, _ = asyncio.run(_play(begin, steps))
    more = {key: cap for key, cap in after.items() if cap > before.get(key, 0.0)}
    # What belongs to no node (a file) is held everywhere by whoever holds it somewhere, so it may be given anywhere.
    assert {word for word, _ in more} <= {word for word, _ in before if word in SHARED_WORDS}


def test_the_game_is_not_empty() -> None:
    begin = [("ana", ["exec.run"], "all", None)]
    steps = [("create", "ana", "r1", ["exec.run"], None), ("grant", "ana", "r1", "ben", "n-*")]
    before, after, done = asyncio.run(_play(begin, steps))
    assert done == 2 and before.keys() >= after.keys()


@settings(max_examples=200, deadline=None)
@given(
    grants=st.lists(st.tuples(st.sampled_from(SELECTORS), _WORD_LISTS), max_size=4),
    asked=st.sampled_from(["exec.run", "node.read"]),
)
def test_the_scope_is_what_each_node_alone_says(grants: Any, asked: str) -> None:
    registry = Registry()
    nodes = [Node(id=f"n-{i}", labels=node.labels, groups=node.groups) for i, node in enumerate(FLEET)]
    for node in nodes:
        registry.upsert(node)
    held = tuple(Grant(permissions=frozenset(given_words), selector=selector) for selector, given_words in grants)
    allowed = Scope(registry).allowed(Caller(name="ana", permissions=words(held), grants=held), asked)
    for node in nodes:
        alone = any(grant.gives(asked) and matches(parse(grant.selector), node) for grant in held)
        assert (node.id in allowed) is alone

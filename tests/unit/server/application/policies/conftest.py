"""A policy room over memory: three nodes, of which web-1 and web-2 carry role=web."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from corral.domain.policy_rules import parse_fleet_rule
from corral.server.application.policies.book import PolicyBook
from corral.server.application.policies.distribution import PolicyDistribution
from corral.server.application.policies.guard import PolicyGuard
from corral.server.application.ports.access import Caller
from corral.testing.clock import FakeClock
from corral.testing.policy_store import MemoryPolicyStore


class Fleet:
    """`moved` are the nodes that left role=web."""

    def __init__(self) -> None:
        self.every = {"db-1", "web-1", "web-2"}
        self.web = {"web-1", "web-2"}
        self.away: set[str] = set()

    def within(self, selectors: tuple[str, ...]) -> frozenset[str]:
        found: set[str] = set()
        for selector in selectors:
            if selector == "all":
                found |= self.every
            elif selector == 'labels["role"] == "web"':
                found |= self.web
            else:
                found |= self.every & set(selector.split(","))
        return frozenset(found)

    def online(self, nodes: Collection[str]) -> frozenset[str]:
        return frozenset(nodes) - self.away

    def resolve(self, selector: str) -> Sequence[str]:
        return sorted(self.within((selector,)))


@dataclass
class Down:
    pushed: list[tuple[int, str, dict[str, list[str]]]] = field(default_factory=list)

    async def push(self, rules: Mapping[str, Sequence[Mapping[str, Any]]], *, revision: int, mode: str) -> None:
        self.pushed.append((revision, mode, {node: [str(one["id"]) for one in of] for node, of in rules.items()}))


@dataclass
class Room:
    clock: FakeClock = field(default_factory=FakeClock)
    store: MemoryPolicyStore = field(default_factory=MemoryPolicyStore)
    fleet: Fleet = field(default_factory=Fleet)
    down: Down = field(default_factory=Down)
    leads: bool = True

    def __post_init__(self) -> None:
        shipped = [rule("no-reboot", program="reboot")]
        self.book = PolicyBook(store=self.store, clock=self.clock, shipped=shipped)
        self.guard = PolicyGuard(book=self.book, fleet=self.fleet)
        self.distribution = PolicyDistribution(
            book=self.book, down=self.down, fleet=self.fleet, clock=self.clock, leads=lambda: self.leads
        )

    async def put(self, name: str, effect: str = "deny", *, position: int | None = None, **more: Any) -> int:
        stored = await self.book.put(ROOT, rule(name, effect, **more), position=position)
        return stored.policy.revision


ROOT = Caller(name="root")


def rule(name: str, effect: str = "deny", *, roles: Sequence[str] = (), selector: str = "all", **match: str) -> Any:
    given = {key: [value] for key, value in match.items()}
    return parse_fleet_rule({"id": name, "effect": effect, "match": given, "roles": list(roles), "selector": selector})


@pytest.fixture
def room() -> Room:
    return Room()

"""The command policy: its rules, the check of a submission, and its way to the nodes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from corral.domain.policy_rules import parse_fleet_rules
from corral.domain.policy_shipped import SHIPPED
from corral.server.application.policies.book import PolicyBook
from corral.server.application.policies.distribution import PolicyDistribution
from corral.server.application.policies.guard import PolicyGuard
from corral.server.application.policies.room import PolicyRoom
from corral.server.application.policies.trial import Trials
from corral.server.application.ports.guards import SubmissionGuard
from corral.server.compose.ground import Ground
from corral.server.infrastructure.nats.policy import NatsPolicyDown
from corral.server.infrastructure.sql.policies import SqlPolicyStore


@dataclass(kw_only=True)
class Rules:
    """The room, what runs for it, and what submission, sync and beats need of it."""

    room: PolicyRoom
    guard: SubmissionGuard
    distribution: PolicyDistribution
    for_sync: Callable[[str, int], Awaitable[str | None]]
    observe: Callable[[Mapping[str, int]], Awaitable[None]]


def compose_rules(ground: Ground) -> Rules:
    book = PolicyBook(store=SqlPolicyStore(ground.db), clock=ground.clock, shipped=parse_fleet_rules(list(SHIPPED)))
    down = NatsPolicyDown(wire=ground.bus.wire, signer=ground.ring, clock=ground.clock)
    distribution = PolicyDistribution(
        book=book,
        down=down,
        fleet=ground.registry,
        clock=ground.clock,
        leads=lambda: ground.leadership.leading,
    )
    return Rules(
        room=PolicyRoom(book=book, trials=Trials(book=book, fleet=ground.registry, standing=ground.registry)),
        guard=PolicyGuard(book=book, fleet=ground.registry),
        distribution=distribution,
        for_sync=down.for_sync(distribution.for_node),
        observe=distribution.observe,
    )

"""How the policy reaches the nodes: pushed when it changed, answered by sync, and pushed again to whose beat says an older revision.

Only the lease holder pushes. A node's part depends on the selectors of the rules, so when a label moves a node into or out of one,
the same rules get the next revision: a node never goes back to a lower one, and takes a higher one up even when it changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from corral.domain.errors import CorralError
from corral.domain.policy_rules import EVERYWHERE, FleetPolicy
from corral.runtime.clock import Clock
from corral.server.application.policies.book import PolicyBook
from corral.server.application.ports.policies import PolicyDown, Reach

LOOK_SECONDS: Final = 1.0
KNOWN_SECONDS: Final = 1.0
AT_ONCE: Final = 200
AGAIN_SECONDS: Final = 10.0
AGAIN_MAX_SECONDS: Final = 600.0
AHEAD_MAX: Final = 1000
"""A node further ahead than this does not hold a policy of ours."""
OUTGROW_SECONDS: Final = 60.0

log = logging.getLogger("corral.policy")


class PolicyDistribution:
    """Component. `leads`: whether this server is the lease holder."""

    name = "policy"

    def __init__(
        self, *, book: PolicyBook, down: PolicyDown, fleet: Reach, clock: Clock, leads: Callable[[], bool]
    ) -> None:
        self._book = book
        self._down = down
        self._fleet = fleet
        self._clock = clock
        self._leads = leads
        self._wake = asyncio.Event()
        self._pushed = 0
        self._members: Mapping[str, frozenset[str]] | None = None
        self._all: frozenset[str] = frozenset()
        self._lagging: dict[str, tuple[int, float, float]] = {}
        self._outgrown_at = float("-inf")
        book.changed = self._wake.set

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        while True:
            self._wake.clear()
            try:
                await self._look()
            except CorralError as error:
                log.warning("Cannot bring the policy out: %s; trying again", error, extra={"action": "policy"})
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _look(self) -> None:
        if not self._leads():
            # whoever led before may not have seen the last move
            self._members, self._pushed = None, 0
            return
        policy = await self._book.current()
        if await self._moved(policy):
            policy = await self._book.current()
        if policy.revision != self._pushed:
            await self._push(policy, sorted(self._fleet.online(self._fleet.within((EVERYWHERE,)))))
            self._pushed = policy.revision

    async def _moved(self, policy: FleetPolicy) -> bool:
        """Give the rules another revision when a node that was there before is in or out of a selector now."""
        members = {selector: self._fleet.within((selector,)) for selector in policy.sent_selectors()}
        every = self._fleet.within((EVERYWHERE,))
        before, self._members = self._members, members
        stayed, self._all = self._all & every, every
        if before is None or before.keys() != members.keys() or policy.revision != self._pushed:
            return False
        if all((before[s] ^ members[s]).isdisjoint(stayed) for s in members):
            return False
        await self._book.outgrow(policy.revision)
        return True

    async def _push(self, policy: FleetPolicy, nodes: Sequence[str]) -> None:
        for start in range(0, len(nodes), AT_ONCE):
            await self._down.push(
                self._rules(policy, nodes[start : start + AT_ONCE]), revision=policy.revision, mode=policy.mode.value
            )
            await self._clock.sleep(0)

    def _rules(self, policy: FleetPolicy, nodes: Collection[str]) -> dict[str, Sequence[Mapping[str, Any]]]:
        if not policy.sent_selectors():
            rules = policy.on_node(lambda selector: True)
            return dict.fromkeys(nodes, rules)
        members = {selector: self._fleet.within((selector,)) for selector in policy.sent_selectors()}
        return {node: _on(policy, node, members) for node in nodes}

    async def for_node(self, node: str, revision: int) -> tuple[FleetPolicy, Sequence[Mapping[str, Any]]] | None:
        """What a node that syncs with `revision` lacks; None when it is up to date, or when that cannot be told now."""
        try:
            policy = await self._book.current(max_age_seconds=KNOWN_SECONDS)
        except CorralError as error:
            log.warning("Cannot say which policy %s lacks: %s; its sync goes on without", node, error)
            return None
        if revision >= policy.revision:
            return None
        return policy, self._rules(policy, [node])[node]

    async def observe(self, revisions: Mapping[str, int]) -> None:
        """Node → the policy revision its beat names. Who is behind gets it again, less and less often. Never raises CorralError."""
        try:
            await self._observe(revisions)
        except CorralError as error:
            log.warning("Cannot bring the policy to who lacks it: %s; trying again", error, extra={"action": "policy"})

    async def _observe(self, revisions: Mapping[str, int]) -> None:
        policy = await self._book.current(max_age_seconds=KNOWN_SECONDS)
        now = self._clock.monotonic()
        ahead = [r for r in revisions.values() if policy.revision < r <= policy.revision + AHEAD_MAX]
        if ahead and now - self._outgrown_at >= OUTGROW_SECONDS:
            self._outgrown_at = now
            log.warning(
                "A node holds policy revision %d, newer than ours: a restored database? Going beyond it", max(ahead)
            )
            await self._book.outgrow(max(ahead))
            return
        behind = []
        for node, revision in revisions.items():
            if revision >= policy.revision:
                self._lagging.pop(node, None)
                continue
            at, due, pause = self._lagging.get(node, (0, 0.0, AGAIN_SECONDS / 2))
            if at != policy.revision:
                due, pause = 0.0, AGAIN_SECONDS / 2
            if now >= due:
                pause = min(AGAIN_MAX_SECONDS, 2 * pause)
                self._lagging[node] = (policy.revision, now + pause, pause)
                behind.append(node)
        await self._push(policy, behind)

    def forget(self, node: str) -> None:
        self._lagging.pop(node, None)


def _on(policy: FleetPolicy, node: str, members: Mapping[str, frozenset[str]]) -> Sequence[Mapping[str, Any]]:
    return policy.on_node(lambda selector: selector == EVERYWHERE or node in members[selector])

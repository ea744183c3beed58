"""The rules as every submission needs them: kept for a second, so that asking costs no trip to the database.

A rule that is changed here counts from the next submission on; one that another server changed, a second later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from corral.domain.approval import ApprovalRule
from corral.runtime.clock import Clock
from corral.server.application.ports.approvals import ApprovalRuleStore

KEPT_SECONDS: Final = 1.0


class KeptRules:
    """ApprovalRuleStore over another one."""

    def __init__(self, store: ApprovalRuleStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._kept: Sequence[ApprovalRule] = ()
        self._until = float("-inf")

    async def list(self) -> Sequence[ApprovalRule]:
        now = self._clock.monotonic()
        if now >= self._until:
            self._kept = await self._store.list()
            self._until = now + KEPT_SECONDS
        return self._kept

    async def put(self, rule: ApprovalRule) -> None:
        await self._store.put(rule)
        self._until = float("-inf")

    async def delete(self, name: str) -> None:
        await self._store.delete(name)
        self._until = float("-inf")

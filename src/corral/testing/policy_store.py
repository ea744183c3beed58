"""The command policy in memory: the same port, the same contract tests."""

from __future__ import annotations

from corral.domain.errors import NotFound
from corral.server.application.ports.policies import StoredPolicy


class MemoryPolicyStore:
    """PolicyStore in memory. `reads` counts what was loaded."""

    def __init__(self) -> None:
        self._stored: StoredPolicy | None = None
        self.reads = 0

    async def begin(self, first: StoredPolicy) -> None:
        self._stored = self._stored or first

    async def revision(self) -> int:
        return 0 if self._stored is None else self._stored.policy.revision

    async def load(self) -> StoredPolicy:
        self.reads += 1
        if self._stored is None:
            raise NotFound("cannot find the command policy: this installation has none yet", element="policy")
        return self._stored

    async def replace(self, policy: StoredPolicy, *, after: int) -> bool:
        if await self.revision() != after:
            return False
        self._stored = policy
        return True

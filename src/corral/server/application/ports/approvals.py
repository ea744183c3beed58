"""Ports of the approvals room. Asking and deciding are part of the job's own transactions (ports/jobs.py); this is the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from corral.domain.approval import Approval, ApprovalRule, ApprovalState


@dataclass(frozen=True, kw_only=True)
class ApprovalPage:
    items: Sequence[Approval]
    next: str | None = None


class ApprovalQueries(Protocol):
    """An approval whose job is over is shown as withdrawn or expired, whatever its row says."""

    async def get(self, approval: str) -> Approval:
        """Raises NotFound."""
        ...

    async def of_job(self, job: str) -> Approval | None:
        """The newest one."""
        ...

    async def list(
        self, *, states: Sequence[ApprovalState] = (), limit: int = 50, cursor: str | None = None
    ) -> ApprovalPage:
        """Newest first."""
        ...


class ApprovalRuleStore(Protocol):
    async def put(self, rule: ApprovalRule) -> None: ...

    async def list(self) -> Sequence[ApprovalRule]: ...

    async def delete(self, name: str) -> None:
        """Raises NotFound."""
        ...

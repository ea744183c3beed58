"""What stands between a submission and its commit: each guard may refuse it, or make it wait for somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from corral.domain.job import JobSpec
from corral.server.application.ports.access import Caller


@dataclass(frozen=True, kw_only=True)
class Hold:
    """The job is accepted and waits: nothing of it is sent until an approval of `kind` is given."""

    kind: str
    why: str


class SubmissionGuard(Protocol):
    """Guards run in order after the target is resolved, for submit and for preview; the first that raises decides."""

    async def check(self, caller: Caller, spec: JobSpec, nodes: Sequence[str]) -> Hold | None:
        """Raises Denied or Invalid with the rule's name as `element`; a Hold makes the job wait; None lets it pass."""
        ...

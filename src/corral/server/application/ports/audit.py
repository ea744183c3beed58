"""Ports of the proof: the chain over the audit entries in SQL, and what is kept of its head outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from corral.domain.audit import Checkpoint, Link

Sign = Callable[[Checkpoint], Checkpoint]
"""The same with `key` and `signature` filled in."""
Trust = Callable[[Checkpoint], bool]
"""Whether its signature is one of ours."""


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """What one step sealed; `more` when there are entries left. `head` is None when there was nothing to seal."""

    count: int
    more: bool
    head: Checkpoint | None


class AuditChain(Protocol):
    async def seal(
        self, token: int, *, sign: Sign, trust: Trust, witness: Checkpoint | None, now: datetime, limit: int
    ) -> Sealed:
        """Seal the next entries in the order of their ids, and sign the new head, in one transaction.

        Raises Conflict when `token` is not the leader's any more (retryable), and when the chain in the database is not the one
        whose head was signed: what somebody cut or made anew is not gone on with.
        """
        ...

    async def retire(self, token: int, *, sign: Sign, before: datetime, now: datetime, limit: int) -> int:
        """Remove sealed entries older than that from the beginning, and leave a signed anchor; how many."""
        ...

    async def links(self, *, after: int, upto: int, limit: int) -> Sequence[Link]:
        """Seals with their entries, in order of sequence: beyond `after`, up to `upto`."""
        ...

    async def stray(self, *, after: int, upto: int) -> int | None:
        """The lowest entry with an id in (after, upto] that has no seal."""
        ...

    async def ends(self) -> tuple[Checkpoint | None, Checkpoint | None, int]:
        """The newest anchor, the newest head, and the highest sequence there is."""
        ...

    async def heads(self, *, after: int, upto: int) -> Sequence[Checkpoint]:
        """Signed heads with a sequence in (after, upto]."""
        ...

    async def waiting(self) -> tuple[int, datetime | None]:
        """How many entries wait behind the last sealed one, and since when the first of them."""
        ...

    async def first_at(self, moment: datetime) -> int:
        """The sequence of the first sealed entry at or after that moment; beyond the last one when there is none."""
        ...


class Witness(Protocol):
    """The newest head, outside the database: whoever can change only that cannot cut the chain unseen."""

    def load(self) -> Checkpoint | None: ...

    def keep(self, checkpoint: Checkpoint) -> None: ...

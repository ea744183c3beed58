"""Agreement: the digest in each beat against the database. A lasting difference makes the node sync; nothing else is done here.

A difference of one beat is normal (a report or a receipt is under way), so two mismatching beats in a row poke the node.
Nodes whose digest is the one that last matched are not looked at again for a while, which leaves a query for the busy few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from corral.runtime.clock import Clock
from corral.server.application.jobs.counters import Counters
from corral.server.application.ports.jobs import Down, JobQueries

RECHECK_SECONDS: Final = 60.0
MISMATCHES: Final = 2

Digest = Callable[[Iterable[tuple[str, int]]], str]
"""(job, attempt) pairs → what a node's beat says of them; protocol.digest.digest."""


class DigestWatch:
    """Fed by the lease holder with every round of beats."""

    def __init__(self, *, queries: JobQueries, down: Down, digest: Digest, clock: Clock, counters: Counters) -> None:
        self._queries = queries
        self._down = down
        self._digest = digest
        self._clock = clock
        self._counters = counters
        self._agreed: dict[str, tuple[str, float]] = {}
        self._mismatches: dict[str, int] = {}

    async def observe(self, beats: Mapping[str, str]) -> None:
        """Node → digest, of the beats that came since the last call (a node without a digest, no worker, is left out)."""
        now = self._clock.monotonic()
        doubtful = [node for node, digest in beats.items() if digest and not self._settled(node, digest, now)]
        if not doubtful:
            return
        held = await self._queries.open_digests(doubtful)
        poke = []
        for node in doubtful:
            if self._digest(held.get(node, frozenset())) == beats[node]:
                self._agreed[node] = (beats[node], now)
                self._mismatches.pop(node, None)
                continue
            self._agreed.pop(node, None)
            self._counters.add("digest_mismatch_total")
            count = self._mismatches.get(node, 0) + 1
            if count >= MISMATCHES:
                poke.append(node)
                count = 0
            self._mismatches[node] = count
        if poke:
            self._counters.add("pokes_total", len(poke))
            await self._down.poke(poke)

    def forget(self, node: str) -> None:
        """The node was removed."""
        self._agreed.pop(node, None)
        self._mismatches.pop(node, None)

    def _settled(self, node: str, digest: str, now: float) -> bool:
        agreed = self._agreed.get(node)
        return agreed is not None and agreed[0] == digest and now - agreed[1] < RECHECK_SECONDS

"""The server's time as this node knows it, so that a wrong clock here rejects and replays nothing.

Learnt from signed sync answers that echo our fresh nonce, carried on by the monotonic clock. Until the first of them the local
clock stands in, never behind the newest signed message ever seen here (`floor`, kept in the journal): what was pruned from the
journal is older than that floor and so can never be accepted again.
"""

from __future__ import annotations

from typing import Final

from corral.runtime.clock import Clock

SKEW_SHOWN_SECONDS: Final = 30.0
FRESH_SECONDS: Final = 1.0
"""How long after an answer its time is beyond doubt: somebody may put the server's clock right at any moment."""


class ServerTime:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset: float | None = None
        self._learnt_at = float("-inf")
        self.floor = 0.0

    @property
    def synced(self) -> bool:
        """Whether an answer of this run told the time."""
        return self._offset is not None

    @property
    def fresh(self) -> bool:
        """Whether an answer told the time just now. What would be given up for good waits for that."""
        return self._clock.monotonic() - self._learnt_at <= FRESH_SECONDS

    def doubt(self) -> None:
        """The link is new, and who answers there may have another clock: nothing is fresh until it told."""
        self._learnt_at = float("-inf")

    def now(self) -> float:
        if self._offset is not None:
            return self._clock.monotonic() + self._offset
        return max(self._clock.wall(), self.floor)

    def learn(self, server_now: float) -> None:
        """A fresh, signed answer said it is `server_now`. The first wins until one differs by more than its journey explains."""
        self._learnt_at = self._clock.monotonic()
        offset = server_now - self._learnt_at
        # an answer can only be late, so the largest offset seen is the closest to the truth; a step back by more is a server
        # whose clock was put right
        if self._offset is None or offset > self._offset or self._offset - offset > SKEW_SHOWN_SECONDS:
            self._offset = offset
        self.saw(server_now)

    def saw(self, issued: float) -> None:
        """A signed message was issued at this time: the server's clock is at least there."""
        self.floor = max(self.floor, issued)

    @property
    def offset_from_wall(self) -> float | None:
        """Server time minus this machine's wall clock; None while unknown."""
        return round(self.now() - self._clock.wall(), 6) if self.synced else None

    @property
    def skew_seconds(self) -> float:
        """How far this machine's clock is ahead of the server's; 0 while unknown."""
        return self._clock.wall() - self.now() if self.synced else 0.0

    def at_wall(self, wall: float) -> float:
        """The server's time of a moment this machine's clock called `wall` (a file's mtime)."""
        return wall - self.skew_seconds

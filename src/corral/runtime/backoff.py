"""Retry delays as one value: a list of seconds, the last one repeated, each spread by jitter."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """`delays_seconds` in order, the last for ever; each multiplied by 1 ± jitter."""

    delays_seconds: tuple[float, ...]
    jitter: float = 0.2

    def delay(self, attempt: int) -> float:
        """Seconds to wait before try number `attempt` (0 = the first retry)."""
        base = self.delays_seconds[min(attempt, len(self.delays_seconds) - 1)]
        return spread(base, self.jitter)

    def __iter__(self) -> Iterator[float]:
        attempt = 0
        while True:
            yield self.delay(attempt)
            attempt += 1


def spread(seconds: float, jitter: float) -> float:
    """`seconds` somewhere within ± jitter, so that a thousand nodes do not come back in one instant."""
    return seconds * (1 + jitter * (2 * random.random() - 1))  # noqa: S311  # spreading load, not guarding a secret


RECONNECT: Final = Backoff(delays_seconds=(0.2, 0.5, 1, 2, 4), jitter=0.5)
REDELIVER: Final = Backoff(delays_seconds=(2, 4, 8, 16, 60))
"""Dispatcher: an unanswered task is published again after these delays (design section 4)."""
_ANSWERS_PER_SECOND: Final = 1000
"""What a server and an engine that share two cores take in while they also push; ten thousand tasks took 6 to 10 s."""
RESEND_REPORT: Final = Backoff(delays_seconds=(3, 6, 12, 24, 48, 60))
"""Node: an unreceipted report is sent again after these delays (design section 4)."""
STREAM_FULL: Final = Backoff(delays_seconds=(1, 2, 4, 8, 16, 30))


def redeliver_delay(published: int, place: int) -> float:
    """Seconds until a push is repeated. `place`: how many were pushed just before it, whose answers come first.

    Asking a fleet again while it is still answering made every answer later: 10,000 tasks cost 39,000 pushes.
    """
    return REDELIVER.delay(published) + place / _ANSWERS_PER_SECOND

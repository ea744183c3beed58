"""When a process that died is started again (OSF-6), as a pure table.

restart 1: now    2, 3: after 10 s    4, 5: after 30 s    from 6 on: after 60 s and an alert    10 minutes healthy: counted anew
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

HEALTHY_SECONDS: Final = 600.0
_DELAYS_SECONDS: Final = (0.0, 10.0, 10.0, 30.0, 30.0)
_LAST_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Restart:
    """The decision about one death: the `number`th restart happens at `at`; `alert` when somebody should look."""

    number: int
    at: float
    alert: bool


@dataclass(frozen=True, kw_only=True)
class Restarts:
    """What is remembered between deaths. Times are monotonic seconds. `up_since` None = it does not run."""

    count: int = 0
    up_since: float | None = None

    def started(self, now: float) -> Restarts:
        """It runs (again) as of `now`; saying so twice changes nothing."""
        return self if self.up_since is not None else replace(self, up_since=now)

    def healthy(self, now: float) -> Restarts:
        """It is seen healthy at `now`; after ten minutes of that earlier deaths are forgotten."""
        up = self.started(now)
        assert up.up_since is not None
        return replace(up, count=0) if now - up.up_since >= HEALTHY_SECONDS else up

    def died(self, now: float) -> tuple[Restarts, Restart]:
        """It is dead as of `now`: what to remember, and when to start it."""
        number = self.healthy(now).count + 1 if self.up_since is not None else self.count + 1
        delay = delay_seconds(number)
        return Restarts(count=number), Restart(number=number, at=now + delay, alert=number > len(_DELAYS_SECONDS))


def delay_seconds(number: int) -> float:
    """How long the `number`th restart (from 1) waits."""
    return _DELAYS_SECONDS[number - 1] if number <= len(_DELAYS_SECONDS) else _LAST_SECONDS

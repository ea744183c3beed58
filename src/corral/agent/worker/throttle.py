"""Component: reads the machine's load from /proc and sets the factor of slots and bandwidth; decisions are domain.throttle's."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from corral.agent.config import AgentSettings
from corral.domain.throttle import ThrottlePolicy, ThrottleSample, ThrottleState, decide
from corral.runtime.clock import Clock

log = logging.getLogger("corral.worker.throttle")

_PROC: Final = Path("/proc")


def parse_cpu(stat: str) -> tuple[int, int]:
    """(busy, total) ticks of all CPUs from /proc/stat; waiting for a disk counts as idle."""
    fields = [int(word) for word in stat.split("\n", 1)[0].split()[1:9]]
    total = sum(fields)
    return total - fields[3] - fields[4], total


def parse_load(loadavg: str) -> float:
    """The one-minute load average from /proc/loadavg."""
    return float(loadavg.split()[0])


class Throttle:
    name = "worker/throttle"

    def __init__(
        self, settings: AgentSettings, clock: Clock, apply: Callable[[float], None], *, proc: Path = _PROC
    ) -> None:
        self._clock = clock
        self._seconds = settings.sample_seconds
        self._apply = apply
        self._proc = proc
        self._policy = ThrottlePolicy(
            cpu_high_percent=settings.cpu_high_percent,
            cpu_low_percent=settings.cpu_low_percent,
            load_high_factor=settings.load_high_factor,
            load_low_factor=settings.load_low_factor,
            min_factor=settings.min_factor,
            factor_step=settings.factor_step,
            cooldown_seconds=settings.cooldown_seconds,
        )
        self._last: tuple[int, int] | None = None
        self.state = ThrottleState()

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        while True:
            self.look()
            await self._clock.sleep(self._seconds)

    def look(self) -> None:
        """Take one sample and act on it; a machine that does not say is left alone."""
        try:
            now = parse_cpu((self._proc / "stat").read_text())
            load = parse_load((self._proc / "loadavg").read_text())
        except (OSError, ValueError, IndexError):
            return
        last, self._last = self._last, now
        if last is None or now[1] <= last[1]:
            return
        sample = ThrottleSample(
            cpu_percent=100.0 * (now[0] - last[0]) / (now[1] - last[1]), load_per_cpu=load / (os.cpu_count() or 1)
        )
        state = decide(self._policy, sample, self.state, self._clock.monotonic())
        if state is not self.state:
            self.state = state
            log.info(
                "throttle factor is %g now: %s",
                state.factor,
                state.reason,
                extra={"action": "throttle", "factor": state.factor},
            )
            self._apply(state.factor)

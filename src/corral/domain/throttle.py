"""Adaptive throttle: how much of its slots and bandwidth a node may use while its machine is busy (OJA-13).

Above either high mark the factor falls by one step, below both low marks it rises by one step, in between it stays; after a
change it rests for the cooldown, so that one busy minute does not make it swing. It never leaves [min_factor, 1].
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class ThrottlePolicy:
    """Marks in percent of all CPUs, and in load average per CPU."""

    cpu_high_percent: float = 75.0
    cpu_low_percent: float = 55.0
    load_high_factor: float = 1.2
    load_low_factor: float = 0.8
    min_factor: float = 0.3
    factor_step: float = 0.1
    cooldown_seconds: float = 15.0


@dataclass(frozen=True, kw_only=True)
class ThrottleSample:
    cpu_percent: float
    load_per_cpu: float


@dataclass(frozen=True, kw_only=True)
class ThrottleState:
    """`changed_at` is monotonic time; None = never changed, so the first change needs no rest."""

    factor: float = 1.0
    changed_at: float | None = None
    reason: str = ""


def decide(policy: ThrottlePolicy, sample: ThrottleSample, state: ThrottleState, now: float) -> ThrottleState:
    """The next state; the same object when nothing changes."""
    if state.changed_at is not None and now - state.changed_at < policy.cooldown_seconds:
        return state
    if sample.cpu_percent > policy.cpu_high_percent:
        step, reason = -policy.factor_step, f"cpu {sample.cpu_percent:.0f} % > {policy.cpu_high_percent:g} %"
    elif sample.load_per_cpu > policy.load_high_factor:
        step, reason = -policy.factor_step, f"load {sample.load_per_cpu:.2f} per cpu > {policy.load_high_factor:g}"
    elif sample.cpu_percent < policy.cpu_low_percent and sample.load_per_cpu < policy.load_low_factor:
        step, reason = policy.factor_step, "the machine is quiet again"
    else:
        return state
    factor = round(min(1.0, max(policy.min_factor, state.factor + step)), 6)
    if factor == state.factor:
        return state
    return replace(state, factor=factor, changed_at=now, reason=reason)


def slots_allowed(slots: int, cap: int, factor: float) -> int:
    """Tasks that may run at once: never none, never above the cap."""
    return max(1, int(min(slots, cap) * factor + 1e-9))


def bandwidth_allowed(limit_bytes_per_second: int, floor_bytes_per_second: int, factor: float) -> int:
    """Bytes per second; 0 = unlimited stays unlimited, and a limit is never throttled below the floor (or itself)."""
    if limit_bytes_per_second <= 0:
        return 0
    return max(min(limit_bytes_per_second, floor_bytes_per_second), int(limit_bytes_per_second * factor))

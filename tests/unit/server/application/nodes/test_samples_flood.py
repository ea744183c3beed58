"""Metrics in memory stay bounded; floods are noticed, bursts are not."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from corral.runtime.lifecycle import TaskSet
from corral.server.application.nodes.flood import FloodGuard
from corral.server.application.nodes.quarantine import Quarantine
from corral.server.application.nodes.samples import NAMES_MAX, SAMPLES_MAX, Samples
from corral.testing.clock import FakeClock


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abcdef"), st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**9)
        ),
        max_size=20,
    )
)
def test_samples_come_back_as_they_went_in(given_values: list[dict[str, float]]) -> None:
    samples = Samples()
    for at, values in enumerate(given_values):
        samples.add("a", float(at), values)
    assert [(sample.at, dict(sample.values)) for sample in samples.read("a")] == [
        (float(at), values) for at, values in enumerate(given_values)
    ]


def test_only_the_last_hour_and_only_so_many_are_kept() -> None:
    samples = Samples()
    for at in range(0, 7200, 60):
        samples.add("a", float(at), {"x": at})
    assert [sample.at for sample in samples.read("a")] == [float(at) for at in range(3540, 7200, 60)]
    for at in range(2000):
        samples.add("b", at / 10, {f"n{at}": at})
    kept = samples.read("b")
    assert len(kept) == SAMPLES_MAX
    assert len({name for sample in kept for name in sample.values}) <= NAMES_MAX
    samples.forget("a")
    assert samples.read("a") == [] and samples.latest("a") is None


def test_what_is_no_number_is_dropped() -> None:
    samples = Samples()
    odd: dict[str, Any] = {
        "ok": 1,
        "nan": math.nan,
        "inf": math.inf,
        "text": "5",
        "bool": True,
        "huge": 10**400,
        "none": None,
    }
    samples.add("a", 1.0, odd)
    assert samples.latest("a") == samples.read("a")[0]
    assert samples.read("a")[0].values == {"ok": 1.0}


async def test_three_seconds_over_the_limit_are_a_flood_and_two_are_not() -> None:
    clock = FakeClock()
    guard = FloodGuard(clock, {"beat": 0.1})
    said: list[tuple[str, str]] = []
    for second in range(6):
        said += guard.count("beat", {"loud": 50, "burst": 500 if second < 2 else 1, "calm": 1})
        await clock.advance(1)
    assert {node for node, _ in said} == {"loud"}
    assert "50 beat messages a second, over the limit of 10" in said[0][1]


async def test_a_long_gap_between_looks_is_no_flood() -> None:
    clock = FakeClock()
    guard = FloodGuard(clock, {"metrics": 0.5})
    said = guard.count("metrics", {"a": 60})
    await clock.advance(60)
    said += guard.count("metrics", {"a": 1})
    await clock.advance(1)
    assert said + guard.count("metrics", {}) == []


async def test_a_flooding_node_is_revoked_with_the_reason_shown(room: Any, machine: Any) -> None:
    loud = machine("loud")
    await room.join(loud)
    room.bus.link(loud.daemon_key, "loud")
    quarantine = Quarantine(removal=room.removal, clock=room.clock, expected={"report": 1.0})
    tasks = TaskSet("test")
    tasks.start(quarantine.run(lambda: None), name="quarantine")
    count = quarantine.counter("report")
    for _ in range(5):
        count({"loud": 1000, "stranger": 1000})
        await room.clock.advance(1)
    await tasks.close()
    node = room.fleet.get("loud")
    assert node.revoked
    assert node.revoked_reason == "quarantined: flooding: 1000 report messages a second, over the limit of 10"
    assert not await room.bus.accounts.connected_keys()

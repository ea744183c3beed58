"""F6: a bad network between nodes and engine: half-open, one-way, flapping, late and jittery, 64 kbit/s.

Expected: no task lost or run twice, every command's output whole; a silent network shows as offline within three beats (nodes beat
once a second here), and nothing is called lost before `jobs.lost_after`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.proxy import FaultProxy, Shape
from corral.testing.stack import Stack

BEAT_SECONDS = 1.0
POLL_SECONDS = 1.0
"""The server looks for beats once a second."""
SLOW_BYTES_PER_SECOND = 64_000 / 8

Episode = Callable[[FaultProxy, Field, float], Awaitable[None]]


async def half_open(proxy: FaultProxy, field: Field, seconds: float) -> None:
    """Nothing passes, then all of it arrives."""
    proxy.hold()
    await field.clock.sleep(seconds)


async def half_open_and_cut(proxy: FaultProxy, field: Field, seconds: float) -> None:
    """Nothing passes, and what was under way never arrives."""
    proxy.hold()
    await field.clock.sleep(seconds)
    proxy.reset()


async def deaf(proxy: FaultProxy, field: Field, seconds: float) -> None:
    """Nodes are heard and hear nothing."""
    proxy.hold(up=False, down=True)
    await field.clock.sleep(seconds)


async def mute(proxy: FaultProxy, field: Field, seconds: float) -> None:
    """Nodes hear and are not heard."""
    proxy.hold(up=True, down=False)
    await field.clock.sleep(seconds)


async def some_cut(proxy: FaultProxy, field: Field, seconds: float) -> None:
    """A third of the nodes is cut off and cannot come back for a while."""
    for conversation in proxy.conversations[::3]:
        conversation.reset()
    proxy.refusing = True
    await field.clock.sleep(seconds)


async def flapping(proxy: FaultProxy, field: Field, seconds: float) -> None:
    """Up and down again, once a second."""
    for _ in range(max(1, round(seconds))):
        proxy.refusing = True
        proxy.reset()
        await field.clock.sleep(0.5)
        proxy.refusing = False
        await field.clock.sleep(0.5)


async def late(proxy: FaultProxy, field: Field, seconds: float) -> None:
    """200 ± 150 ms each way."""
    shape = Shape(delay_seconds=0.2, jitter_seconds=0.15)
    proxy.shape(up=shape, down=shape)
    await field.clock.sleep(seconds)


async def slow(proxy: FaultProxy, field: Field, seconds: float) -> None:
    """64 kbit/s for each node, each way."""
    shape = Shape(bytes_per_second=SLOW_BYTES_PER_SECOND)
    proxy.shape(up=shape, down=shape)
    await field.clock.sleep(seconds)


EPISODES: tuple[Episode, ...] = (half_open, half_open_and_cut, deaf, mute, some_cut, flapping, late, slow)


@contextlib.asynccontextmanager
async def networked(ground: Ground, nodes: int) -> AsyncGenerator[tuple[Field, FaultProxy], None]:
    """A field whose nodes reach the engine through a proxy."""
    async with contextlib.AsyncExitStack() as end:
        proxies: list[FaultProxy] = []

        async def through(stack: Stack) -> str:
            proxy = FaultProxy("127.0.0.1", stack.engine_port, seed=ground.rng.randrange(2**31))
            proxies.append(await end.enter_async_context(proxy))
            return f"nats://127.0.0.1:{proxy.port}"

        field = await end.enter_async_context(
            ground.field(
                nodes,
                processes=1,
                flags=["--beat-seconds", str(BEAT_SECONDS)],
                env={"CORRAL__NODES__BEAT_SECONDS": str(BEAT_SECONDS)},
                through=through,
            )
        )
        yield field, proxies[0]


async def run(ground: Ground) -> Outcome:
    episodes, nodes, longest = ground.pick(8, 50), ground.pick(12, 40), ground.pick(2, 8)
    seconds: dict[str, float] = {}
    async with networked(ground, nodes) as (field, proxy):
        silent = await silence(field, proxy)
        async with field.load(every=0.4, seconds=0.5, lines=50):
            for number in range(episodes):
                episode = EPISODES[number % len(EPISODES)]
                length = 1.0 + ground.rng.random() * longest
                seconds[episode.__name__] = round(seconds.get(episode.__name__, 0.0) + length, 1)
                try:
                    await episode(proxy, field, length)
                finally:
                    proxy.heal()
                await ground.clock.sleep(0.3)
        judged = await field.judge(quiet_seconds=120)
        connections = proxy.connections
    problems = list(judged.problems)
    if silent is None or silent > 3 * BEAT_SECONDS + POLL_SECONDS + 0.5:
        problems.append(f"silence was seen after {silent} s, beats are {BEAT_SECONDS:g} s apart")
    odd = {state: count for state, count in judged.counts.items() if state not in ("succeeded", "executed")}
    if odd:
        problems.append(f"a bad network changed outcomes: {odd}")
    figures: Mapping[str, Any] = {
        "tasks": judged.counts,
        "seconds": seconds,
        "silence_seen_s": None if silent is None else round(silent, 2),
        "connections": connections,
        "nodes": nodes,
    }
    return Outcome(ran=episodes, problems=problems, figures=figures)


async def silence(field: Field, proxy: FaultProxy) -> float | None:
    """Two nodes fall silent with their connections up: how long until both show as offline. They come back at the end."""

    async def count(selector: str) -> int:
        return len((await field.fleet.call("POST", "/nodes/resolve", {"selector": selector}))["nodes"])

    there = await count("online")
    for conversation in proxy.conversations[:2]:
        conversation.hold()

    async def gone() -> bool:
        return await count("online") == there - 2

    took = await field.eventually(gone, seconds=30, every=0.05)
    proxy.heal()

    async def back() -> bool:
        return await count("online") == there

    await field.eventually(back, seconds=30)
    return took


FAULT = Fault(name="F6", title="bad network", asked="50 episodes", run=run)

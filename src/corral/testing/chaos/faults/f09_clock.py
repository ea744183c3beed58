"""F9: wrong clocks: the server's an hour back, a day ahead, ten years ahead; nodes' the same, and five minutes apart.

Expected: tasks run whatever the clocks say, durations are those of the monotonic clock, a node whose clock is wrong is shown as such,
expiry goes by the server's time, and credentials signed meanwhile work.
"""

from __future__ import annotations

from typing import Any, Final

from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Fault, Ground, Outcome

HOUR: Final = 3600.0
DAY: Final = 86400.0
OFFSETS: Final = (-HOUR, DAY, 10 * 365 * DAY, -300.0, 300.0)
TASK_SECONDS: Final = 0.5
SLACK_SECONDS: Final = 1.5


async def run(ground: Ground) -> Outcome:
    rounds, each = ground.pick(1, 4), ground.pick(3, len(OFFSETS))
    problems: list[str] = []
    skews: dict[str, float] = {}
    steps = 0
    async with ground.field(4, processes=1, flags=["--beat-seconds", "1"], env=_beats()) as field:
        for _ in range(rounds):
            for offset in ground.rng.sample(OFFSETS, each):
                # nodes wrong, server right
                await _nodes_at(field, offset)
                problems += await _good_work(field, f"nodes at {offset:+g} s")
                skews[f"{offset:+g}"] = await _skew_shown(field, offset, problems)
                steps += 1
            for offset in ground.rng.sample(OFFSETS, each):
                # server stepped while nodes keep running with what they learnt from it before
                await field.stack.stop_server()
                await field.stack.start_server(env={**_beats(), "CORRAL_CLOCK_OFFSET": str(offset)})
                await field.stack.online(4, selector=f"{field.prefix}-* and online")
                problems += await _good_work(field, f"server at {offset:+g} s")
                steps += 1
            await field.stack.stop_server()
            await field.stack.start_server(env=_beats())
            await field.stack.online(4, selector=f"{field.prefix}-* and online")
            problems += await _good_work(field, "the server right again")
        problems += await _expiry(field, full=ground.scale == "full")
        judged = await field.judge(outputs=False)
    problems += judged.problems
    return Outcome(
        ran=steps, problems=problems, figures={"steps": steps, "skew_shown_s": skews, "tasks": judged.counts}
    )


def _beats() -> dict[str, str]:
    return {"CORRAL__NODES__BEAT_SECONDS": "1"}


async def _nodes_at(field: Field, offset: float) -> None:
    for number, host in enumerate(field.stack.hosts):
        if host.returncode is None:
            host.kill()
        await host.wait()
        field.stack.hosts[number] = await field.stack.start_host(number, env={"CORRAL_CLOCK_OFFSET": str(offset)})
    await field.stack.online(4, selector=f"{field.prefix}-* and online")


async def _good_work(field: Field, when: str) -> list[str]:
    """A job on every node succeeds, and its times make sense; a retry and a cancel do too."""
    job = await field.submit(TASK_SECONDS, lines=2, expires=60, timeout=30)
    if job is None:
        return [f"{when}: no answer to a submission"]

    async def over() -> bool:
        return not (await field.fleet.jobs.get(job)).open

    if await field.eventually(over, seconds=15) is None:
        found = await field.fleet.jobs.get(job)
        return [f"{when}: not over after 15 s: {[(task.node, task.state, task.reason) for task in found.tasks]}"]
    found = await field.fleet.jobs.get(job)
    problems: list[str] = []
    for task in found.tasks:
        if task.state != "succeeded":
            problems.append(f"{when}: {task.node} {task.state} {task.reason} {task.detail}")
        elif task.seconds is None or not TASK_SECONDS - 0.05 <= task.seconds <= TASK_SECONDS + SLACK_SECONDS:
            problems.append(f"{when}: {task.node} ran {TASK_SECONDS:g} s and shows {task.seconds}")
    return problems


async def _skew_shown(field: Field, offset: float, problems: list[str]) -> float:
    found: dict[str, Any] = {}

    async def shown() -> bool:
        found.update(await field.fleet.call("GET", f"/nodes/{field.prefix}-00001"))
        return abs(float((found.get("vitals") or {}).get("skew_seconds", 0.0)) - offset) < 5

    if await field.eventually(shown, seconds=10) is None:
        problems.append(f"skew of {offset:+g} s is shown as {(found.get('vitals') or {}).get('skew_seconds')}")
    return float((found.get("vitals") or {}).get("skew_seconds", 0.0))


async def _expiry(field: Field, *, full: bool) -> list[str]:
    """Work that waits for its node expires by the server's clock, and a node that thinks it is last year does not run it."""
    for host in field.stack.hosts:
        host.kill()
        await host.wait()
    before = len(field.log.read_text().splitlines())
    job = await field.submit(0, lines=1, expires=2)
    await field.clock.sleep(4)
    await _nodes_at(field, -365 * DAY)
    await field.clock.sleep(2)
    ran = len(field.log.read_text().splitlines()) - before
    if ran:
        return [f"{ran} tasks ran after their deadline on a node with a slow clock"]

    async def expired() -> bool:
        return all(task.state == "expired" for task in (await field.fleet.jobs.get(job or "")).tasks)

    if full and await field.eventually(expired, seconds=45) is None:
        return [f"did not expire: {[task.state for task in (await field.fleet.jobs.get(job or '')).tasks]}"]
    return []


FAULT = Fault(name="F9", title="wrong clocks", asked="10 steps each", run=run)

"""T14: every message a node ever heard, said again and again: at once, after a restart, with wrong clocks, a day later.

Expected: nothing starts a second time and no outcome changes.
"""

from __future__ import annotations

from typing import Final

from corral.testing.chaos.brokered import brokered
from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Fault, Ground, Outcome

_LATE_SECONDS: Final = 25 * 3600.0


async def run(ground: Ground) -> Outcome:
    jobs, times = ground.pick(10, 100), ground.pick(100, 100)
    replayed = 0
    async with brokered(ground, 3) as (field, proxy):
        for number in range(jobs):
            await field.submit(field.rng.random() * 0.2, lines=2)
            if number % 5 == 4:
                job = await field.submit(30, lines=1)
                if job is not None:
                    await ground.clock.sleep(0.3)
                    await field.fleet.jobs.cancel(job)
        await field.quiet(seconds=30)
        captured = [frame for frame in proxy.seen if frame.down_kind and frame.payload]
        before = sorted(field.log.read_text().splitlines())
        states = {key: task.state for key, task in (await field.judge(outputs=False)).tasks.items()}

        async def again(count: int) -> None:
            nonlocal replayed
            for _ in range(count):
                for frame in captured:
                    replayed += proxy.inject(frame.subject, frame.payload)
                await ground.clock.sleep(0.01)

        await again(times)
        # after a restart of the nodes, the journals being all they remember
        await _restart_hosts(field, {})
        await again(times // 4)
        # by a node whose clock is a day and an hour ahead, and one whose clock is a year behind
        for offset in (_LATE_SECONDS, -365 * 86400.0):
            await _restart_hosts(field, {"CORRAL_CLOCK_OFFSET": str(offset)})
            await again(times // 4)
        # and by a server a day and an hour ahead: what nodes remembered of these tasks may be pruned
        await field.stack.stop_server()
        await field.stack.start_server(env={"CORRAL_CLOCK_OFFSET": str(_LATE_SECONDS)})
        await _restart_hosts(field, {})
        await ground.clock.sleep(1)
        await again(times // 4)
        await ground.clock.sleep(1)
        after = sorted(field.log.read_text().splitlines())
        judged = await field.judge(outputs=False)
    problems = list(judged.problems)
    if after != before:
        problems.append(f"replays ran {len(after) - len(before)} commands")
    moved = {key: (was, judged.tasks[key].state) for key, was in states.items() if judged.tasks[key].state != was}
    if moved:
        problems.append(f"replays changed outcomes: {list(moved.items())[:3]}")
    if not captured or replayed < len(captured) * times:
        problems.append(f"only {replayed} replays of {len(captured)} messages")
    return Outcome(
        ran=replayed,
        problems=problems,
        figures={"captured": len(captured), "replayed": replayed, "executed": len(after), "tasks": judged.counts},
    )


async def _restart_hosts(field: Field, env: dict[str, str]) -> None:
    for number, host in enumerate(field.stack.hosts):
        host.kill()
        await host.wait()
        field.stack.hosts[number] = await field.stack.start_host(number, env=env)
    await field.stack.online(3, selector=f"{field.prefix}-* and online")


FAULT = Fault(name="T14", title="every message again", asked="100 x each, restart, clock", run=run)

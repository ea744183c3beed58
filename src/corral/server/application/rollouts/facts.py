"""The facts a decision needs, read from the jobs of a rollout and the presence of its nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from corral.domain.rollout_facts import Facts, JobFact, ProbeFact, TaskFact
from corral.domain.rollout_state import Direction, Rollout, RolloutState, gate_operation, operation
from corral.runtime.clock import Clock
from corral.server.application.ports.fleet import Fleet
from corral.server.application.ports.rollouts import StageJob, StageJobs

REREAD_SECONDS: Final = 2.0
"""A job's version says when its counts changed; a late result changes a task and no count."""


class FactReader:
    def __init__(self, *, jobs: StageJobs, fleet: Fleet, clock: Clock) -> None:
        self._jobs = jobs
        self._fleet = fleet
        self._clock = clock
        self._tasks: dict[str, tuple[int, float, Mapping[str, TaskFact]]] = {}

    async def read(
        self, rollout: Rollout, *, probes: Mapping[tuple[int, int, int], ProbeFact], settling: bool, fresh: bool = False
    ) -> Facts:
        """`fresh`: nothing that was read before is used again."""
        online = self._fleet.online(rollout.nodes)
        resting = is_resting(rollout)
        jobs = {}
        for name, job in (await self._jobs.named(names(rollout))).items():
            jobs[name] = _fact(job, {} if resting else await self._of(job, fresh=fresh), online)
        offline = frozenset(node for node in rollout.nodes if node not in online)
        return Facts(jobs=jobs, probes=probes, offline=offline, settling=settling)

    async def jobs(self, rollout: Rollout) -> dict[str, JobFact]:
        """All its jobs with their tasks, read anew: for people who ask."""
        online = self._fleet.online(rollout.nodes)
        found = await self._jobs.named(names(rollout))
        return {name: _fact(job, await self._jobs.tasks(job.id), online) for name, job in found.items()}

    async def _of(self, job: StageJob, *, fresh: bool) -> Mapping[str, TaskFact]:
        now = self._clock.monotonic()
        kept = self._tasks.get(job.id)
        if not fresh and kept is not None and kept[0] == job.resource_version and now - kept[1] < REREAD_SECONDS:
            return kept[2]
        tasks = await self._jobs.tasks(job.id)
        self._tasks[job.id] = (job.resource_version, now, tasks)
        return tasks

    def forget(self, jobs: frozenset[str]) -> None:
        """Keep what was read of these only."""
        self._tasks = {job: kept for job, kept in self._tasks.items() if job in jobs}


def _fact(job: StageJob, tasks: Mapping[str, TaskFact], online: frozenset[str]) -> JobFact:
    here = {node: task if node in online else replace(task, online=False) for node, task in tasks.items()}
    return JobFact(id=job.id, created_at=job.created_at, tasks=here, awaiting=job.awaiting, approved_at=job.approved_at)


def is_resting(rollout: Rollout) -> bool:
    """Paused, with nothing out: only that a job exists can matter, not how its tasks are."""
    if rollout.state is not RolloutState.PAUSED or any(stage.cut for stage in rollout.stages):
        return False
    return not any(stage.job is not None and stage.ended_at is None for stage in rollout.stages)


def names(rollout: Rollout) -> list[str]:
    """All names under which a job of the rollout can exist by now."""
    out = []
    for index, stage in enumerate(rollout.stages[: rollout.current + 1]):
        out.append(operation(rollout.id, Direction.FORWARD, index))
        for number, gate in enumerate(rollout.settings.gates):
            if gate.probe is not None:
                out += [gate_operation(rollout.id, index, number, round + 1) for round in range(stage.round)]
    out += [operation(rollout.id, Direction.BACK, index) for index in range(len(rollout.back))]
    return out


def job_ids(rollout: Rollout) -> frozenset[str]:
    return frozenset(stage.job for stage in (*rollout.stages, *rollout.back) if stage.job is not None)

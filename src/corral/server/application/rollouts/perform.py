"""Doing what was decided: jobs submitted under the name of their stage, tasks cancelled. Every step may be done twice.

A job is committed only while the rollout is as it was when the decision was made and this server still leads (Fence), so neither a
pause nor a new leader is overtaken; and under a name that only one job can have, so a crash before it is recorded changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from corral.domain import kinds
from corral.domain.access import Grant, words
from corral.domain.errors import Conflict, WrongState
from corral.domain.job import JobSpec, TaskSpec, pinned_hash
from corral.domain.rollout_actions import Cancel, Start, StartGate
from corral.domain.rollout_state import Direction, Rollout, gate_operation, operation
from corral.runtime import failpoint
from corral.server.application.jobs.cancel import Cancellation
from corral.server.application.jobs.submit import Pinned, Submission
from corral.server.application.ports.access import BACK_KIND, GATE_KIND, STAGE_KIND, Caller
from corral.server.application.ports.jobs import Fence
from corral.server.application.ports.rollouts import Change, RolloutStore
from corral.server.application.rollouts.asking import covered

BACK_EXPIRES_SECONDS: Final = 7 * 86400.0
"""An offline node goes back when it connects, within that time."""


GrantsOf = Callable[[str], Awaitable[Sequence[Grant]]]


class Performer:
    def __init__(
        self,
        *,
        store: RolloutStore,
        submission: Submission,
        cancellation: Cancellation,
        grants_of: GrantsOf | None = None,
    ) -> None:
        self._grants_of = grants_of
        self._store = store
        self._submission = submission
        self._cancellation = cancellation

    async def start(self, rollout: Rollout, action: Start, token: int) -> None:
        """Raises Conflict (retryable) when the fence does not hold, other errors when this can never be submitted."""
        changes = await self._store.changes(rollout.id)
        back = action.direction is Direction.BACK
        change = changes.back if back else changes.forward
        if change is None:
            raise WrongState(
                f"cannot roll back rollout {rollout.id!r}: nothing is known that undoes it", element="rollout"
            )
        if pinned_hash(rollout.nodes) != rollout.pinned:
            raise Conflict(
                f"cannot start a stage of rollout {rollout.id!r}: its nodes are not the set that was pinned",
                element="pinned",
            )
        name = f"{rollout.id}/{'back' if back else 'stage'}-{action.index + 1}"
        expires = BACK_EXPIRES_SECONDS if back else rollout.settings.stage_deadline_seconds
        await self._submit(
            rollout,
            change,
            # What was is let back whatever became of its creator: whoever asks for it may steer it.
            caller=replace(_driver_of(rollout), kind=BACK_KIND) if back else await self._creator(rollout),
            nodes=action.nodes,
            name=name,
            operation=operation(rollout.id, action.direction, action.index),
            expires_seconds=expires,
            token=token,
            covers="" if back else covered(changes, rollout.settings.gates),
        )

    async def start_gate(self, rollout: Rollout, action: StartGate, token: int) -> None:
        """The probe of a command gate, on those nodes of the stage that succeeded."""
        spec = rollout.settings.gates[action.gate].probe
        assert spec is not None
        await self._submit(
            rollout,
            Change(spec=spec),
            caller=replace(await self._creator(rollout), kind=GATE_KIND),
            nodes=action.nodes,
            name=f"{rollout.id}/stage-{action.index + 1}/gate-{action.gate + 1}",
            operation=gate_operation(rollout.id, action.index, action.gate, action.round),
            expires_seconds=rollout.settings.stage_deadline_seconds,
            token=token,
        )

    async def cancel(self, rollout: Rollout, action: Cancel) -> None:
        try:
            await self._cancellation.cancel(_driver_of(rollout), action.job, action.nodes)
        except WrongState:
            return  # it ended meanwhile

    async def _creator(self, rollout: Rollout) -> Caller:
        """Who created it, with what he may do now: a stage does not start for somebody who lost his grants since."""
        owner = rollout.settings.owner
        if not owner:
            return _driver_of(rollout)
        grants = () if self._grants_of is None else await self._grants_of(owner)
        return replace(_driver_of(rollout), permissions=words(grants), grants=tuple(grants))

    async def _submit(
        self,
        rollout: Rollout,
        change: Change,
        *,
        caller: Caller,
        nodes: tuple[str, ...],
        name: str,
        operation: str,
        expires_seconds: float,
        token: int,
        covers: str = "",
    ) -> None:
        spec: TaskSpec = change.spec
        await self._submission.submit(
            caller,
            JobSpec(
                target=rollout.target,
                command=spec,
                kind=kinds.kind_name(spec),
                name=name,
                concurrency=change.concurrency,
                expires_seconds=expires_seconds,
                retries=change.retries,
            ),
            operation,
            pinned=Pinned(
                nodes=nodes,
                hash=pinned_hash(nodes),
                fence=Fence(token=token, rollout=rollout.id, version=rollout.resource_version),
                covers=covers,
            ),
        )
        failpoint.hit("stage_submitted")


def _driver_of(rollout: Rollout) -> Caller:
    """In the name of who created it; what that person may do was checked then."""
    return Caller(name=rollout.created_by, kind=STAGE_KIND, user=rollout.settings.owner)

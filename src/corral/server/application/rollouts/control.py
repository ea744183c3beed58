"""Steering: what people ask of a rollout, written over the version they met. The driver sees it in its next round.

Safe against the driver and each other: a write over an older version is refused and done again on what is there now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from corral.domain import kinds
from corral.domain import rollout_control as asked
from corral.domain.errors import Conflict
from corral.domain.ids import check_object_id
from corral.domain.job import CommandSpec, JobSpec
from corral.domain.rollout_state import Rollout
from corral.runtime.clock import Clock
from corral.server.application.jobs.allowed import check_allowed
from corral.server.application.ports.access import Caller
from corral.server.application.ports.rollouts import Change, RolloutStore
from corral.server.application.rollouts.asking import SecondPerson
from corral.server.application.rollouts.sight import WRITE, RolloutSight

_TRIES: Final = 20


class Steering:
    """Use case; each verb may be asked twice. Raises NotFound, and WrongState or Invalid with the way out."""

    def __init__(
        self,
        *,
        store: RolloutStore,
        clock: Clock,
        wake: Callable[[], None] = lambda: None,
        sight: RolloutSight | None = None,
        second: SecondPerson | None = None,
    ) -> None:
        self._second = second or SecondPerson()
        self._sight = sight or RolloutSight()
        self._store = store
        self._clock = clock
        self._wake = wake

    async def pause(self, caller: Caller, rollout: str) -> Rollout:
        return await self._ask(caller, rollout, "pause", asked.pause)

    async def resume(self, caller: Caller, rollout: str) -> Rollout:
        return await self._ask(caller, rollout, "resume", asked.resume)

    async def advance(self, caller: Caller, rollout: str) -> Rollout:
        return await self._ask(caller, rollout, "advance", asked.advance)

    async def abort(self, caller: Caller, rollout: str) -> Rollout:
        def abort(found: Rollout, now: datetime) -> Rollout:
            return asked.abort(found, now, reason=f"aborted by {caller.name}")

        return await self._ask(caller, rollout, "abort", abort)

    async def roll_back(self, caller: Caller, rollout: str, command: CommandSpec | None = None) -> Rollout:
        """`command` undoes the change on each node, instead of what was known to undo it."""
        back = None
        if command is not None:
            kinds.check_job(JobSpec(target="all", command=command))
            check_allowed(caller, command)
            await self._second.check_way_back(caller, command, (await self._store.get(rollout)).nodes)
            back = Change(spec=command)

        def roll_back(found: Rollout, now: datetime) -> Rollout:
            if back is not None:
                found = replace(found, settings=replace(found.settings, can_roll_back=True))
            return asked.roll_back(found, now, reason=f"asked for by {caller.name}")

        return await self._ask(caller, rollout, "roll back", roll_back, back)

    async def _ask(
        self,
        caller: Caller,
        rollout: str,
        doing: str,
        verb: Callable[[Rollout, datetime], Rollout],
        back: Change | None = None,
    ) -> Rollout:
        check_object_id(rollout, "R", element="rollout")
        # What undoes it was allowed to whoever created it; a command that somebody brings now must be allowed to him.
        words = (WRITE,) if back is None else (WRITE, *kinds.needed(back.spec))
        for left in range(_TRIES, 0, -1):
            found = await self._store.get(rollout)
            self._sight.require(caller, found, words, doing)
            new = verb(found, self._clock.now())
            if new.state is found.state and (new is found or new == replace(found, settings=new.settings)):
                return found
            try:
                saved = await self._store.save(new, back=back)
            except Conflict:
                if left == 1:
                    raise
                continue
            self._wake()
            return saved
        raise AssertionError("unreachable")

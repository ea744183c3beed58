"""The driver: the lease holder's loop that takes every rollout as far as it can go now, step by step.

Each step: read the facts, decide (domain/rollout.py), do what was decided, record it over the version the decision was made on,
with the lease's fencing token. It may be killed anywhere: the next leader reads the same facts and goes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from corral.domain.errors import Conflict, CorralError, Unavailable
from corral.domain.rollout import decide
from corral.domain.rollout_actions import Action, Cancel, Finish, Probe, Start, StartGate, apply
from corral.domain.rollout_facts import ProbeFact
from corral.domain.rollout_state import TERMINAL, Rollout, RolloutState
from corral.runtime import failpoint
from corral.runtime.clock import Clock
from corral.runtime.lifecycle import TaskSet
from corral.server.application.leadership import Leadership
from corral.server.application.ports.rollouts import Prober, RolloutStore
from corral.server.application.rollouts.facts import FactReader, job_ids
from corral.server.application.rollouts.perform import Performer

BUSY_SECONDS: Final = 0.25
IDLE_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 15.0
"""How long after this server began to drive nobody is judged by absence: nodes are still coming back to a new engine."""
STEPS_MAX: Final = 200

log = logging.getLogger("corral.rollouts")


class RolloutDriver:
    """Component. `wake()` makes the next round come at once."""

    name = "rollouts"

    def __init__(
        self,
        *,
        store: RolloutStore,
        facts: FactReader,
        performer: Performer,
        prober: Prober,
        leadership: Leadership,
        clock: Clock,
    ) -> None:
        self._store = store
        self._facts = facts
        self._performer = performer
        self._prober = prober
        self._leadership = leadership
        self._clock = clock
        self._known: dict[str, Rollout] = {}
        self._probes: dict[str, dict[tuple[int, int, int], ProbeFact]] = {}
        self._probing: set[tuple[str, int, int, int]] = set()
        self._tasks = TaskSet("rollouts")
        self._woken = asyncio.Event()
        self._driving_since: float | None = None

    def wake(self) -> None:
        self._woken.set()

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        try:
            while True:
                self._woken.clear()
                began = self._clock.monotonic()
                busy = await self.step()
                # A stage of ten thousand nodes takes a while to look at: never more than a tenth of the server's time.
                rest = max(BUSY_SECONDS if busy else IDLE_SECONDS, 10 * (self._clock.monotonic() - began))
                try:
                    async with asyncio.timeout(rest):
                        await self._woken.wait()
                except TimeoutError:
                    pass
        finally:
            await self._tasks.close()

    async def step(self) -> bool:
        """One round over all rollouts, on the leader only; whether one of them is moving. Never fails."""
        token = self._leadership.token
        if not self._leadership.leading or token is None:
            self._driving_since = None
            return False
        if self._driving_since is None:
            self._driving_since = self._clock.monotonic()
        try:
            wanted = await self._store.attention()
        except CorralError as error:
            log.warning("Cannot read rollouts: %s; trying again", error, extra={"action": "rollouts_unread"})
            return False
        self._forget(frozenset(wanted))
        for id_, version in wanted.items():
            await self._take(id_, version, token)
        return any(rollout.state is not RolloutState.PAUSED for rollout in self._known.values())

    async def _take(self, id_: str, version: int, token: int) -> None:
        try:
            rollout = self._known.get(id_)
            if rollout is None or rollout.resource_version != version:
                rollout = self._known[id_] = await self._store.get(id_)
            await self._drive(rollout, token)
        except Conflict as error:
            self._known.pop(id_, None)
            self._woken.set()
            log.info("rollout %s changed meanwhile: %s", id_, error, extra={"action": "rollout_changed"})
        except Unavailable as error:
            log.warning("Cannot drive rollout %s: %s; trying again", id_, error, extra={"action": "rollout_waits"})
        except CorralError as error:
            self._known.pop(id_, None)
            log.error("Cannot drive rollout %s: %s; trying again", id_, error, extra={"action": "rollout_error"})

    async def _drive(self, rollout: Rollout, token: int) -> None:
        """Until there is nothing to do but wait."""
        fresh = False
        for _ in range(STEPS_MAX):
            facts = await self._facts.read(
                rollout, probes=self._probes.get(rollout.id, {}), settling=self._settling(), fresh=fresh
            )
            progress = False
            for action in decide(rollout, facts, self._clock.now()):
                rollout, done = await self._perform(rollout, action, token)
                progress |= done
            if not progress:
                return
            fresh = True
        log.error("Cannot settle rollout %s: it never comes to rest", rollout.id, extra={"action": "rollout_restless"})

    async def _perform(self, rollout: Rollout, action: Action, token: int) -> tuple[Rollout, bool]:
        """The rollout as recorded after it, and whether to look again at once."""
        if isinstance(action, Probe):
            self._ask(rollout, action)
            return rollout, False
        if isinstance(action, Cancel):
            await self._performer.cancel(rollout, action)
            return rollout, False
        if isinstance(action, Start | StartGate):
            try:
                if isinstance(action, Start):
                    await self._performer.start(rollout, action, token)
                else:
                    await self._performer.start_gate(rollout, action, token)
                return rollout, True
            except CorralError as error:
                if error.retryable or isinstance(error, Unavailable):
                    raise
                log.error(
                    "Cannot start a stage of rollout %s: %s", rollout.id, error, extra={"action": "stage_refused"}
                )
                action = Finish(RolloutState.FAILED, error.message)
        recorded = apply(rollout, action, self._clock.now())
        saved = self._known[rollout.id] = await self._store.save(recorded, token=token)
        failpoint.hit("stage_recorded")
        if saved.state is not rollout.state:
            log.info(
                "rollout %s is %s%s",
                saved.id,
                saved.state.value,
                f": {saved.reason}" if saved.reason else "",
                extra={"action": "rollout_moved"},
            )
        return saved, True

    def _settling(self) -> bool:
        since = self._driving_since
        return since is None or self._clock.monotonic() - since < SETTLE_SECONDS

    # ── HTTP gates ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, rollout: Rollout, action: Probe) -> None:
        key = (rollout.id, action.index, action.gate, action.round)
        if key not in self._probing:
            self._probing.add(key)
            self._tasks.start(self._probe(rollout, action, key), name=f"probe {rollout.id}")

    async def _probe(self, rollout: Rollout, action: Probe, key: tuple[str, int, int, int]) -> None:
        try:
            answer = await self._prober.probe(rollout.settings.gates[action.gate])
            self._probes.setdefault(rollout.id, {})[(action.index, action.gate, action.round)] = answer
        finally:
            self._probing.discard(key)
            self._woken.set()

    def _forget(self, wanted: frozenset[str]) -> None:
        """What was known of rollouts that need nothing any more."""
        self._known = {id_: rollout for id_, rollout in self._known.items() if id_ in wanted}
        self._probes = {id_: probes for id_, probes in self._probes.items() if id_ in wanted}
        moving = [r for r in self._known.values() if r.state not in TERMINAL]
        self._facts.forget(frozenset(job for rollout in moving for job in job_ids(rollout)))

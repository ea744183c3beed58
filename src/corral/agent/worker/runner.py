"""Runs attempts: journal, start, follow, end, report. Every attempt starts at most once and ends in exactly one report.

The order is the promise: RECEIVED or STARTING is durable before anything is done, DONE is durable before the report leaves.
A step whose journal write fails did not happen: an attempt that cannot be journalled is not accepted (it comes again), an end
that cannot be journalled is tried again until it can. All of it runs on the loop, without a hop to a thread: a task costs two
small writes and a handful of system calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from corral.agent.worker.attempt import Attempt, Key, OpenSet, Phase
from corral.agent.worker.builtin.host import Host
from corral.agent.worker.closing import Closing, shown
from corral.agent.worker.frame import Frame
from corral.agent.worker.journal import Journal, Row
from corral.agent.worker.outbox import Outbox, new_token
from corral.agent.worker.output import Courier
from corral.agent.worker.slots import Slots
from corral.agent.worker.supervision import Supervision
from corral.domain.task import Reason, TaskState
from corral.runtime import failpoint
from corral.runtime.process import ExitWatch

log = logging.getLogger("corral.worker.runner")

_JOURNAL_AGAIN_SECONDS: Final = 1.0


class Runner:
    def __init__(
        self, frame: Frame, *, journal: Journal, outbox: Outbox, courier: Courier, host: Host, execute: bool
    ) -> None:
        self._frame = frame
        self._journal = journal
        self._outbox = outbox
        self._courier = courier
        self._closing = Closing(
            frame,
            journal=journal,
            outbox=outbox,
            courier=courier,
            on_ended=self._ended,
            on_shipped=self.pump,
        )
        self._supervision = Supervision(
            frame,
            closing=self._closing,
            on_over=self._over,
            announce=lambda attempt: self._say(attempt, TaskState.RUNNING),
            host=host,
            execute=execute,
        )
        self._queue: deque[Attempt] = deque()
        self.stopped = False
        self.slots = Slots(frame.settings)
        self.attempts: dict[Key, Attempt] = {}
        self.open = OpenSet()

    # --- intake -------------------------------------------------------------------------------------------------------

    def accept(self, attempt: Attempt) -> None:
        """Journal `attempt` and start it, or queue it behind the slots. Raises sqlite3.Error: then it was not accepted."""
        now = self._frame.time.now()
        attempt.delivered_at = now
        if self._may_start(attempt) and not self._queue:
            attempt.phase = Phase.STARTING
            attempt.started_at = now
            attempt.started_mono = self._frame.clock.monotonic()
            self._journal.add(self._row(attempt))
            self.attempts[attempt.key] = attempt
            self.open.add(attempt.key)
            self._launch(attempt)
            return
        self._journal.add(self._row(attempt))
        failpoint.hit("after_received")
        self.attempts[attempt.key] = attempt
        self.open.add(attempt.key)
        self._enqueue(attempt)

    def hold(self, attempt: Attempt) -> None:
        """Journal `attempt` as received without queueing it: its spec still has to be fetched. `release` queues it."""
        attempt.delivered_at = self._frame.time.now()
        self._journal.add(self._row(attempt))
        self.restore(attempt)
        self._say(attempt, TaskState.DELIVERED)

    def release(self, attempt: Attempt) -> None:
        if self.attempts.get(attempt.key) is attempt:
            self._enqueue(attempt)
            self.pump()

    def restore(self, attempt: Attempt) -> None:
        """Take back what the journal holds from an earlier run."""
        self.attempts[attempt.key] = attempt
        self.open.add(attempt.key)

    def refuse(self, attempt: Attempt, state: TaskState, reason: Reason, detail: str = "") -> None:
        """An end without a start: rejected, expired, withdrawn. Durable like any other end."""
        if attempt.key in self.attempts:
            self._closing.end(attempt, state, reason, detail=detail)
            return
        token = new_token()
        if attempt.delivered_at is None:
            attempt.delivered_at = self._frame.time.now()
        attempt.finished_at = self._frame.time.now()
        report = attempt.report(token, state, reason, detail=shown(detail))
        self._journal.add(self._row(attempt, Phase.DONE, report))
        self.open.add(attempt.key)
        self._outbox.put(attempt.key, report, token, final=True)

    def _row(self, attempt: Attempt, state: Phase | None = None, report: bytes | None = None) -> Row:
        return Row(
            attempt.job,
            attempt.number,
            state or attempt.phase,
            attempt.not_after,
            attempt.delivered_at,
            attempt.started_at,
            attempt.started_mono,
            self._frame.boot_id,
            attempt.generation,
            attempt.wire,
            report,
        )

    # --- queue --------------------------------------------------------------------------------------------------------

    @property
    def queued(self) -> int:
        return sum(1 for attempt in self.attempts.values() if attempt.phase is Phase.RECEIVED)

    @property
    def running(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts.values() if attempt.phase is Phase.STARTING]

    @property
    def spool_bytes(self) -> int:
        """Output that is not yet with the server."""
        running = sum(a.output.unsent_bytes for a in self.attempts.values() if a.output is not None)
        return running + sum(follower.unsent_bytes for follower in self._closing.shipping.values())

    def _may_start(self, attempt: Attempt) -> bool:
        return self.slots.free and not self._blocked(attempt) and not self._spool_full()

    def _spool_full(self) -> bool:
        settings = self._frame.settings
        if len(self.open) <= self.slots.allowed and not self._closing.shipping:
            return False
        waiting = len(self.open) - len(self.attempts)
        return waiting >= settings.spool_max_reports or self.spool_bytes >= settings.spool_max_bytes

    def _blocked(self, attempt: Attempt) -> bool:
        """An earlier attempt of the same task has to end first."""
        if attempt.number == 1:
            return False
        return any(job == attempt.job and number < attempt.number for job, number in self.attempts)

    def _enqueue(self, attempt: Attempt) -> None:
        self._queue.append(attempt)
        self._say(attempt, TaskState.DELIVERED)

    def pump(self) -> None:
        """Start what may start, oldest first; one that waits for its earlier attempt does not hold up the others."""
        if self.stopped or not self._queue:
            return
        waiting: list[Attempt] = []
        while self._queue and self.slots.free and not self._spool_full():
            attempt = self._queue.popleft()
            if self.attempts.get(attempt.key) is not attempt:
                continue
            if self._blocked(attempt):
                waiting.append(attempt)
            elif self._frame.time.now() > attempt.not_after:
                self._closing.end(
                    attempt, TaskState.EXPIRED, Reason.NOT_DELIVERED, detail="no slot was free before its deadline"
                )
            elif not self._begin(attempt):
                waiting.append(attempt)
                break
        self._queue.extendleft(reversed(waiting))

    def _begin(self, attempt: Attempt) -> bool:
        """Journal the start of a queued attempt and launch it. False when the journal could not be written."""
        started_at, mono = self._frame.time.now(), self._frame.clock.monotonic()
        try:
            self._journal.starting(
                attempt.key,
                started_at=started_at,
                started_mono=mono,
                boot_id=self._frame.boot_id,
                generation=attempt.generation,
            )
        except sqlite3.Error as error:
            log.error(
                "Cannot journal the start of %s.%d: %s; it waits", *attempt.key, error, extra={"action": "journal"}
            )
            self._later(_JOURNAL_AGAIN_SECONDS, self.pump)
            return False
        attempt.phase, attempt.started_at, attempt.started_mono = Phase.STARTING, started_at, mono
        self._launch(attempt)
        return True

    # --- processes and ends -------------------------------------------------------------------------------------------

    def _launch(self, attempt: Attempt) -> None:
        """STARTING is durable: now the process may exist."""
        failpoint.hit("after_starting")
        failpoint.hit("after_starting")
        self.slots.used += 1
        self._supervision.launch(attempt)
        failpoint.hit("after_spawn")

    def adopt(self, attempt: Attempt, watch: ExitWatch) -> None:
        """Follow a process that an earlier run of the worker started; `watch` calls `exited`."""
        self.slots.used += 1
        self.restore(attempt)
        self._supervision.adopt(attempt, watch)
        self._say(attempt, TaskState.RUNNING)

    def resume(self, attempt: Attempt) -> None:
        """Begin a built-in task again that an earlier run of the worker began: its start is in the journal already."""
        self.slots.used += 1
        self.restore(attempt)
        self._supervision.launch(attempt)

    def exited(self, attempt: Attempt, status: int | None) -> None:
        self._supervision.exited(attempt, status)

    def stop(self, attempt: Attempt, ending: str, grace_seconds: float) -> None:
        self._supervision.stop(attempt, ending, grace_seconds)

    def reship(self, attempt: Attempt, report: bytes, token: str, limit: int) -> None:
        self._closing.reship(attempt, report, token, limit)

    def _ended(self, attempt: Attempt) -> None:
        self.attempts.pop(attempt.key, None)

    def _over(
        self,
        attempt: Attempt,
        state: TaskState,
        reason: Reason,
        code: int | None,
        *,
        detail: str = "",
        finished_at: float | None = None,
    ) -> None:
        self.slots.used -= 1
        self._closing.end(attempt, state, reason, code, detail=detail, finished_at=finished_at)
        self.pump()

    def settle(
        self, attempt: Attempt, state: TaskState, reason: Reason, code: int | None, finished_at: float | None
    ) -> None:
        """End what an earlier run started and this run found over."""
        self.restore(attempt)
        if attempt.spec is not None:
            attempt.output = self._closing.follower(attempt, attempt.spec.max_output_bytes)
        self._closing.end(attempt, state, reason, code, finished_at=finished_at)

    def withdraw(self, attempt: Attempt) -> None:
        """Cancel of something that has not started."""
        self._closing.end(attempt, TaskState.CANCELLED, Reason.WITHDRAWN)
        self.pump()

    def cancel(self, job: str, upto: int, grace_seconds: float | None) -> None:
        """Stop or withdraw attempt `upto` of `job` and every earlier one."""
        for attempt in [a for (j, n), a in self.attempts.items() if j == job and n <= upto]:
            if attempt.phase is Phase.RECEIVED:
                self.withdraw(attempt)
            elif attempt.phase is Phase.STARTING and attempt.spec is not None:
                grace = attempt.spec.grace_seconds if grace_seconds is None else grace_seconds
                self.stop(attempt, "cancel", grace)

    def settled(self, key: Key) -> None:
        """The server has the outcome."""
        self.open.discard(key)
        if self._journal.receipted(key):
            with contextlib.suppress(sqlite3.Error):
                self._journal.flush()
        if self._queue:
            self.pump()

    def repeat(self, attempt: Attempt) -> None:
        """The server does not know yet how an open attempt stands: say it."""
        if not self._outbox.again(attempt.key):
            self._say(attempt, TaskState.DELIVERED if attempt.phase is Phase.RECEIVED else TaskState.RUNNING)

    def _say(self, attempt: Attempt, state: TaskState) -> None:
        reason = Reason.SLOT if state is TaskState.DELIVERED else Reason.NONE
        attempt.announced = state is TaskState.RUNNING
        token = new_token()
        self._outbox.put(attempt.key, attempt.report(token, state, reason), token, final=False)

    def _later(self, seconds: float, call: Callable[..., None], *arguments: Any) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, call, *arguments)

    @property
    def finished(self) -> int:
        return self._closing.finished

    def warm_up(self) -> None:
        self._supervision.warm_up()

    def close(self) -> None:
        """Leave running tasks to their wrappers and touch nothing any more."""
        self.stopped = True
        self._supervision.close()
        for attempt in self.attempts.values():
            if attempt.watch is not None:
                attempt.watch.close()
            if attempt.timer is not None:
                attempt.timer.cancel()
        self._closing.close()

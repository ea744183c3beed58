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
import os
import signal
import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from corral.agent.worker.attempt import Attempt, Key, OpenSet, Phase
from corral.agent.worker.cancel import stop_tree
from corral.agent.worker.frame import Frame
from corral.agent.worker.invocation import CannotStart, Preparer, attempt_directory
from corral.agent.worker.journal import Journal, Row
from corral.agent.worker.outbox import Outbox, new_token
from corral.agent.worker.output import Courier, OutputFollower, remove_directory
from corral.agent.worker.slots import Slots
from corral.agent.worker.wrapper import CLAIM_LOST, UNREADY, Launcher, read_status
from corral.domain.task import Reason, TaskState
from corral.runtime.process import ExitWatch

log = logging.getLogger("corral.worker.runner")

_FIRST_LOOK_SECONDS: Final = 0.03
_ANNOUNCE_SECONDS: Final = 0.1
"""A task shorter than this sends one report with all its times; a longer one says `running` now."""
_LOOK_SECONDS: Final = (0.02, 0.04, 0.06, 0.08)
_QUIET_LOOK_SECONDS: Final = 0.2
_QUIET_AFTER_SECONDS: Final = 60.0
_FLUSH_SECONDS: Final = 5.0
_JOURNAL_AGAIN_SECONDS: Final = 1.0
_CLEAN_SECONDS: Final = 0.5
_DETAIL_CHARS: Final = 500


class Runner:
    def __init__(self, frame: Frame, *, journal: Journal, outbox: Outbox, courier: Courier, execute: bool) -> None:
        self._frame = frame
        self._journal = journal
        self._outbox = outbox
        self._courier = courier
        self._execute = execute
        self._preparer = Preparer()
        self._launcher = Launcher(self._preparer.base, warm=execute and frame.settings.warm_wrappers > 0)
        self._queue: deque[Attempt] = deque()
        self._spool = str(frame.state.spool)
        self._litter: list[str] = []
        self.stopped = False
        self._shipping: dict[Key, OutputFollower] = {}
        self.slots = Slots(frame.settings)
        self.attempts: dict[Key, Attempt] = {}
        self.open = OpenSet()
        self.finished = 0

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
            self._end(attempt, state, reason, detail=detail)
            return
        token = new_token()
        if attempt.delivered_at is None:
            attempt.delivered_at = self._frame.time.now()
        attempt.finished_at = self._frame.time.now()
        report = attempt.report(token, state, reason, detail=_shown(detail))
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
        return running + sum(follower.unsent_bytes for follower in self._shipping.values())

    def _may_start(self, attempt: Attempt) -> bool:
        return self.slots.free and not self._blocked(attempt) and not self._spool_full()

    def _spool_full(self) -> bool:
        settings = self._frame.settings
        if len(self.open) <= self.slots.allowed and not self._shipping:
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
                self._end(
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

    # --- the process --------------------------------------------------------------------------------------------------

    def _launch(self, attempt: Attempt) -> None:
        """STARTING is durable: now the process may exist."""
        self.slots.used += 1
        if not self._execute:
            # the simulator without exec: everything but the process
            asyncio.get_running_loop().call_soon(self._end_running, attempt, TaskState.SUCCEEDED, Reason.NONE, 0)
            return
        spec = attempt.spec
        assert spec is not None
        directory = attempt_directory(self._frame.state.spool, attempt.job, attempt.number, attempt.generation)
        attempt.directory = directory
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)
            call = self._preparer.prepare(spec, directory, self._frame.mark(attempt.job, attempt.number))
            watch = self._launcher.launch(call, lambda status: self.exited(attempt, status))
        except CannotStart as error:
            detail = error.message + (f"; {error.hint}" if error.hint else "")
            self._end_running(attempt, TaskState.FAILED, Reason.SPAWN, error.exit_code, detail=detail)
            return
        except (OSError, ValueError) as error:
            self._end_running(
                attempt, TaskState.FAILED, Reason.SPAWN, None, detail=f"cannot start the command: {error}"
            )
            return
        self._launcher.warm_up_later(self._later)
        self.follow(attempt, watch.pid)
        attempt.watch = watch

    def follow(self, attempt: Attempt, pid: int) -> None:
        """From here on output, time limit and announcement are looked after. Also for an adopted process."""
        assert attempt.spec is not None
        attempt.pid = pid
        attempt.output = self._follower(attempt, attempt.spec.max_output_bytes)
        attempt.timer = self._later(_FIRST_LOOK_SECONDS, self._tick, attempt, 0)

    def adopt(self, attempt: Attempt, watch: ExitWatch) -> None:
        """Follow a process that an earlier run of the worker started; `watch` calls `exited`."""
        self.slots.used += 1
        self.restore(attempt)
        self.follow(attempt, watch.pid)
        attempt.watch = watch
        self._say(attempt, TaskState.RUNNING)

    def _tick(self, attempt: Attempt, quiet: int) -> None:
        """One look at a running attempt: its output, its time limit, and whether it is worth announcing."""
        attempt.timer = None
        if self.stopped or attempt.exited or attempt.output is None or attempt.spec is None:
            return
        elapsed = self._frame.clock.monotonic() - attempt.started_mono
        if not attempt.announced and elapsed >= _ANNOUNCE_SECONDS:
            self._say(attempt, TaskState.RUNNING)
        quiet = 0 if attempt.output.look() else quiet + 1
        limit = attempt.spec.timeout_seconds
        if elapsed >= limit and not attempt.ending:
            self.stop(attempt, "timeout", attempt.spec.grace_seconds)
        delay = _LOOK_SECONDS[min(quiet, len(_LOOK_SECONDS) - 1)]
        if quiet * delay > _QUIET_AFTER_SECONDS:
            delay = _QUIET_LOOK_SECONDS
        if not attempt.announced:
            delay = min(delay, max(0.001, _ANNOUNCE_SECONDS - elapsed))
        if not attempt.ending:
            delay = min(delay, max(0.001, limit - elapsed))
        attempt.timer = self._later(delay, self._tick, attempt, quiet)

    def stop(self, attempt: Attempt, ending: str, grace_seconds: float) -> None:
        """Stop the tree of a running attempt: `ending` is `cancel` or `timeout`. The first one asked for is the one reported."""
        if attempt.stopper is not None or attempt.exited or read_status(attempt.directory) is not None:
            # over already, or as good as: the real outcome wins
            return
        attempt.ending = ending
        attempt.stopper = self._frame.tasks.start(
            self._stop(attempt, grace_seconds), name=f"stop {attempt.job}.{attempt.number}"
        )

    async def _stop(self, attempt: Attempt, grace_seconds: float) -> None:
        mark = self._frame.mark(attempt.job, attempt.number)
        try:
            attempt.stop = await stop_tree(mark, attempt.pid, grace_seconds=grace_seconds, clock=self._frame.clock)
        finally:
            attempt.stopper = None
        if self.stopped or attempt.phase is not Phase.STARTING:
            return
        if attempt.exited:
            self._conclude(attempt)
        elif attempt.stop.get("survivors"):
            # not even KILL ends them (a dead disk, say): the receipt names them, and nobody waits for them
            if attempt.watch is not None:
                attempt.watch.close()
            self._end_stopped(attempt, None)

    def exited(self, attempt: Attempt, status: int | None) -> None:
        """The wrapper is gone. A tree that is being stopped is reported when that is done, receipt included."""
        attempt.exit_status = status
        attempt.exited = True
        attempt.watch = None
        if attempt.stopper is None and not self.stopped:
            self._conclude(attempt)

    def _conclude(self, attempt: Attempt) -> None:
        """From what the wrapper left: the one end of this attempt."""
        code = read_status(attempt.directory)
        wrapper = attempt.exit_status
        if code is None and wrapper is not None and os.WIFEXITED(wrapper):
            own = os.WEXITSTATUS(wrapper)
            if own == UNREADY and os.path.exists(f"{attempt.directory}/unready"):
                cwd = attempt.spec.cwd if attempt.spec is not None else None
                self._end_running(
                    attempt, TaskState.FAILED, Reason.SPAWN, None, detail=f"cannot enter the working directory {cwd!r}"
                )
                return
            if own == CLAIM_LOST and not os.path.exists(f"{attempt.directory}/claim"):
                self._end_running(
                    attempt, TaskState.FAILED, Reason.SPAWN, None, detail="cannot write to the spool: nothing was run"
                )
                return
            if own != CLAIM_LOST:
                # the status could not be written (disk full), but we are the parent and heard it
                code = own
        if code is None and attempt.ending and attempt.stop.get("signalled_count"):
            self._end_stopped(attempt, None)
        elif code is None:
            self._end_running(attempt, TaskState.INTERRUPTED, Reason.WRAPPER_GONE, None)
        elif attempt.ending and attempt.stop.get("signalled_count"):
            self._end_stopped(attempt, code)
        else:
            state = TaskState.SUCCEEDED if code == 0 else TaskState.FAILED
            self._end_running(attempt, state, Reason.NONE, code)

    def _end_stopped(self, attempt: Attempt, code: int | None) -> None:
        if attempt.ending == "timeout":
            self._end_running(attempt, TaskState.TIMED_OUT, Reason.TIMEOUT, code)
        else:
            self._end_running(attempt, TaskState.CANCELLED, Reason.KILLED, code)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _end_running(
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
        self._end(attempt, state, reason, code, detail=detail, finished_at=finished_at)
        self.pump()

    def settle(
        self, attempt: Attempt, state: TaskState, reason: Reason, code: int | None, finished_at: float | None
    ) -> None:
        """End what an earlier run started and this run found over."""
        self.restore(attempt)
        if attempt.spec is not None:
            attempt.output = self._follower(attempt, attempt.spec.max_output_bytes)
        self._end(attempt, state, reason, code, finished_at=finished_at)

    def _end(
        self,
        attempt: Attempt,
        state: TaskState,
        reason: Reason,
        code: int | None = None,
        *,
        detail: str = "",
        finished_at: float | None = None,
    ) -> None:
        if self.stopped:
            return
        if attempt.timer is not None:
            attempt.timer.cancel()
            attempt.timer = None
        attempt.exited = True
        attempt.finished_at = max(finished_at or self._frame.time.now(), attempt.started_at or 0.0)
        figures: dict[str, Any] = {"detail": _shown(detail), "exit_code": code}
        if code is not None and 128 < code <= 128 + signal.NSIG:
            # sh cannot tell `exit 137` from a kill: both are said
            figures["signal"] = code - 128
        unsent = False
        if attempt.output is not None:
            unsent = attempt.output.end()
            figures["stdout_bytes"], figures["stderr_bytes"] = attempt.output.sizes
            figures["truncated"] = attempt.output.truncated
        token = new_token()
        self._journal_end(attempt, attempt.report(token, state, reason, **figures), token, unsent)

    def _journal_end(self, attempt: Attempt, report: bytes, token: str, unsent: bool) -> None:
        if self.stopped:
            return
        try:
            self._journal.done(attempt.key, report)
        except sqlite3.Error as error:
            log.error(
                "Cannot journal the end of %s.%d: %s; trying again", *attempt.key, error, extra={"action": "journal"}
            )
            self._later(_JOURNAL_AGAIN_SECONDS, self._journal_end, attempt, report, token, unsent)
            return
        attempt.phase = Phase.DONE
        self.finished += 1
        self.attempts.pop(attempt.key, None)
        self._leave(attempt, report, token, unsent)

    def _leave(self, attempt: Attempt, report: bytes, token: str, unsent: bool) -> None:
        """The end is durable: let output and report go, and the folder after them."""
        if unsent and attempt.output is not None:
            self._ship_later(attempt.key, attempt.output, report, token)
        else:
            self._outbox.put(attempt.key, report, token, final=True)
            if attempt.directory:
                self._clean(attempt.directory)

    def reship(self, attempt: Attempt, report: bytes, token: str, limit: int) -> None:
        """After a restart: the output that may not have been acknowledged, then the report."""
        attempt.output = self._follower(attempt, limit)
        self._leave(attempt, report, token, attempt.output.end())

    def _follower(self, attempt: Attempt, limit: int) -> OutputFollower:
        return OutputFollower(
            self._courier, job=attempt.job, attempt=attempt.number, directory=attempt.directory, limit=limit
        )

    def _ship_later(self, key: Key, output: OutputFollower, report: bytes, token: str) -> None:
        """Output first, at most FLUSH_SECONDS of it, then the report; the rest of the output follows."""
        self._shipping[key] = output
        self._frame.tasks.start(self._ship(key, output, report, token), name=f"flush {key[0]}.{key[1]}")

    async def _ship(self, key: Key, output: OutputFollower, report: bytes, token: str) -> None:
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                await output.flushed()
        except TimeoutError:
            pass
        self._outbox.put(key, report, token, final=True)
        try:
            await output.flushed()
            self._clean(output.directory)
        finally:
            self._shipping.pop(key, None)
            self.pump()

    def _clean(self, directory: str) -> None:
        """Remove the folder soon: not in the way of the tasks that run now."""
        if not self._litter:
            self._later(_CLEAN_SECONDS, self._sweep)
        self._litter.append(directory)

    def _sweep(self) -> None:
        litter, self._litter = self._litter, []
        for directory in litter:
            remove_directory(directory)

    def withdraw(self, attempt: Attempt) -> None:
        """Cancel of something that has not started."""
        self._end(attempt, TaskState.CANCELLED, Reason.WITHDRAWN)
        self.pump()

    def cancel(self, job: str, upto: int, grace_seconds: float | None) -> None:
        """Stop or withdraw attempt `upto` of `job` and every earlier one."""
        for attempt in [a for (j, n), a in self.attempts.items() if j == job and n <= upto]:
            if attempt.phase is Phase.RECEIVED:
                self.withdraw(attempt)
            elif attempt.phase is Phase.STARTING and self._execute and attempt.spec is not None:
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

    def warm_up(self) -> None:
        self._launcher.warm_up()

    def close(self) -> None:
        """Leave running tasks to their wrappers and touch nothing any more."""
        self.stopped = True
        self._launcher.close()
        for attempt in self.attempts.values():
            if attempt.watch is not None:
                attempt.watch.close()
            if attempt.timer is not None:
                attempt.timer.cancel()
        self._sweep()


def _shown(detail: str) -> str:
    """A detail fit for a message: short, and without what UTF-8 cannot say."""
    return detail[:_DETAIL_CHARS].encode(errors="replace").decode()

"""Looking after running attempts: start, output, time limit, stop, and what the wrapper left when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Final, Protocol

from corral.agent.worker.attempt import Attempt, Phase
from corral.agent.worker.builtin.host import End, Host
from corral.agent.worker.cancel import stop_tree
from corral.agent.worker.closing import Closing
from corral.agent.worker.executing import meaning, outcome, to_run
from corral.agent.worker.frame import Frame
from corral.agent.worker.invocation import CannotStart, Preparer, attempt_directory
from corral.agent.worker.wrapper import CLAIM_LOST, UNREADY, Launcher, read_status
from corral.domain.artifact import FileSpec
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import CommandSpec
from corral.domain.task import Reason, TaskState
from corral.runtime import failpoint
from corral.runtime.process import ExitWatch

_FIRST_LOOK_SECONDS: Final = 0.03
_ANNOUNCE_SECONDS: Final = 0.1
"""A task shorter than this sends one report with all its times; a longer one says `running` now."""
_LOOK_SECONDS: Final = (0.02, 0.04, 0.06, 0.08)
_QUIET_LOOK_SECONDS: Final = 0.2
_QUIET_AFTER_SECONDS: Final = 60.0


class OnOver(Protocol):
    """A running attempt is over: its slot is free, its end is this."""

    def __call__(
        self, attempt: Attempt, state: TaskState, reason: Reason, code: int | None, *, detail: str = ""
    ) -> None: ...


class Supervision:
    def __init__(
        self,
        frame: Frame,
        *,
        closing: Closing,
        on_over: OnOver,
        announce: Callable[[Attempt], None],
        host: Host,
        execute: bool,
    ) -> None:
        self._frame = frame
        self._closing = closing
        self._over = on_over
        self._announce = announce
        self._host = host
        self._execute = execute
        self._spool = str(frame.state.spool)
        self._preparer = Preparer()
        self._launcher = Launcher(self._preparer.base, warm=execute and frame.settings.warm_wrappers > 0)
        self._stopped = False

    def launch(self, attempt: Attempt) -> None:
        """STARTING is durable: now the process may exist."""
        spec = attempt.spec
        if isinstance(spec, FileSpec) and (self._execute or self._host.ground.roots):
            self._launch_builtin(attempt, spec)
            return
        if not self._execute:
            # the simulator without exec: everything but the process (and files only where they are kept to a place)
            asyncio.get_running_loop().call_soon(self._over, attempt, TaskState.SUCCEEDED, Reason.NONE, 0)
            return
        assert isinstance(spec, (CommandSpec, ExecutorSpec))
        directory = attempt_directory(self._spool, attempt.job, attempt.number, attempt.generation)
        attempt.directory = directory
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)
            settings = self._frame.settings
            command, result = to_run(attempt, spec, settings.executors_python, settings.http_allow)
            mark = self._frame.mark(attempt.job, attempt.number)
            call = self._preparer.prepare(command, directory, mark, private=bool(attempt.private), result=result)
            watch = self._launcher.launch(call, lambda status: self.exited(attempt, status))
        except CannotStart as error:
            detail = error.message + (f"; {error.hint}" if error.hint else "")
            self._over(attempt, TaskState.FAILED, Reason.SPAWN, error.exit_code, detail=detail)
            return
        except (OSError, ValueError) as error:
            self._over(attempt, TaskState.FAILED, Reason.SPAWN, None, detail=f"cannot start the command: {error}")
            return
        failpoint.hit("after_spawn")
        self._launcher.warm_up_later()
        self.follow(attempt, watch.pid)
        attempt.watch = watch

    def _launch_builtin(self, attempt: Attempt, spec: FileSpec) -> None:
        """A coroutine in the place of a process: the same folder, output, time limit, stop and report."""
        attempt.directory = attempt_directory(self._spool, attempt.job, attempt.number, attempt.generation)
        try:
            os.makedirs(attempt.directory, 0o700, exist_ok=True)
        except OSError as error:
            self._over(attempt, TaskState.FAILED, Reason.SPAWN, None, detail=f"cannot start the task: {error}")
            return
        self.follow(attempt, 0)
        assert attempt.output is not None
        attempt.work = self._host.start(
            attempt,
            spec,
            lambda end: self._builtin_ended(attempt, end),
            lift=attempt.output.lift,
            commands=self._execute,
        )

    def _builtin_ended(self, attempt: Attempt, end: End) -> None:
        if attempt.work is None:
            return  # it came back after it had been given up; its end was told
        attempt.exited = True
        attempt.builtin_end = end
        if attempt.stopper is None and not self._stopped:
            self._conclude_builtin(attempt, end)

    def _conclude_builtin(self, attempt: Attempt, end: End) -> None:
        if end.stopped:
            self._end_stopped(attempt, None)
        elif end.failed:
            self._over(attempt, TaskState.FAILED, end.reason, None, detail=end.failed)
        else:
            self._over(attempt, TaskState.SUCCEEDED, Reason.NONE, 0)

    def follow(self, attempt: Attempt, pid: int) -> None:
        """From here on output, time limit and announcement are looked after. Also for an adopted process."""
        assert attempt.spec is not None
        attempt.pid = pid
        attempt.output = self._closing.follower(attempt, attempt.spec.max_output_bytes)
        attempt.timer = asyncio.get_running_loop().call_later(_FIRST_LOOK_SECONDS, self._tick, attempt, 0)

    def adopt(self, attempt: Attempt, watch: ExitWatch) -> None:
        """Follow a process that an earlier run of the worker started; `watch` calls `exited`."""
        self.follow(attempt, watch.pid)
        attempt.watch = watch

    def _tick(self, attempt: Attempt, quiet: int) -> None:
        """One look at a running attempt: its output, its time limit, and whether it is worth announcing."""
        attempt.timer = None
        if self._stopped or attempt.exited or attempt.output is None or attempt.spec is None:
            return
        elapsed = self._frame.clock.monotonic() - attempt.started_mono
        if not attempt.announced and elapsed >= _ANNOUNCE_SECONDS:
            self._announce(attempt)
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
        attempt.timer = asyncio.get_running_loop().call_later(delay, self._tick, attempt, quiet)

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
            if attempt.work is not None:
                attempt.stop = await self._host.stop(attempt.work, grace_seconds)
            else:
                attempt.stop = await stop_tree(mark, attempt.pid, grace_seconds=grace_seconds, clock=self._frame.clock)
        finally:
            attempt.stopper = None
        if self._stopped or attempt.phase is not Phase.STARTING:
            return
        if attempt.work is not None:
            if attempt.builtin_end is not None:
                self._conclude_builtin(attempt, attempt.builtin_end)
            else:
                # a disk that does not answer, say: nobody waits for it, and when it comes back it finds that it was stopped
                attempt.work = None
                self._end_stopped(attempt, None)
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
        if attempt.stopper is None and not self._stopped:
            self._conclude(attempt)

    def _conclude(self, attempt: Attempt) -> None:
        """From what the wrapper left: the one end of this attempt."""
        code = read_status(attempt.directory)
        wrapper = attempt.exit_status
        if code is None and wrapper is not None and os.WIFEXITED(wrapper):
            own = os.WEXITSTATUS(wrapper)
            if own == UNREADY and os.path.exists(f"{attempt.directory}/unready"):
                cwd = attempt.spec.cwd if isinstance(attempt.spec, CommandSpec) else None
                self._over(
                    attempt, TaskState.FAILED, Reason.SPAWN, None, detail=f"cannot enter the working directory {cwd!r}"
                )
                return
            if own == CLAIM_LOST and not os.path.exists(f"{attempt.directory}/claim"):
                self._over(
                    attempt, TaskState.FAILED, Reason.SPAWN, None, detail="cannot write to the spool: nothing was run"
                )
                return
            if own != CLAIM_LOST:
                # the status could not be written (disk full), but we are the parent and heard it
                code = own
        if code is None and attempt.ending and attempt.stop.get("signalled_count"):
            self._end_stopped(attempt, None)
        elif code is None:
            self._over(attempt, TaskState.INTERRUPTED, Reason.WRAPPER_GONE, None)
        elif attempt.ending and attempt.stop.get("signalled_count"):
            self._end_stopped(attempt, code)
        else:
            self._ended_itself(attempt, code)

    def _ended_itself(self, attempt: Attempt, code: int) -> None:
        if isinstance(attempt.spec, ExecutorSpec):
            attempt.result = outcome(attempt)
            state, reason, detail = meaning(code, attempt.directory)
            self._over(attempt, state, reason, code, detail=detail)
        else:
            self._over(attempt, TaskState.SUCCEEDED if code == 0 else TaskState.FAILED, Reason.NONE, code)

    def _end_stopped(self, attempt: Attempt, code: int | None) -> None:
        if attempt.ending == "timeout":
            self._over(attempt, TaskState.TIMED_OUT, Reason.TIMEOUT, code)
        else:
            self._over(attempt, TaskState.CANCELLED, Reason.KILLED, code)

    def warm_up(self) -> None:
        self._launcher.warm_up()

    def close(self) -> None:
        """Leave running tasks to their wrappers."""
        self._stopped = True
        self._host.close()
        self._launcher.close()

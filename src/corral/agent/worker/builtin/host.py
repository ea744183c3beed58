"""Runs the coroutine of a built-in task as Supervision runs a process: start, stop with a receipt, and exactly one end.

A coroutine that is stopped cleans up after itself within the task's grace and a little more; one that does not is left behind and the
report says so. When the worker itself leaves, nothing is said of what runs: the next worker begins it again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from corral.agent.worker.attempt import Attempt
from corral.agent.worker.frame import Frame
from corral.agent.worker.guard import Guard
from corral.domain.artifact import FileSpec
from corral.domain.errors import CorralError
from corral.domain.task import Reason
from corral.runtime.limits import TokenBucket

if TYPE_CHECKING:
    from corral.agent.worker.builtin.work import Ground, Work

log = logging.getLogger("corral.worker.builtin")

_CLEANUP_SECONDS: Final = 10.0

Facts = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class End:
    """How a coroutine ended. `stopped`: by us, and the target is as it was."""

    failed: str = ""
    reason: Reason = Reason.NONE
    stopped: bool = False


class Host:
    """`bucket` is the node's bandwidth limit; `facts` collects what templates may name."""

    def __init__(self, frame: Frame, *, guard: Guard, bucket: TokenBucket, facts: Facts) -> None:
        self._frame = frame
        self._guard = guard
        self._bucket = bucket
        self._facts = facts
        self._made: Ground | None = None
        self._running: dict[Work, asyncio.Task[None]] = {}
        self._leaving = False

    @property
    def ground(self) -> Ground:
        """Made for the first file task: a node that never gets one pays nothing for it."""
        if self._made is None:
            from corral.agent.worker.builtin.backups import Backups
            from corral.agent.worker.builtin.blobs import Blobs
            from corral.agent.worker.builtin.work import Ground

            self._made = Ground(
                frame=self._frame,
                blobs=Blobs(self._frame, self._bucket),
                backups=Backups(self._frame),
                guard=self._guard,
                facts=self._facts,
            )
        return self._made

    def start(
        self,
        attempt: Attempt,
        spec: FileSpec,
        on_end: Callable[[End], None],
        *,
        lift: Callable[[int], None],
        commands: bool,
    ) -> Work:
        """Begin, or begin again; `on_end` follows exactly once unless the worker leaves first."""
        from corral.agent.worker.builtin.work import Work

        work = Work(self.ground, attempt, spec, lift=lift, commands=commands)
        self._running[work] = self._frame.tasks.start(self._run(work, on_end), name=f"file {work.id}")
        return work

    async def _run(self, work: Work, on_end: Callable[[End], None]) -> None:
        from corral.agent.worker.builtin.errors import os_failure
        from corral.agent.worker.builtin.registry import operation_for

        work.begun = True
        try:
            await operation_for(work.spec.op)(work.spec, work)
            end = End()
        except asyncio.CancelledError:
            if not work.stop_asked:
                raise
            end = End(stopped=True)
        except CorralError as error:
            end = End(
                failed=error.message + (f"; {error.hint}" if error.hint else ""),
                reason=getattr(error, "reason", Reason.NONE),
            )
        except OSError as error:
            end = End(failed=os_failure(work.spec.op.value, work.result.get("dest") or work.spec.dest, error).message)
        except Exception as error:
            log.exception("Cannot finish file task %s", work.id, extra={"action": "file", "op": work.spec.op.value})
            end = End(failed=f"cannot {work.spec.op.value} {work.spec.dest!r}: our own mistake: {error!r}")
        finally:
            self._running.pop(work, None)
        if not self._leaving:
            on_end(end)

    async def stop(self, work: Work, grace_seconds: float) -> dict[str, Any]:
        """Ask it to stop and wait for it; the receipt. What changes the target at this moment is not torn apart: its end wins."""
        began = self._frame.clock.monotonic()
        task = self._running.get(work)
        work.grace_seconds = grace_seconds
        work.stop_asked = True
        if task is not None:
            # one that has not begun looks at `stop_asked` itself, after it removed what an earlier run left
            if work.begun and not work.held:
                task.cancel()
            await asyncio.wait([task], timeout=grace_seconds + _CLEANUP_SECONDS)
        receipt = {"signalled": [], "signalled_count": 0, "killed": 0, "survivors": [], **work.receipt}
        return {**receipt, "seconds": round(self._frame.clock.monotonic() - began, 3)}

    def runs(self, work: Work) -> bool:
        return work in self._running

    def close(self) -> None:
        """The worker leaves: nothing is said any more, and commands that run are left to the next worker."""
        self._leaving = True
        for work in self._running:
            work.leaving = True

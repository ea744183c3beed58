"""The end of an attempt: durable first, then its output, then its report, then its folder goes.

An end that cannot be journalled is tried again until it can, and nothing is said before. Output gets FLUSH_SECONDS ahead of the
report; what is not through by then follows it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from corral.agent.worker.attempt import Attempt, Key, Phase
from corral.agent.worker.frame import Frame
from corral.agent.worker.journal import Journal
from corral.agent.worker.outbox import Outbox, new_token
from corral.agent.worker.output import Courier, OutputFollower, remove_directory
from corral.domain.task import Reason, TaskState
from corral.runtime import failpoint

log = logging.getLogger("corral.worker.closing")

_FLUSH_SECONDS: Final = 5.0
_JOURNAL_AGAIN_SECONDS: Final = 1.0
_CLEAN_SECONDS: Final = 0.5
_DETAIL_CHARS: Final = 500


class Closing:
    """`on_ended(attempt)` is called once its end is durable, `on_shipped()` when spool became free."""

    def __init__(
        self,
        frame: Frame,
        *,
        journal: Journal,
        outbox: Outbox,
        courier: Courier,
        on_ended: Callable[[Attempt], None],
        on_shipped: Callable[[], None],
    ) -> None:
        self._frame = frame
        self._journal = journal
        self._outbox = outbox
        self._courier = courier
        self._on_ended = on_ended
        self._on_shipped = on_shipped
        self._litter: list[str] = []
        self._stopped = False
        self.shipping: dict[Key, OutputFollower] = {}
        self.finished = 0

    def end(
        self,
        attempt: Attempt,
        state: TaskState,
        reason: Reason,
        code: int | None = None,
        *,
        detail: str = "",
        finished_at: float | None = None,
    ) -> None:
        if self._stopped:
            return
        if attempt.timer is not None:
            attempt.timer.cancel()
            attempt.timer = None
        attempt.exited = True
        attempt.finished_at = max(finished_at or self._now(attempt), attempt.started_at or 0.0)
        if attempt.redactor is not None:
            detail, attempt.result = attempt.redactor.text(detail), attempt.redactor.value(attempt.result)
        figures: dict[str, Any] = {"detail": shown(detail), "exit_code": code}
        if code is not None and 128 < code <= 128 + signal.NSIG:
            # sh cannot tell `exit 137` from a kill: both are said
            figures["signal"] = code - 128
        if attempt.result:
            figures["result"] = attempt.result
        unsent = False
        if attempt.output is not None:
            unsent = attempt.output.end()
            figures["stdout_bytes"], figures["stderr_bytes"] = attempt.output.sizes
            figures["truncated"] = attempt.output.truncated
        token = new_token()
        self._journal_end(attempt, attempt.report(token, state, reason, **figures), token, unsent)

    def _now(self, attempt: Attempt) -> float:
        """Of what runs: its start and what the monotonic clock counted since, whatever was learnt of the time meanwhile."""
        if attempt.phase is not Phase.STARTING or attempt.started_at is None or not attempt.started_mono:
            return self._frame.time.now()
        return attempt.started_at + self._frame.clock.monotonic() - attempt.started_mono

    def _journal_end(self, attempt: Attempt, report: bytes, token: str, unsent: bool) -> None:
        if self._stopped:
            return
        failpoint.hit("before_done")
        failpoint.hit("before_done")
        try:
            self._journal.done(attempt.key, report)
        except sqlite3.Error as error:
            log.error(
                "Cannot journal the end of %s.%d: %s; trying again", *attempt.key, error, extra={"action": "journal"}
            )
            asyncio.get_running_loop().call_later(
                _JOURNAL_AGAIN_SECONDS, self._journal_end, attempt, report, token, unsent
            )
            return
        failpoint.hit("after_done")
        failpoint.hit("after_done")
        attempt.phase = Phase.DONE
        self.finished += 1
        self._on_ended(attempt)
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
        attempt.output = self.follower(attempt, limit)
        self._leave(attempt, report, token, attempt.output.end())

    def follower(self, attempt: Attempt, limit: int) -> OutputFollower:
        return OutputFollower(
            self._courier,
            job=attempt.job,
            attempt=attempt.number,
            directory=attempt.directory,
            limit=limit,
            redactor=attempt.redactor,
        )

    def _ship_later(self, key: Key, output: OutputFollower, report: bytes, token: str) -> None:
        """Output first, at most FLUSH_SECONDS of it, then the report; the rest of the output follows."""
        self.shipping[key] = output
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
            self.shipping.pop(key, None)
            self._on_shipped()

    def _clean(self, directory: str) -> None:
        """Remove the folder soon: not in the way of the tasks that run now."""
        if not self._litter:
            asyncio.get_running_loop().call_later(_CLEAN_SECONDS, self._sweep)
        self._litter.append(directory)

    def _sweep(self) -> None:
        litter, self._litter = self._litter, []
        for directory in litter:
            remove_directory(directory)

    def close(self) -> None:
        """Say and write nothing any more."""
        self._stopped = True
        self._sweep()


def shown(detail: str) -> str:
    """A detail fit for a message: short, and without what UTF-8 cannot say."""
    return detail[:_DETAIL_CHARS].encode(errors="replace").decode()

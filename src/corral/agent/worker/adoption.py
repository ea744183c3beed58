"""After a restart: where every attempt of an earlier run stands, decided from its row and its folder, and what follows.

RECEIVED                               queue it (it may have been cancelled or expired meanwhile)
STARTING, a built-in kind              begin it again: it is idempotent (builtin.registry says why), also after a reboot
STARTING, status written               it is over: report it
STARTING, other boot                   interrupted: the machine went down while it ran
STARTING, claim and a live wrapper     adopt it: follow output, time limit and end
STARTING, claim, wrapper gone          interrupted: killed from outside (looked at twice: it may end while we look)
STARTING, no claim                     take the claim: nothing ran there and nothing will; run in a new folder
DONE                                   send its output and report again
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
from pathlib import Path
from typing import Any, Final

from corral.agent.worker.attempt import Attempt, Phase
from corral.agent.worker.executing import meaning, outcome
from corral.agent.worker.frame import Frame
from corral.agent.worker.inbox import Inbox, Parts
from corral.agent.worker.intake import NotOurs, read_spec
from corral.agent.worker.invocation import attempt_directory
from corral.agent.worker.journal import Row
from corral.agent.worker.output import lifted, remove_directory
from corral.agent.worker.vault import VaultClosed
from corral.agent.worker.wrapper import Claim, read_claim, read_status, take_claim
from corral.agent.worker.wrapper import is_wrapper as is_wrapper
from corral.domain.artifact import FileOp, FileSpec
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import TaskSpec
from corral.domain.task import Reason, TaskState
from corral.protocol.signing import BadSignature, split
from corral.runtime.process import ExitWatch

log = logging.getLogger("corral.worker.adoption")

_ORPHAN_SECONDS: Final = 24 * 3600.0
_OUR_SIGNALS: Final = (128 + signal.SIGTERM, 128 + signal.SIGKILL)
_LOOKS: Final = 5
_LOOK_SECONDS: Final = 0.2


class Adoption:
    def __init__(self, frame: Frame, parts: Parts, inbox: Inbox) -> None:
        self._frame = frame
        self._journal = parts.journal
        self._runner = parts.runner
        self._outbox = parts.outbox
        self._inbox = inbox
        self._vault = parts.vault
        self.adopted = 0

    def recover(self) -> None:
        """Take up everything unsettled; nothing is sent before the link is up."""
        kept: set[str] = set()
        for row in self._journal.unsettled():
            attempt = self._attempt(row)
            kept.add(attempt.directory)
            if row.state is Phase.RECEIVED:
                self._received(attempt)
            elif row.state is Phase.STARTING:
                kept.update(
                    attempt_directory(self._frame.state.spool, row.job, row.attempt, g)
                    for g in range(row.generation + 2)
                )
                self._starting(attempt, row)
            elif row.report is not None:
                self._done(attempt, row.report)
        self._runner.pump()
        self._drop_orphans(kept)

    def _attempt(self, row: Row) -> Attempt:
        directory = attempt_directory(self._frame.state.spool, row.job, row.attempt, row.generation)
        return Attempt(
            job=row.job,
            number=row.attempt,
            wire=row.wire or b"",
            not_after=row.not_after,
            spec=None,
            directory=directory,
            generation=row.generation,
            phase=row.state,
            delivered_at=row.delivered_at,
            started_at=row.started_at,
            started_mono=row.started_mono,
        )

    def _message(self, attempt: Attempt) -> dict[str, Any]:
        """The signed task; it was verified before it was journalled."""
        with contextlib.suppress(BadSignature, ValueError, KeyError):
            message = json.loads(split(attempt.wire)[1])
            if isinstance(message, dict) and isinstance(message.get("spec"), dict):
                return message
        return {"spec": {}}

    def _spec(self, attempt: Attempt) -> TaskSpec | None:
        message = self._message(attempt)
        body, attempt.labels = message["spec"], message.get("labels", {})
        try:
            attempt.entrust(self._vault.take_out(message))
        except VaultClosed as error:
            log.error("Cannot take up %s.%d: %s", *attempt.key, error, extra={"action": "vault"})
            return None
        if "sealed" in body:
            try:
                first = attempt_directory(self._frame.state.spool, attempt.job, attempt.number, 0)
                body = json.loads(Path(first, "spec").read_bytes())
            except (OSError, ValueError):
                return None
        try:
            return read_spec(body, str(message.get("kind", "exec")))
        except NotOurs:
            return None

    def _received(self, attempt: Attempt) -> None:
        self._runner.restore(attempt)
        if self._journal.buried(attempt.key)[0]:
            self._runner.withdraw(attempt)
            return
        message = self._message(attempt)
        attempt.spec = self._spec(attempt)
        if attempt.spec is not None:
            if self._inbox.permitted(attempt, attempt.spec):
                self._runner.release(attempt)
        elif "sealed" in message["spec"]:
            self._inbox.fetch(attempt, message["spec"]["sealed"], str(message.get("kind", "exec")))
        else:
            self._runner.refuse(
                attempt, TaskState.REJECTED, Reason.SCHEMA, "the journalled task cannot be read any more"
            )

    def _starting(self, attempt: Attempt, row: Row, looks: int = 0) -> None:
        if self._runner.stopped:
            return
        attempt.spec = self._spec(attempt)
        if isinstance(attempt.spec, FileSpec):
            self._resume(attempt, row)
            return
        if self._over(attempt):
            return
        if row.boot_id != self._frame.boot_id:
            self._runner.settle(attempt, TaskState.INTERRUPTED, Reason.REBOOT, None, None)
            return
        claim = read_claim(attempt.directory)
        if claim is None and take_claim(attempt.directory):
            claim = Claim(0, None)
        elif claim is None:
            claim = read_claim(attempt.directory) or Claim(-1, None)
        if claim.pid == 0:
            self._run_anew(attempt)
        elif claim.pid < 0 and looks < _LOOKS:
            # the wrapper may be between making the file and writing its pid: look again before calling it gone
            self._runner.restore(attempt)
            asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._starting, attempt, row, looks + 1)
        elif not self._adopt(attempt, claim) and not self._over(attempt):
            self._runner.settle(attempt, TaskState.INTERRUPTED, Reason.WRAPPER_GONE, None, None)

    def _resume(self, attempt: Attempt, row: Row) -> None:
        """Run the coroutine again; of one that was cancelled meanwhile only the cleaning up is left."""
        if row.boot_id != self._frame.boot_id:
            # the monotonic clock began anew with the machine: its time is what the server's clock says of it
            ran = max(0.0, self._frame.time.now() - (attempt.started_at or self._frame.time.now()))
            attempt.started_mono = self._frame.clock.monotonic() - ran
        self._runner.resume(attempt)
        self.adopted += 1
        buried, grace = self._journal.buried(attempt.key)
        if buried and attempt.spec is not None:
            self._runner.stop(attempt, "cancel", attempt.spec.grace_seconds if grace is None else grace)

    def _over(self, attempt: Attempt) -> bool:
        code = read_status(attempt.directory)
        if code is None:
            return False
        finished_at = None
        with contextlib.suppress(OSError):
            finished_at = self._frame.time.at_wall(os.stat(f"{attempt.directory}/rc").st_mtime)
        state, reason = self._verdict(attempt, code, finished_at)
        if isinstance(attempt.spec, ExecutorSpec):
            attempt.result = outcome(attempt)
            if reason is Reason.NONE:
                state, reason, _ = meaning(code, attempt.directory)
        self._runner.settle(attempt, state, reason, code, finished_at)
        return True

    def _verdict(self, attempt: Attempt, code: int, finished_at: float | None) -> tuple[TaskState, Reason]:
        """The last worker may have died while it stopped the tree: a death by our signals has our reason."""
        if code in _OUR_SIGNALS:
            if self._journal.buried(attempt.key)[0]:
                return TaskState.CANCELLED, Reason.KILLED
            ran = (finished_at or 0.0) - (attempt.started_at or 0.0)
            if attempt.spec is not None and ran >= attempt.spec.timeout_seconds:
                return TaskState.TIMED_OUT, Reason.TIMEOUT
        return (TaskState.SUCCEEDED if code == 0 else TaskState.FAILED), Reason.NONE

    def _run_anew(self, attempt: Attempt) -> None:
        """Nothing ran and nothing will in that folder: the attempt goes back to the queue, for the next folder."""
        attempt.generation += 1
        attempt.phase = Phase.RECEIVED
        attempt.started_at = None
        self._received(attempt)

    def _adopt(self, attempt: Attempt, claim: Claim) -> bool:
        """Follow the wrapper if it lives and is ours; the pidfd is held before the last look, so it is that very process."""
        mark = self._frame.mark(attempt.job, attempt.number)
        if claim.pid <= 0 or attempt.spec is None:
            return False
        try:
            watch = ExitWatch(claim.pid, lambda status: self._runner.exited(attempt, status))
        except OSError:
            return False
        if not is_wrapper(claim, mark):
            watch.close()
            return False
        self._runner.adopt(attempt, watch)
        self.adopted += 1
        buried, grace = self._journal.buried(attempt.key)
        if buried:
            self._runner.stop(attempt, "cancel", attempt.spec.grace_seconds if grace is None else grace)
        return True

    def _done(self, attempt: Attempt, report: bytes) -> None:
        key = attempt.key
        self._runner.open.add(key)
        token = str(json.loads(report)["token"])
        if not os.path.isdir(attempt.directory):
            self._outbox.put(key, report, token, final=True)
            return
        spec = self._spec(attempt)
        limit = spec.max_output_bytes if spec is not None else 64 << 20
        if isinstance(spec, FileSpec) and spec.op is FileOp.FETCH:
            limit = lifted(limit, attempt.directory)
        self._runner.reship(attempt, report, token, limit)

    def _drop_orphans(self, kept: set[str]) -> None:
        """Folders no row speaks of: of a journal that was set aside, or settled. Those that may still be written to stay a day."""
        before = self._frame.clock.wall() - _ORPHAN_SECONDS
        for path in self._frame.state.spool.glob("*"):
            if str(path) in kept:
                continue
            with contextlib.suppress(OSError):
                if not (path / "claim").exists() or (path / "rc").exists() or path.stat().st_mtime < before:
                    remove_directory(str(path))

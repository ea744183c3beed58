"""What comes down to this node: task, cancel, receipt, policy, state, and sync. Believed only after its signature; then placed.

Every signed task gets an answer, and exactly one start: what is known is answered from the journal, what was cancelled,
superseded, expired, refused by policy or not understood ends without a start, the rest goes to the runner. Whatever cannot be
placed now (no journal, no time, after a reset) is dropped and a sync asked for, which brings it again.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from corral.agent.link.port import LinkDown, LinkMessage
from corral.agent.worker.attempt import Attempt, Phase
from corral.agent.worker.executing import policy_words
from corral.agent.worker.frame import Frame
from corral.agent.worker.guard import Guard
from corral.agent.worker.intake import CannotPlace, NotOurs, read_header, read_message, read_spec
from corral.agent.worker.invocation import attempt_directory
from corral.agent.worker.journal import Journal
from corral.agent.worker.outbox import Outbox
from corral.agent.worker.runner import Runner
from corral.agent.worker.sealed import BadObject, fetch_spec
from corral.agent.worker.trust import Trust
from corral.agent.worker.vault import Vault
from corral.domain.artifact import FileOp
from corral.domain.errors import CorralError, Invalid
from corral.domain.executors.spec import ExecutorSpec
from corral.domain.job import CommandSpec, TaskSpec
from corral.domain.policy import ALLOWED, Verdict
from corral.domain.task import Reason, TaskState
from corral.protocol.codec import BadMessage, decode, from_mapping
from corral.protocol.messages import CancelMessage, PolicyMessage, ReceiptMessage, StateMessage
from corral.protocol.signing import BadSignature
from corral.protocol.subjects import kind_of
from corral.runtime.backoff import Backoff

log = logging.getLogger("corral.worker.inbox")

_FETCH_AGAIN: Final = Backoff(delays_seconds=(0.2, 0.5, 1, 2, 5, 10))
_EARLY_SECONDS: Final = 5.0

Rows = list[tuple[int, Phase, bytes | None]]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the inbox hands its messages to."""

    journal: Journal
    runner: Runner
    outbox: Outbox
    guard: Guard
    trust: Trust
    vault: Vault


class Inbox:
    def __init__(
        self, frame: Frame, parts: Parts, *, ask_sync: Callable[[], None], on_sync: Callable[[bytes], None]
    ) -> None:
        self._frame = frame
        self._journal = parts.journal
        self._runner = parts.runner
        self._outbox = parts.outbox
        self._guard = parts.guard
        self._trust = parts.trust
        self._vault = parts.vault
        self._ask_sync = ask_sync
        self._reset_at: str | None = None
        self.state_revision = 0
        self._by_kind: dict[str, Callable[[bytes], None]] = {
            "task": self.task,
            "cancel": self.cancel,
            "receipt": self.receipt,
            "policy": self.policy,
            "state": self.state,
            "sync": on_sync,
        }

    def restore(self) -> None:
        """Take up from the journal what outlives a restart: revisions, and whether a reset is pending."""
        self._reset_at = self._journal.meta("reset_at")
        try:
            if (text := self._journal.meta("policy")) is not None:
                body = json.loads(text)
                self._guard.adopt(body["revision"], body["rules"], body.get("mode", ""))
            if (text := self._journal.meta("state")) is not None:
                self.state_revision = int(json.loads(text)["revision"])
        except (ValueError, KeyError, TypeError, Invalid) as error:
            log.error("Cannot take up the stored policy: %s; asking for it again", error, extra={"action": "policy"})

    def handle(self, message: LinkMessage) -> None:
        """The link's handler for `down.<node>.>`; runs to its end without waiting."""
        take = self._by_kind.get(kind_of(message.subject))
        if take is not None:
            take(message.data)

    # --- tasks --------------------------------------------------------------------------------------------------------

    def task(self, wire: bytes) -> None:
        try:
            mapping = self._trust.open(wire, "task")
            attempt = read_header(mapping, wire)
        except (BadSignature, CannotPlace) as error:
            self._trust.refuse("task", error)
            return
        try:
            if mapping.get("private"):
                attempt.wire = self._vault.put_away(wire, mapping)
                attempt.entrust(mapping["private"])
            self._place(attempt, mapping)
        except (sqlite3.Error, OSError) as error:
            # nothing was accepted, so nothing is lost: it comes again
            log.error("Cannot journal %s.%d: %s; not accepted", *attempt.key, error, extra={"action": "journal"})

    def _place(self, attempt: Attempt, mapping: dict[str, Any]) -> None:
        rows = self._journal.attempts(attempt.job)
        if self._known(attempt, rows):
            return
        issued = mapping.get("issued")
        if not isinstance(issued, (int, float)) or not self._after_reset(float(issued)):
            return
        time = self._frame.time
        if time.synced or issued <= time.now() + _EARLY_SECONDS:
            time.saw(float(issued))
        if self._superseded(attempt, rows):
            return
        if time.now() > attempt.not_after:
            if not time.fresh:
                # by a clock that nobody confirmed lately: ask for the time before giving the task up; the answer brings it again
                self._ask_sync()
                return
            self._runner.refuse(attempt, TaskState.EXPIRED, Reason.NOT_DELIVERED, "it came after its deadline")
            return
        try:
            message = read_message(mapping)
            attempt.labels = message.labels
            if "sealed" in message.spec:
                self._runner.hold(attempt)
                self.fetch(attempt, message.spec["sealed"], message.kind)
                return
            attempt.spec = read_spec(message.spec, message.kind)
        except (NotOurs, BadMessage) as error:
            self._runner.refuse(attempt, TaskState.REJECTED, Reason.SCHEMA, error.message)
            return
        if self.permitted(attempt, attempt.spec):
            self._runner.accept(attempt)

    def permitted(self, attempt: Attempt, spec: TaskSpec) -> bool:
        verdict = self._verdict(spec)
        if not verdict.allowed:
            log.warning(
                "Cannot run %s.%d: %s", *attempt.key, verdict.why, extra={"action": "policy", "rule": verdict.rule}
            )
            self._runner.refuse(attempt, TaskState.REJECTED, Reason.POLICY, verdict.why)
        return verdict.allowed

    def _verdict(self, spec: TaskSpec) -> Verdict:
        if isinstance(spec, CommandSpec):
            return self._guard.check(spec)
        if isinstance(spec, ExecutorSpec):
            return self._guard.check(CommandSpec(argv=tuple(policy_words(spec))))
        if "{{" in spec.dest:
            # what it becomes here is only known when it runs: there it is judged by its real path
            return ALLOWED
        change = {"removes": (spec.dest,)} if spec.op is FileOp.DELETE else {"writes": (spec.dest,)}
        reads = spec.op in (FileOp.FETCH, FileOp.PREVIEW)
        return self._guard.check_file(spec.op.value, **({} if reads else change))

    def _known(self, attempt: Attempt, rows: Rows) -> bool:
        """Answer what was delivered before; True when it was."""
        open_attempt = self._runner.attempts.get(attempt.key)
        if open_attempt is not None:
            self._runner.repeat(open_attempt)
            return True
        for number, _, report in rows:
            if number == attempt.number:
                if report is not None and not self._outbox.again(attempt.key):
                    self._outbox.put(attempt.key, report, str(json.loads(report)["token"]), final=True)
                return True
        return False

    def _superseded(self, attempt: Attempt, rows: Rows) -> bool:
        """End what a cancel or a later attempt covers; stop what an earlier attempt left running."""
        buried, _ = self._journal.buried(attempt.key)
        newer = any(number > attempt.number for number, _, _ in rows)
        if buried or newer:
            detail = "a later attempt came first" if newer and not buried else ""
            self._runner.refuse(attempt, TaskState.CANCELLED, Reason.WITHDRAWN, detail)
            return True
        if attempt.number > 1:
            self._runner.cancel(attempt.job, attempt.number - 1, None)
        return False

    def _after_reset(self, issued: float) -> bool:
        """After a lost journal, work issued before the reset may have run: it is refused, and so is all until the time is known."""
        if self._reset_at is None:
            return True
        if self._reset_at == "":
            self._ask_sync()
            return False
        if issued >= float(self._reset_at):
            return True
        self._trust.refuse("task", "it was issued before this node's journal was reset")
        self._ask_sync()
        return False

    def reset_known(self, server_time: float) -> None:
        """The first signed answer after a reset: from this moment on work may come again."""
        if self._reset_at == "":
            self._reset_at = repr(server_time)
            self._journal.set_meta("reset_at", self._reset_at)

    # --- large specs --------------------------------------------------------------------------------------------------

    def fetch(self, attempt: Attempt, reference: Any, kind: str = "exec") -> None:
        """Fetch a sealed spec, check it like any other, and let the attempt go to the queue."""
        self._frame.tasks.start(self._fetch(attempt, reference, kind), name=f"fetch {attempt.job}.{attempt.number}")

    async def _fetch(self, attempt: Attempt, reference: Any, kind: str) -> None:
        for delay in _FETCH_AGAIN:
            if self._runner.attempts.get(attempt.key) is not attempt:
                return
            try:
                data = await fetch_spec(self._frame.link, reference)
                spec = read_spec(data, kind)
                break
            except (BadObject, NotOurs) as error:
                self._runner.refuse(attempt, TaskState.REJECTED, Reason.SCHEMA, error.message)
                return
            except LinkDown as error:
                if self._frame.time.now() > attempt.not_after:
                    self._runner.refuse(attempt, TaskState.EXPIRED, Reason.NOT_DELIVERED, error.message)
                    return
            await self._frame.clock.sleep(delay)
        if self._runner.attempts.get(attempt.key) is not attempt or attempt.phase is not Phase.RECEIVED:
            return
        # kept beside the attempt: a restarted worker needs its limits, and the bucket may have let go of it
        directory = attempt_directory(self._frame.state.spool, *attempt.key, attempt.generation)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        fd = os.open(f"{directory}/spec", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(data, file)
        attempt.spec = spec
        if self.permitted(attempt, spec):
            self._runner.release(attempt)

    # --- the rest -----------------------------------------------------------------------------------------------------

    def cancel(self, wire: bytes) -> None:
        try:
            mapping = self._trust.open(wire, "cancel")
            message = from_mapping(CancelMessage, mapping)
            attempt = read_header(mapping, wire)
        except (BadSignature, BadMessage, CannotPlace) as error:
            self._trust.refuse("cancel", error)
            return
        if self._frame.time.synced and self._frame.time.now() > message.not_after:
            self._trust.refuse("cancel", "it came after its deadline")
            return
        try:
            rows = self._journal.attempts(attempt.job)
            if attempt.key not in self._runner.attempts and self._known(attempt, rows):
                return
            if not self._journal.buried(attempt.key)[0]:
                self._journal.bury(attempt.key, not_after=message.not_after, grace=message.grace)
            if attempt.key not in self._runner.attempts:
                # the task itself never came, and from here on it cannot: that is an answer too
                self._runner.refuse(attempt, TaskState.CANCELLED, Reason.WITHDRAWN)
            self._runner.cancel(message.job, message.attempt, message.grace)
        except sqlite3.Error as error:
            log.error("Cannot journal a cancel of %s.%d: %s", *attempt.key, error, extra={"action": "journal"})
            self._ask_sync()

    def receipt(self, data: bytes) -> None:
        try:
            self._outbox.receipt(decode(ReceiptMessage, data).tokens)
        except BadMessage as error:
            self._trust.refuse("receipt", error)

    def policy(self, wire: bytes) -> None:
        try:
            message = from_mapping(PolicyMessage, self._trust.open(wire, "policy"))
            if self._stale(message, self._guard.revision):
                return
            self._guard.adopt(message.revision, message.rules, message.mode)
            kept = {"revision": message.revision, "rules": message.rules, "mode": message.mode}
            self._journal.set_meta("policy", json.dumps(kept))
        except CorralError as error:
            self._trust.refuse("policy", error)
        except sqlite3.Error as error:
            log.error("Cannot store the policy: %s; in force until a restart", error, extra={"action": "journal"})

    def state(self, wire: bytes) -> None:
        try:
            message = from_mapping(StateMessage, self._trust.open(wire, "state"))
            if self._stale(message, self.state_revision):
                return
            self._journal.set_meta("state", json.dumps({"revision": message.revision, "instances": message.instances}))
            self.state_revision = message.revision
        except CorralError as error:
            self._trust.refuse("state", error)
        except sqlite3.Error as error:
            log.error("Cannot store the desired state: %s", error, extra={"action": "journal"})

    def _stale(self, message: PolicyMessage | StateMessage, revision: int) -> bool:
        """Revisions only grow, so a replay changes nothing."""
        return message.revision <= revision or self._frame.time.now() > message.not_after

"""One running built-in task: what its coroutine is given, and how far it can still be stopped.

What it says goes to the attempt's spool files, where the output path finds it; what it found goes into `result`, which the report
carries, also when it is stopped half-way. `progress` is its memory across a restart: durable, one small file beside the output.
Between `hold` and its end the target changes: a stop asked for meanwhile waits, because from there on the real outcome wins.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corral.agent.worker.attempt import Attempt
from corral.agent.worker.builtin.backups import Backups
from corral.agent.worker.builtin.blobs import Blobs
from corral.agent.worker.builtin.errors import TaskFailed
from corral.agent.worker.builtin.template import Variables
from corral.agent.worker.frame import Frame
from corral.agent.worker.guard import Guard
from corral.domain.artifact import FileSpec
from corral.domain.job import CommandSpec
from corral.domain.policy import Verdict
from corral.domain.task import Reason
from corral.runtime.files import write_atomic


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What all built-in tasks of one worker share."""

    frame: Frame
    blobs: Blobs
    backups: Backups
    guard: Guard
    facts: Callable[[], Mapping[str, Any]]

    @property
    def roots(self) -> tuple[str, ...]:
        """Where files may go; empty = anywhere the agent may write."""
        return tuple(filter(None, self.frame.settings.file_roots.split(":")))


class Work:
    """`lift(bytes)` raises the cap on this task's output. `commands` false = a simulator: no process is ever started."""

    def __init__(
        self, ground: Ground, attempt: Attempt, spec: FileSpec, *, lift: Callable[[int], None], commands: bool = True
    ) -> None:
        self.ground = ground
        self.spec = spec
        self.attempt = attempt
        self.directory = attempt.directory
        self.result: dict[str, Any] = attempt.result
        self.lift = lift
        self.commands = commands
        self.variables = Variables(ground.frame.node_id, attempt.labels, ground.facts)
        self.receipt: dict[str, Any] = {}
        self.grace_seconds = spec.grace_seconds
        self.begun = False
        self.stop_asked = False
        self.leaving = False
        self._held = False
        self._progress: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        """This attempt, as a name: the same in every run of it."""
        return f"{self.attempt.job}.{self.attempt.number}"

    @property
    def mark(self) -> str:
        return self.ground.frame.mark(*self.attempt.key)

    @property
    def temporary(self) -> str:
        """The name of our temporary file or folder beside a target: ours alone, and known again after a restart."""
        return f".corral-{self.ground.frame.node_id}-{self.id}.tmp"[-255:]

    # --- what it says -------------------------------------------------------------------------------------------------

    def out(self, data: bytes) -> None:
        self._append("out", data)

    def err(self, text: str) -> None:
        self._append("err", text.encode(errors="replace"))

    def _append(self, name: str, data: bytes) -> None:
        fd = os.open(f"{self.directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)

    def start_over(self) -> None:
        """Drop what an earlier run said: this one says all of it again, byte for byte, and readers go by offset."""
        for name in ("out", "err"):
            with contextlib.suppress(FileNotFoundError):
                os.truncate(f"{self.directory}/{name}", 0)

    # --- what it remembers --------------------------------------------------------------------------------------------

    @property
    def progress(self) -> Mapping[str, Any]:
        if self._progress is None:
            try:
                data = json.loads(Path(self.directory, "progress").read_bytes())
                self._progress = data if isinstance(data, dict) else {}
            except (OSError, ValueError):
                self._progress = {}
        return self._progress

    def save(self, **changes: Any) -> None:
        """Durable before it returns: what follows may rely on being remembered."""
        self._progress = {**self.progress, **changes}
        write_atomic(Path(self.directory, "progress"), json.dumps(self._progress).encode())

    # --- how far it can be stopped ------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Not to be stopped in here: the target is changing."""
        self.check()
        self._held = True
        try:
            yield
        finally:
            self._held = False

    @property
    def held(self) -> bool:
        return self._held

    def check(self) -> None:
        """Stop here if that was asked for."""
        if self.stop_asked:
            raise asyncio.CancelledError

    def permit(self, op: str, *, writes: tuple[str, ...] = (), removes: tuple[str, ...] = ()) -> None:
        """Raise TaskFailed unless the node's policy lets a file task do this."""
        refuse_unless(self.ground.guard.check_file(op, writes=writes, removes=removes))

    def permit_command(self, words: tuple[str, ...]) -> None:
        refuse_unless(self.ground.guard.check(CommandSpec(argv=words)))


def refuse_unless(verdict: Verdict) -> None:
    if not verdict.allowed:
        raise TaskFailed(f"cannot do this here: {verdict.why}", reason=Reason.POLICY)

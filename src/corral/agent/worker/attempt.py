"""One attempt of one task while this worker has it in hand, and the set of attempts the server has not settled yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from corral.agent.worker.redaction import Redactor, secrets_of
from corral.domain.job import TaskSpec
from corral.domain.task import Reason, TaskState
from corral.protocol.codec import encode
from corral.protocol.digest import one
from corral.protocol.messages import ReportMessage

if TYPE_CHECKING:
    from corral.agent.worker.builtin.host import End
    from corral.agent.worker.builtin.work import Work
    from corral.agent.worker.output import OutputFollower
    from corral.runtime.process import ExitWatch

Key = tuple[str, int]
"""(job, attempt)"""


class Phase(StrEnum):
    """Where a row of the journal stands. RECEIVED may run; STARTING may have started; DONE has its report; RECEIPTED is history."""

    RECEIVED = "received"
    STARTING = "starting"
    DONE = "done"
    RECEIPTED = "receipted"


SEQ = {TaskState.DELIVERED: 1, TaskState.RUNNING: 2}
"""Report numbers of one attempt. Fixed, so a restarted worker repeats itself instead of inventing; every end is 3."""
SEQ_END = 3


@dataclass(slots=True, eq=False)
class Attempt:
    """What is in memory of one accepted attempt. Wall times are the server's; `started_mono` is the machine's monotonic clock."""

    job: str
    number: int
    wire: bytes
    not_after: float
    spec: TaskSpec | None
    directory: str = ""
    generation: int = 0
    phase: Phase = Phase.RECEIVED
    delivered_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    started_mono: float = 0.0
    ending: str = ""
    stop: dict[str, Any] = field(default_factory=dict)
    stopper: asyncio.Task[None] | None = None
    pid: int = 0
    watch: ExitWatch | None = None
    exit_status: int | None = None
    exited: bool = False
    timer: asyncio.TimerHandle | None = None
    output: OutputFollower | None = None
    announced: bool = False
    labels: Mapping[str, Any] = field(default_factory=dict)
    private: Mapping[str, Any] = field(default_factory=dict, repr=False)
    redactor: Redactor | None = None
    result: dict[str, Any] = field(default_factory=dict)
    work: Work | None = None
    builtin_end: End | None = None

    @property
    def key(self) -> Key:
        return (self.job, self.number)

    def entrust(self, private: Mapping[str, Any]) -> None:
        """Take what only this task may see; from here on its output is read through the redactor."""
        self.private = private
        self.redactor = Redactor(secrets_of(private)) or None if private else None

    def report(self, token: str, state: TaskState, reason: Reason = Reason.NONE, **figures: Any) -> bytes:
        """The wire form of what is to be said of it now."""
        return encode(
            ReportMessage(
                token=token,
                job=self.job,
                attempt=self.number,
                seq=SEQ.get(state, SEQ_END),
                state=state.value,
                reason=reason.value,
                delivered_at=self.delivered_at,
                started_at=self.started_at,
                finished_at=self.finished_at,
                cancel=self.stop,
                **figures,
            )
        )


class OpenSet:
    """What this node accepted and the server has not settled: what sync lists and the beat's digest covers."""

    def __init__(self) -> None:
        self._items: dict[Key, None] = {}
        self._value = 0

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Key]:
        return iter(tuple(self._items))

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def add(self, key: Key) -> None:
        if key not in self._items:
            self._items[key] = None
            self._value ^= one(*key)

    def discard(self, key: Key) -> None:
        if key in self._items:
            del self._items[key]
            self._value ^= one(*key)

    @property
    def digest(self) -> str:
        return f"{self._value:016x}"

"""The exit status of a command line as a function of what happened (design section 9). Pure.

0 all succeeded, or accepted with --detach · 124 every task that did not succeed timed out · 1 any other outcome, still queued
included · 2 usage and bad selector · 3 nothing matched, no such id · 4 no server · 5 denied · 130 detached by Ctrl-C.
Errors carry their own (domain.errors: exit_status).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from corral.domain.task import TaskState
from corral.sdk.models import Task

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOTHING: Final = 3
TIMED_OUT: Final = 124
DETACHED: Final = 130


def of_tasks(tasks: Iterable[Task]) -> int:
    """The status of a job one has waited for."""
    others = {task.state for task in tasks} - {TaskState.SUCCEEDED.value}
    if not others:
        return OK
    return TIMED_OUT if others == {TaskState.TIMED_OUT.value} else FAILED

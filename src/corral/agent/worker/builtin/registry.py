"""The built-in task kinds: kind → spec class → a coroutine that does it on the node.

A built-in may run more than once for one attempt: a worker that restarts, or a machine that does, begins a STARTING one again from
its first line. That keeps "at most one start per attempt" because the promise is about effects, and every operation here has its
effect once: what is prepared has a name that only this attempt uses and is thrown away first; what changes is one rename (or unlink,
or exchange) whose intent is on disk before it; a second run that finds its own work done reports it as its own instead of doing it
again; and a `notify` command, which cannot be undone, runs under the claim of every other command. So there is no `interrupted`
for these kinds: the next run finds out what happened.
"""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from corral.agent.worker.builtin.work import Work
from corral.domain.artifact import FileOp, FileSpec

Operation = Callable[[FileSpec, Work], Awaitable[None]]

OPERATIONS: Final[Mapping[FileOp, str]] = {
    FileOp.APPLY: "apply",
    FileOp.FETCH: "fetch",
    FileOp.PREVIEW: "preview",
    FileOp.COPY: "copy",
    FileOp.DELETE: "delete",
    FileOp.ROLLBACK: "rollback",
}
"""Module of this package and function in it; loaded when first asked for, so a worker that ships no files stays small."""


def operation_for(op: FileOp) -> Operation:
    module: Any = importlib.import_module(f"corral.agent.worker.builtin.{OPERATIONS[op]}")
    found: Operation = getattr(module, OPERATIONS[op])
    return found

"""How a built-in task fails: one class, so that everything else that escapes is our own mistake and is logged as such."""

from __future__ import annotations

import os

from corral.domain.errors import CorralError
from corral.domain.task import Reason


class TaskFailed(CorralError):
    """The task ends `failed` with this text as its detail; what is at the target is as it was, unless the text says otherwise."""

    code, http_status = 1001, 400

    def __init__(self, message: str, *, hint: str | None = None, reason: Reason = Reason.NONE) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


def os_failure(verb: str, path: str, error: OSError) -> TaskFailed:
    """An error of the system in the words of ours."""
    cause = (os.strerror(error.errno) if error.errno else str(error)).lower()
    where = error.filename if isinstance(error.filename, str) and error.filename.startswith("/") else path
    return TaskFailed(f"cannot {verb} {where!r}: {cause}")

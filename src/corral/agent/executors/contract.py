"""The child's side of an executor: read one document, do it, say what happened. Third parties write theirs against this file.

    from corral.agent.executors.contract import Request, emit, main, result

    def run(request: Request) -> None:
        emit("hello " + request.params["name"])
        result({"greeted": request.params["name"]})

    if __name__ == "__main__":
        main(KIND, run)

stdin is the document, stdout is what people see, stderr one line `cannot …` and one `hint: …` when it fails, the file named by
CORRAL_RESULT the machine-readable outcome. Exit: 0 done, 1 failed, 2 bad params, 3 driver not installed, 143 cancelled.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, NoReturn

from corral.domain.errors import CorralError, Invalid
from corral.domain.executors.contract import (
    EXIT_BAD_PARAMS,
    EXIT_FAILED,
    EXIT_NO_DRIVER,
    RESULT_BYTES_MAX,
    RESULT_VARIABLE,
    VERSION,
    ExecutorKind,
)
from corral.domain.schema import check, with_defaults

EXIT_CANCELLED: Final = 128 + signal.SIGTERM


class Failed(CorralError):
    """The work was tried and did not succeed; exit 1."""


class BadParams(Invalid):
    """The params or the connection cannot be meant; exit 2."""


class MissingDriver(CorralError):
    """What the executor drives with is not installed on this node; exit 3. `hint` is the command that installs it."""


class Cancelled(BaseException):
    """Raised in the main thread by SIGTERM, so that `with` and `finally` blocks close what is open."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One task. `params` are checked and hold the schema's defaults; `connection` is None for kinds that take none."""

    kind: str
    params: Mapping[str, Any]
    connection: Mapping[str, Any] | None
    deadline_seconds: float
    dry_run: bool


_cancel: list[Callable[[], None]] = []


def on_cancel(stop: Callable[[], None]) -> None:
    """Call `stop` first when the task is cancelled: the driver's own cancel. It must be short; what it raises is ignored."""
    _cancel.append(stop)


def emit(text: str) -> None:
    """One line for people, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def result(outcome: Mapping[str, Any]) -> None:
    """The machine-readable outcome; the last call counts. Raises Failed when it is too large."""
    path = os.environ.get(RESULT_VARIABLE)
    data = json.dumps(outcome, separators=(",", ":"), default=str).encode()
    if len(data) > RESULT_BYTES_MAX:
        raise Failed(f"cannot report an outcome of {len(data)} bytes: at most {RESULT_BYTES_MAX}")
    if path:
        with open(path, "wb") as file:
            file.write(data)


def main(kind: ExecutorKind, run: Callable[[Request], None]) -> NoReturn:
    """Run `run` on the document of stdin and exit by the contract."""
    if "--schema" in sys.argv[1:]:
        emit(json.dumps(dict(kind.schema), indent=2))
        sys.exit(0)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        run(read(kind, sys.stdin.buffer.read()))
    except MissingDriver as error:
        _leave(error, EXIT_NO_DRIVER)
    except Invalid as error:
        _leave(error, EXIT_BAD_PARAMS)
    except CorralError as error:
        _leave(error, EXIT_FAILED)
    except Cancelled:
        sys.exit(EXIT_CANCELLED)
    except BrokenPipeError:
        sys.exit(EXIT_FAILED)
    sys.exit(0)


def read(kind: ExecutorKind, document: bytes) -> Request:
    """Raises BadParams, Invalid."""
    try:
        data = json.loads(document)
        version, params = data["v"], data["params"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadParams("cannot read the task: expected one JSON document on standard input") from None
    if version != VERSION:
        raise BadParams(f"cannot read the task: version {version!r}, this executor speaks {VERSION}", element="v")
    check(kind.schema, params)
    params = with_defaults(kind.schema, params)
    kind.more(params)
    return Request(
        kind=kind.name,
        params=params,
        connection=data.get("connection"),
        deadline_seconds=float(data.get("deadline_seconds", 300.0)),
        dry_run=bool(data.get("dry_run", False)),
    )


def _terminated(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for stop in reversed(_cancel):
        with contextlib.suppress(Exception):
            stop()
    raise Cancelled


def _leave(error: CorralError, code: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.write(error.message + "\n" + (f"hint: {error.hint}\n" if error.hint else ""))
    sys.exit(code)

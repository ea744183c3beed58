"""Running a program to its end and keeping what it said: for what a task needs an answer of, not for what it runs for people."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

KEPT_BYTES: Final = 64 << 10


@dataclass(frozen=True, kw_only=True)
class Captured:
    """`out` and `err` are text, the first KEPT_BYTES of each."""

    status: int
    out: str
    err: str


def capture(argv: Sequence[str], *, timeout_seconds: float, env: Mapping[str, str] | None = None) -> Captured:
    """`env` is added to ours. The program is killed when it takes too long or we are interrupted. Raises OSError, TimeoutError."""
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
            env={**os.environ, **(env or {})},
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"{argv[0]} did not end in {timeout_seconds:g} s") from None
    return Captured(status=done.returncode, out=_text(done.stdout), err=_text(done.stderr))


def _text(data: bytes) -> str:
    return data[:KEPT_BYTES].decode("utf-8", "replace")

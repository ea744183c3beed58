"""Port SqlReviewer over a child process per review: a text that takes for ever or all memory costs one child, never the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from corral.domain.errors import Invalid, TooLarge, Unavailable
from corral.domain.executors.sqltask import SQL_CHARS_MAX
from corral.runtime.process import base_environment
from corral.server.application.ports.review import Finding, Level, Review, ReviewedStatement, SqlReviewer
from corral.server.infrastructure.review.split import DIALECTS

MODULE: Final = "corral.server.infrastructure.review.child"
WAIT_SECONDS: Final = 15.0
"""The child's own limit is processor time; this one is for a machine that gives it none."""
AT_ONCE: Final = 2
REMEMBERED: Final = 64
"""A submission is reviewed when it is completed and again by its guard: the second time costs nothing."""


class ChildReviewer(SqlReviewer):
    def __init__(
        self, *, program: Sequence[str] = (sys.executable, "-m", MODULE), wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._program = tuple(program)
        self._wait_seconds = wait_seconds
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._remembered: OrderedDict[tuple[str, ...], Review] = OrderedDict()

    async def review(self, engine: str, texts: Sequence[str]) -> Review:
        if engine not in DIALECTS:
            raise Invalid(
                f"cannot review SQL of engine {engine[:40]!r}: expected one of {', '.join(sorted(DIALECTS))}",
                element="engine",
            )
        size = sum(map(len, texts))
        if size > SQL_CHARS_MAX:
            raise TooLarge(f"cannot review {size} characters of SQL: at most {SQL_CHARS_MAX}", element="sql")
        key = (engine, *texts)
        if key in self._remembered:
            self._remembered.move_to_end(key)
            return self._remembered[key]
        async with self._slots:
            found = _decoded(await self._ask({"engine": engine, "texts": list(texts)}))
        self._remembered[key] = found
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)
        return found

    async def _ask(self, document: Mapping[str, Any]) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *self._program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=base_environment(),
        )
        try:
            async with asyncio.timeout(self._wait_seconds):
                out, err = await process.communicate(json.dumps(document).encode())
        except TimeoutError:
            raise _too_hard() from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode == 0:
            answer: dict[str, Any] = json.loads(out)
            return answer
        if b"No module named 'sqlglot'" in err:
            raise Unavailable(
                "cannot review SQL: sqlglot is not installed on this server",
                element="review",
                hint="install the server extra: pip install 'corral[server]'",
            )
        raise _too_hard()


def _too_hard() -> Invalid:
    return Invalid(
        "cannot review this SQL: the parser gave up on it (time or memory)",
        element="sql",
        hint="split it into smaller statements, or write the deepest expression more simply",
    )


def _decoded(answer: Mapping[str, Any]) -> Review:
    if "refused" in answer:
        raise Invalid(str(answer["refused"]), element="sql")
    return Review(
        statements=tuple(
            ReviewedStatement(
                text=one["text"],
                verb=one["verb"],
                tables=tuple(one["tables"]),
                findings=tuple(Finding(**{**finding, "level": Level(finding["level"])}) for finding in one["findings"]),
                changes=one["changes"],
            )
            for one in answer["statements"]
        )
    )

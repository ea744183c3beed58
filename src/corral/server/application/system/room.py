"""The system room: is every part we need there, who leads, what could not be understood."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from corral.domain.errors import CorralError, Invalid, Unsupported
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import DeadLetter, DeadLetters
from corral.server.application.system.backup import Backup

_CHECK_SECONDS: Final = 2.0
LIMIT_MAX: Final = 1000

Check = Callable[[], Awaitable[Mapping[str, Any]]]
"""Says how a part stands; raises (Unavailable, TimeoutError, OSError) when it does not work."""


@dataclass(frozen=True, kw_only=True)
class PartStatus:
    name: str
    ok: bool
    details: Mapping[str, Any]


class SystemRoom:
    """`checks`: the parts without which the server cannot do its work (sql, engine). `info`, `figures`: what else is worth knowing.

    `figures` have to be asked for (in SQL) and may fail without anything being wrong with the server's readiness.
    """

    def __init__(
        self,
        *,
        version: str,
        checks: Mapping[str, Check],
        dead_letters: DeadLetters,
        info: Callable[[], Mapping[str, Any]] = dict,
        figures: Mapping[str, Check] | None = None,
        backup: Backup | None = None,
    ) -> None:
        self.version = version
        self._checks = checks
        self._dead_letters = dead_letters
        self._info = info
        self._figures = figures or {}
        self._backup = backup

    async def parts(self) -> Sequence[PartStatus]:
        """Every check at once, none longer than two seconds."""
        return await asyncio.gather(*(_look(name, check) for name, check in self._checks.items()))

    async def status(self, caller: Caller) -> Mapping[str, Any]:
        parts = await self.parts()
        figures = await asyncio.gather(*(_look(name, figure) for name, figure in self._figures.items()))
        return {
            "version": self.version,
            "ready": all(part.ok for part in parts),
            **{part.name: {"ok": part.ok, **part.details} for part in parts},
            **{figure.name: dict(figure.details) for figure in figures},
            **self._info(),
        }

    async def backup(self, caller: Caller) -> AsyncIterator[bytes]:
        """The bytes of a backup (runtime/archive.py). Raises Conflict while another one is being made."""
        if self._backup is None:
            raise Unsupported("cannot make a backup: this server has no data of its own", element="backup")
        return await self._backup.stream(caller)

    async def dead_letters(self, caller: Caller, *, limit: int = 50) -> Sequence[DeadLetter]:
        if not 1 <= limit <= LIMIT_MAX:
            raise Invalid(f"cannot list {limit} letters: expected 1 to {LIMIT_MAX}", element="limit")
        return await self._dead_letters.list(limit=limit)


async def _look(name: str, check: Check) -> PartStatus:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return PartStatus(name=name, ok=True, details=await check())
    except CorralError as error:
        return PartStatus(name=name, ok=False, details={"error": error.message})
    except (OSError, TimeoutError) as error:
        text = f"no answer within {_CHECK_SECONDS:g} s" if isinstance(error, TimeoutError) else str(error)
        return PartStatus(name=name, ok=False, details={"error": text})

"""What a fault gets: its dice, its size, a folder, and the way to lay out a control plane with a fleet."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from corral.runtime.clock import Clock, SystemClock
from corral.testing.chaos.field import Field
from corral.testing.stack import Stack

Scale = Literal["ci", "full"]
_KEPT: Final = ("*.log", "server/corral.db*")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a fault ended. `ran`: how many times it was really done; `problems`: what broke, empty when nothing did."""

    ran: int
    problems: Sequence[str]
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True, kw_only=True)
class Ground:
    """`rng` decides every random choice, so that a seed repeats a run as far as processes can be repeated at all."""

    rng: random.Random
    scale: Scale
    keep: Path | None = None
    clock: Clock = field(default_factory=SystemClock)

    def pick(self, ci: int, full: int) -> int:
        return ci if self.scale == "ci" else full

    @contextlib.asynccontextmanager
    async def field(
        self,
        nodes: int,
        *,
        processes: int = 2,
        flags: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        through: Callable[[Stack], Awaitable[str]] | None = None,
    ) -> AsyncGenerator[Field, None]:
        """A server with its engine and `nodes` simulated nodes, all online. `through` gives the address they connect to instead."""
        prefix = f"c{self.rng.randrange(16**6):06x}"
        async with Stack.temporary(env=env) as stack:
            try:
                url = None if through is None else await through(stack)
                await stack.simulate(nodes, processes=processes, flags=flags, prefix=prefix, engine_url=url)
                yield Field(
                    fleet=lambda: stack.fleet,
                    folder=stack.folder,
                    rng=self.rng,
                    clock=self.clock,
                    prefix=prefix,
                    stack=stack,
                )
            finally:
                self._save(stack.folder)

    @contextlib.contextmanager
    def folder(self) -> Iterator[Path]:
        """An empty folder for a fault that lays out its own processes."""
        with tempfile.TemporaryDirectory(prefix="corral-chaos-", ignore_cleanup_errors=True) as name:
            try:
                yield Path(name)
            finally:
                self._save(Path(name))

    def _save(self, folder: Path) -> None:
        """Logs and database outlive the run where that was asked for."""
        if self.keep is None:
            return
        for pattern in _KEPT:
            for path in folder.rglob(pattern):
                target = self.keep / path.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(OSError):
                    shutil.copy2(path, target)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`asked`: how many the catalogue wants in CI. `ran` of the outcome says how many there were."""

    name: str
    title: str
    asked: str
    run: Callable[[Ground], Awaitable[Outcome]]

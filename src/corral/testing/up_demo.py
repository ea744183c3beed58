"""`corral up` as a person starts it: a process of its own in a folder of its own, its words read from its standard output."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from corral.domain.errors import Unavailable
from corral.runtime.clock import Clock, SystemClock
from corral.sdk import Fleet, connect

LAST_LINE = "Ctrl-C stops everything."


class UpDemo:
    """`start` and `stop` any number of times on the same folder. The folder's name marks every process that belongs to it."""

    def __init__(self, folder: Path, *, nodes: int = 3, env: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.nodes = nodes
        self.process: asyncio.subprocess.Process | None = None
        self.said = ""
        self._clock: Clock = SystemClock()
        # the mark is inherited by everything the launcher starts
        self._env = {**os.environ, "CORRAL_UP_MARK": str(folder), **(env or {})}
        self._fleet: Fleet | None = None
        self._fleets: list[Fleet] = []
        """Of every address there was: after a restart the port may be another one."""

    async def start(self, *words: str, patience_seconds: float = 60.0) -> float:
        """`corral up <words>` (default: on `data`, any port) until it said its last line; how long that took."""
        began = self._clock.monotonic()
        argv = words or ("--data-dir", str(self.data), "--nodes", str(self.nodes), "--port", "0")
        self.said = ""
        errors = (self.folder / "up-errors.log").open("ab")
        with errors:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "corral",
                "up",
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                cwd=self.folder,
                env=self._env,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(patience_seconds):
                while LAST_LINE not in self.said:
                    line = await self.process.stdout.readline()
                    if not line:
                        raise Unavailable(f"cannot start corral up: {self.errors()}")
                    self.said += line.decode()
        except TimeoutError:
            raise Unavailable(f"cannot start corral up in {patience_seconds:g} s: {self.errors()}") from None
        return self._clock.monotonic() - began

    def errors(self) -> str:
        return (self.folder / "up-errors.log").read_text(errors="replace")[-3000:]

    async def end(self, number: signal.Signals, *, patience_seconds: float = 30.0) -> int:
        """Signal the launcher alone and wait for its end; its exit status."""
        assert self.process is not None
        await self.forget()
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), patience_seconds)

    @property
    def context(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / ".corral" / "local.json").read_bytes()))

    @property
    def fleet(self) -> Fleet:
        context = self.context
        if self._fleet is None or self._fleet.context.url != context["url"]:
            self._fleet = connect(context["url"], context["token"])
            self._fleets.append(self._fleet)
        return self._fleet

    async def forget(self) -> None:
        fleets, self._fleets, self._fleet = self._fleets, [], None
        for fleet in fleets:
            await fleet.close()

    async def run(self, *words: str, patience_seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """`corral <words>` in the folder, as in another terminal."""
        argv = [sys.executable, "-m", "corral", *words]
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.folder,
            env={**os.environ, "CORRAL_URL": "", "CORRAL_TOKEN": "", "NO_COLOR": "1"},
        )
        out, err = await asyncio.wait_for(process.communicate(), patience_seconds)
        return subprocess.CompletedProcess(argv, process.returncode or 0, out.decode(), err.decode())

    def processes(self) -> dict[int, Sequence[str]]:
        """Everything alive that this demo started, however detached: pid → words."""
        mark = f"CORRAL_UP_MARK={self.folder}\0".encode()
        found: dict[int, Sequence[str]] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError, IndexError):
                words = (entry / "cmdline").read_bytes()
                ours = mark in (entry / "environ").read_bytes() or str(self.folder).encode() in words
                dead = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0] in (b"Z", b"X")
                if ours and not dead and int(entry.name) != os.getpid():
                    found[int(entry.name)] = [word.decode(errors="replace") for word in words.split(b"\0") if word]
        return found

    def pids(self, *words: str) -> list[int]:
        """Those whose command line holds these words."""
        return sorted(pid for pid, argv in self.processes().items() if all(word in " ".join(argv) for word in words))

    async def clean(self) -> None:
        """End whatever is left."""
        await self.forget()
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), 20)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            await self.process.wait()

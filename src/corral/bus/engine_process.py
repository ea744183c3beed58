"""The nats-server process itself: find the program, start it so that it dies with us, stop it, and clear what a killed server left.

The child asks the kernel to terminate it when its parent dies, through a one-line launcher that then becomes the engine (a
function between fork and exec is not safe in a program with threads). Should an engine still outlive its server, the next start
finds it by its exact configuration path, which the lock on the directory makes unambiguous.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from corral.domain.errors import Unavailable

PROGRAM: Final = "nats-server"
STOP_GRACE_SECONDS: Final = 8.0

_LAUNCHER: Final = (
    "import ctypes,os,sys;"
    "ctypes.CDLL(None).prctl(1,15,0,0,0);"  # PR_SET_PDEATHSIG, SIGTERM
    "os.getppid()==int(sys.argv[1]) or os._exit(1);"  # the parent may have died before the line above
    "os.execv(sys.argv[2],sys.argv[2:])"
)


def find_program(environment: Mapping[str, str]) -> Path:
    """CORRAL_NATS_BIN, else beside our interpreter (where the wheel puts it), else PATH. Raises Unavailable."""
    named = environment.get("CORRAL_NATS_BIN")
    beside = Path(sys.executable).with_name(PROGRAM)
    on_path = shutil.which(PROGRAM, path=environment.get("PATH"))
    for candidate in [Path(named)] if named else [beside, *([Path(on_path)] if on_path else [])]:
        if os.access(candidate, os.X_OK) and candidate.is_file():
            return candidate
    raise Unavailable(
        f"cannot start the engine: there is no {named or PROGRAM!r}",
        element="engine",
        hint="install the server extra (it brings nats-server), or set CORRAL_NATS_BIN or engine.urls",
    )


class EngineProcess:
    """One running engine. `wait` ends when the process has exited, not when its port closed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, program: Path, config: Path, environment: Mapping[str, str]) -> EngineProcess:
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(program), "-c", str(config)]
        process = await asyncio.create_subprocess_exec(
            *launcher,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=dict(environment),
            start_new_session=True,  # a Ctrl-C in the terminal is ours to handle: the engine stops last
        )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exited(self) -> bool:
        return self._process.returncode is not None

    async def wait(self) -> int:
        return await self._process.wait()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
        """TERM, wait, KILL, wait. Returns when the process is gone."""
        if self.exited:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), grace_seconds)
        except TimeoutError:
            self.kill()
            await self._process.wait()


def orphans(config: Path) -> list[int]:
    """Pids of engines that run with exactly this configuration file. Call it holding the directory's lock."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _is_ours(pid, config)]


async def stop_orphan(pid: int, config: Path, grace_seconds: float = STOP_GRACE_SECONDS) -> None:
    """TERM then KILL an engine we did not start, through a pidfd: a pid that was reused meanwhile is not touched."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not _is_ours(pid, config):
            return
        for sig, seconds in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, grace_seconds)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, sig)
            if await asyncio.to_thread(_ended, fd, seconds):
                return
    finally:
        os.close(fd)
    raise Unavailable(f"cannot start the engine: an older one (pid {pid}) does not end", element="engine")


def _ended(fd: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _is_ours(pid: int, config: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        mine = os.stat(f"/proc/{pid}").st_uid == os.getuid()
    except OSError:
        return False
    return mine and os.path.basename(words[0]) == PROGRAM.encode() and os.fsencode(config) in words

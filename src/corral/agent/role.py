"""What daemon and worker share as processes: one of each per state directory, its own rotated log, a pid file while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from corral.agent import pidfile
from corral.agent.config import AgentSettings, Identity, StateDir, load_identity
from corral.runtime.files import DirectoryLock
from corral.runtime.logs import configure


@contextmanager
def running_as(role: str, state: StateDir, settings: AgentSettings) -> Iterator[Identity]:
    """Hold the directory as `role` ("daemon", "worker"). Raises NotFound when not enrolled, Conflict naming who holds it."""
    identity = load_identity(state)
    lock = DirectoryLock(state.root, name=f"{role}.lock", what="the state directory")
    lock.acquire()
    configure(
        level=settings.log_level,
        file=state.log(role),
        max_bytes=settings.log_max_bytes,
        files=settings.log_files,
        days=settings.log_days,
    )
    pidfile.write(state.pid(role))
    try:
        yield identity
    finally:
        pidfile.remove(state.pid(role))
        lock.release()

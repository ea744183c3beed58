"""Where `corral up` keeps things, which ports it takes, and what an earlier, killed run left behind."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from corral.agent.config import StateDir
from corral.domain.errors import Conflict
from corral.runtime.clock import Clock
from corral.runtime.files import private_dir, write_atomic

HTTP_PORT = 8080
ENGINE_PORT = 4222


@dataclass(frozen=True)
class Place:
    """One folder: server/ (database, engine, keys), nodes/<id>/ (state of the demo nodes), the zipapp and the logs."""

    root: Path

    def prepare(self) -> None:
        for folder in (self.root, self.server, self.nodes):
            private_dir(folder)

    @property
    def server(self) -> Path:
        return self.root / "server"

    @property
    def nodes(self) -> Path:
        return self.root / "nodes"

    @property
    def bundle(self) -> Path:
        return self.root / "corral-agent.pyz"

    @property
    def server_log(self) -> Path:
        return self.root / "server.log"

    @property
    def admin_token(self) -> Path:
        return self.server / "admin.token"

    def node(self, number: int) -> StateDir:
        return StateDir(self.nodes / f"node-{number}")

    def known_nodes(self) -> list[StateDir]:
        return [StateDir(path) for path in sorted(self.nodes.iterdir()) if path.is_dir()] if self.nodes.exists() else []


@dataclass(frozen=True, kw_only=True)
class Ports:
    http: int
    engine: int


def choose_ports(place: Place, asked: int | None) -> Ports:
    """The ports of the last run if they are free, so that nodes that ran on find the engine; else the defaults; else any.

    Raises Conflict when the port that was asked for is taken.
    """
    saved: dict[str, int] = {}
    try:
        saved = json.loads((place.root / "ports.json").read_bytes())
    except (FileNotFoundError, ValueError):
        pass
    if asked:
        if not _free(asked):
            raise Conflict(
                f"cannot use port {asked}: something else listens there",
                element="--port",
                hint="choose another, or --port 0",
            )
        http = asked
    else:
        http = _first_free([saved.get("http", HTTP_PORT)] + ([] if asked == 0 else [HTTP_PORT]))
    ports = Ports(http=http, engine=_first_free([saved.get("engine", ENGINE_PORT), ENGINE_PORT]))
    write_atomic(
        place.root / "ports.json", json.dumps({"http": ports.http, "engine": ports.engine}).encode(), durable=False
    )
    return ports


def _first_free(wanted: list[int]) -> int:
    for port in wanted:
        if _free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def record_pid(place: Place, name: str, pid: int) -> None:
    write_atomic(place.root / f"{name}.pid", f"{pid} {_start_time(pid)}\n".encode(), durable=False)


async def stop_recorded(place: Place, name: str, clock: Clock) -> None:
    """End the process an earlier run recorded under `name`, if it still is that process."""
    try:
        pid, started = (int(word) for word in (place.root / f"{name}.pid").read_text().split())
    except (FileNotFoundError, ValueError):
        return
    if _start_time(pid) != started:
        return
    await end(pid, clock)


async def stop_lock_holder(place: Place, clock: Clock) -> None:
    """End the server that holds our data, whoever started it when: a launcher that was killed may have restarted it many times.

    The lock is the truth: while it is held, the pid in it is that of a living server on exactly this folder.
    """
    path = place.server / "server.lock"
    for _ in range(2):  # the second look catches a server that was just starting when we looked first
        try:
            with path.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    holder = file.read(200).split()
        except FileNotFoundError:
            return
        if len(holder) == 2 and holder[1].isdigit():
            await end(int(holder[1]), clock)


async def end(pid: int, clock: Clock, *, grace_seconds: float = 6.0) -> None:
    """TERM, wait, KILL one process that need not be our child."""
    started = _start_time(pid)
    for sig, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 2.0)):
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            return
        deadline = clock.monotonic() + patience
        while _start_time(pid) == started and clock.monotonic() < deadline:
            await clock.sleep(0.05)
        if _start_time(pid) != started:
            return


def _start_time(pid: int) -> int:
    """Clock ticks since boot at which `pid` started; 0 when there is none (a zombie counts as gone)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return 0
    return 0 if fields[0] == "Z" else int(fields[19])

"""A whole control plane as real processes in a temporary folder: server (with its engine) and simulated nodes, for tests and benchmarks.

Everything binds free ports on loopback. Processes are ended by the ids we started; a fault run may kill -9 any of them and start it
again on the same data.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import urllib.request
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from corral.domain.errors import CorralError, Unavailable
from corral.runtime.clock import Clock, SystemClock
from corral.sdk import Fleet, connect
from corral.server.infrastructure.pki.ca import Authority
from corral.testing.ports import free_port
from corral.testing.sim.identities import FleetFile, make
from corral.testing.sim.main import register, spool_folder
from corral.testing.sim.spread import host_argv, processes_for


class Stack:
    """Start with `async with Stack.temporary() as stack`. `fleet` is an SDK client with the admin token."""

    def __init__(self, folder: Path, *, env: Mapping[str, str] | None = None, clock: Clock | None = None) -> None:
        self.folder = folder
        self.data = folder / "server"
        self.http_port = free_port()
        self.engine_port = free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.env = dict(env or {})
        self.server: asyncio.subprocess.Process | None = None
        self.hosts: list[asyncio.subprocess.Process] = []
        self.fleet_file: Path | None = None
        self.spool: Path | None = None
        self._clock = clock or SystemClock()
        self._fleet: Fleet | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def temporary(cls, *, env: Mapping[str, str] | None = None, tls: bool = False) -> AsyncGenerator[Stack, None]:
        """`tls`: the engine speaks TLS with a certificate of a CA made for this stack."""
        with tempfile.TemporaryDirectory(prefix="corral-stack-") as folder:
            stack = cls(Path(folder), env=env)
            if tls:
                stack.env |= stack._engine_tls()
            try:
                await stack.start_server()
                yield stack
            finally:
                await stack.close()

    def _engine_tls(self) -> dict[str, str]:
        authority = Authority(self.folder / "pki", self._clock)
        authority.create()
        files = authority.server_certificate("engine", ["127.0.0.1", "localhost"])
        return {
            "CORRAL__ENGINE__TLS_CERT": str(files.certificate),
            "CORRAL__ENGINE__TLS_KEY": str(files.key),
            "CORRAL__ENGINE__TLS_CA": str(authority.certificate),
        }

    @property
    def fleet(self) -> Fleet:
        if self._fleet is None:
            self._fleet = connect(self.url, (self.data / "admin.token").read_text().strip())
        return self._fleet

    @property
    def engine_pid(self) -> int:
        """The nats-server that serves this stack now; raises Unavailable while there is none."""
        mark = str(self.data / "engine").encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                if words.split(b"\0", 1)[0].endswith(b"nats-server") and mark in words:
                    return int(entry.name)
        raise Unavailable("cannot find the engine of this stack: it is not running")

    async def start_server(self, *, patience_seconds: float = 30.0, env: Mapping[str, str] | None = None) -> None:
        """Start it (again, on the same data) and wait until it is ready. `env` is for this start alone."""
        settings = {
            "CORRAL__SERVER__DATA_DIR": str(self.data),
            "CORRAL__SERVER__PORT": str(self.http_port),
            "CORRAL__SERVER__REQUESTS_PER_SECOND": "0",
            "CORRAL__ENGINE__PORT": str(self.engine_port),
        }
        with (self.folder / "server.log").open("ab") as log:
            self.server = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "corral",
                "server",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **settings, **self.env, **(env or {})},
                start_new_session=True,
            )
        deadline = self._clock.monotonic() + patience_seconds
        while not await self._ready():
            if self._clock.monotonic() > deadline or self.server.returncode is not None:
                raise Unavailable(f"cannot start the server; its log ends:\n{self.log_tail()}")
            await self._clock.sleep(0.05)

    async def stop_server(self) -> None:
        """TERM, and wait for its end; the engine goes with it."""
        if self._fleet is not None:
            await self._fleet.close()
            self._fleet = None
        if self.server is not None:
            await _end(self.server)

    async def connections(self) -> int:
        """How many connections the engine says it has, the server's own included; raises Unavailable while it does not answer."""
        folder = self.data / "engine"
        try:
            ports = json.loads((folder / f"nats-server_{self.engine_pid}.ports").read_text())
            answer = await asyncio.to_thread(_get_json, ports["monitoring"][0] + "/varz")
        except (OSError, ValueError, LookupError) as error:
            raise Unavailable(f"cannot ask the engine for its connections: {error}") from None
        return int(answer["connections"])

    def log_tail(self, characters: int = 3000) -> str:
        return (self.folder / "server.log").read_text(errors="replace")[-characters:]

    async def _ready(self) -> bool:
        probe = connect(self.url, "none")
        try:
            return await probe.probe("/readyz") == 200
        except CorralError:
            return False
        finally:
            await probe.close()

    async def simulate(
        self,
        count: int,
        *,
        processes: int | None = None,
        flags: Sequence[str] = (),
        prefix: str = "sim",
        engine_url: str | None = None,
    ) -> None:
        """Enrol `count` simulated nodes, start their hosts and wait until all are online. `engine_url`: a proxy they go through."""
        self.spool = spool_folder()
        self.fleet_file = self.spool / "fleet.json"
        file = await register(self.fleet, make(count, prefix=prefix))
        (file if engine_url is None else replace(file, engine_urls=[engine_url])).save(self.fleet_file)
        await self.start_hosts(processes=processes, flags=flags)
        await self.online(count)

    async def start_hosts(self, *, processes: int | None = None, flags: Sequence[str] = ()) -> None:
        assert self.fleet_file is not None and self.spool is not None
        count = len(FleetFile.load(self.fleet_file).nodes)
        argvs = host_argv(self.fleet_file, count, processes or processes_for(count), self.spool)
        self.host_argv = [[*argv, *flags] for argv in argvs]
        self.hosts = [await self.start_host(number) for number in range(len(self.host_argv))]

    async def start_host(
        self, number: int, *, flags: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> asyncio.subprocess.Process:
        with (self.folder / f"host-{number}.log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self.host_argv[number],
                *flags,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    async def online(self, wanted: int, *, selector: str = "online", patience_seconds: float | None = None) -> float:
        """Wait until `wanted` nodes are online; how long it took. Raises Unavailable when they do not come."""
        began = self._clock.monotonic()
        limit = patience_seconds if patience_seconds is not None else 30 + wanted / 50
        count = 0
        while self._clock.monotonic() - began < limit:
            with contextlib.suppress(CorralError):
                count = len((await self.fleet.call("POST", "/nodes/resolve", {"selector": selector}))["nodes"])
                if count >= wanted:
                    return self._clock.monotonic() - began
            await self._clock.sleep(0.05)
        raise Unavailable(f"cannot bring {wanted} nodes online: {count} after {limit:g} s\n{self.log_tail()}")

    async def close(self) -> None:
        if self._fleet is not None:
            await self._fleet.close()
        for process in [*self.hosts, self.server]:
            if process is not None:
                await _end(process)
        with contextlib.suppress(Unavailable, ProcessLookupError):
            os.kill(self.engine_pid, signal.SIGKILL)  # only there when the server was killed -9 and not started again
        if self.spool is not None:
            shutil.rmtree(self.spool, ignore_errors=True)


def _get_json(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # the engine's own loopback address
        return dict(json.load(answer))


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGCONT)
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), 15)
    except TimeoutError:
        process.kill()
        await process.wait()

"""One node as on a real machine: the zipapp on a bare Python, an identity on disk, daemon and worker as processes, engine over TLS.

`trustme` (a development library) makes the certificates, so this belongs to tests only.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from corral.agent import pidfile
from corral.agent.bundle import build_bundle
from corral.agent.config import Identity, StateDir
from corral.agent.local import call
from corral.bus.engine_config import EngineSettings, EngineTls
from corral.domain.errors import CorralError
from corral.runtime.clock import SystemClock
from corral.runtime.tls import client_context
from corral.testing.engine import RunningEngine

FAR: Final = 4_000_000_000.0


class NodeMachine:
    """`start(role)` runs `agent <role>` in the foreground as our child; `close` ends whatever of this node still runs."""

    def __init__(self, folder: Path, *, python: str = sys.executable) -> None:
        self.bundle = folder / "corral-agent.pyz"
        self.state = StateDir(folder / "node")
        self.node_id = "web-1"
        self._python = python
        self._children: list[subprocess.Popen[bytes]] = []
        build_bundle(self.bundle)

    def enrol(self, engine: RunningEngine, *, ca_pem: str = "", keys: Mapping[str, bytes] | None = None) -> None:
        """An identity as enrolment leaves it, without a server."""
        daemon, worker = engine.node(self.node_id, "daemon"), engine.node(self.node_id, "worker")
        address = engine.url.rpartition("://")[2]
        Identity(
            node_id=self.node_id,
            server_url="http://127.0.0.1:1",
            engine_urls=[f"{'tls' if ca_pem else 'nats'}://{address}"],
            daemon_seed=daemon.seed,
            worker_seed=worker.seed,
            daemon_jwt=daemon.jwt,
            worker_jwt=worker.jwt,
            expires_at=FAR,
            signing_keys={name: base64.b64encode(key).decode() for name, key in (keys or {}).items()},
            ca_pem=ca_pem,
        ).save(self.state)

    def start(self, role: str, *flags: str) -> subprocess.Popen[bytes]:
        argv = [self._python, "-S", "-E", str(self.bundle), "agent", role, "--state", str(self.state.root), *flags]
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, cwd="/")
        self._children.append(child)
        return child

    async def status(self, role: str) -> dict[str, Any] | None:
        """What the process says of itself; None while it does not answer."""
        try:
            answer: dict[str, Any] = await call(self.state.socket(role), "status")
        except CorralError:
            return None
        return answer

    async def until(
        self, role: str, condition: Callable[[dict[str, Any]], bool], *, seconds: float = 20.0
    ) -> dict[str, Any]:
        clock = SystemClock(0)
        ends = clock.monotonic() + seconds
        last: dict[str, Any] | None = None
        while clock.monotonic() < ends:
            last = await self.status(role)
            if last is not None and condition(last):
                return last
            await asyncio.sleep(0.05)
        raise TimeoutError(f"the {role} did not get there in {seconds} s; last: {last}; log: {self.log(role)[-2000:]}")

    def log(self, role: str) -> str:
        path = self.state.log(role)
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Daemons first: a keeper would start the worker again."""
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        for child in self._children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(15)
            if child.poll() is None:
                child.kill()
                child.wait()
        for role in ("daemon", "worker"):
            left = pidfile.read(self.state.pid(role))
            if left is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(left.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def tls_engine(folder: Path) -> AsyncIterator[tuple[RunningEngine, str]]:
    """(an engine that speaks TLS only, the PEM of its CA)."""
    trustme = importlib.import_module("trustme")
    ca = trustme.CA()
    certificate = ca.issue_cert("127.0.0.1", "localhost")
    key, chain = folder / "engine-key.pem", folder / "engine-cert.pem"
    certificate.private_key_pem.write_to_path(key)
    certificate.cert_chain_pems[0].write_to_path(chain)
    pem = ca.cert_pem.bytes().decode()
    settings = EngineSettings(port=0, tls=EngineTls(cert=chain, key=key))
    async with RunningEngine(folder / "engine", settings=settings, client_tls=client_context(pem)) as engine:
        yield engine, pem

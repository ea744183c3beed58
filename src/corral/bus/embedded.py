"""The embedded engine: a supervised nats-server child with a generated configuration (design sections 3 and 12).

Rules: one engine per directory (a lock); another start only after the child's exit was seen; the accounts, revocations included,
are rendered afresh before EVERY start (a wiped resolver folder must not let a revoked node back in); once a port was found it is
kept for life, because nodes know it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from corral.bus import engine_config, engine_health
from corral.bus.engine_config import EngineSettings
from corral.bus.engine_process import STOP_GRACE_SECONDS, EngineProcess, find_program, orphans, stop_orphan
from corral.bus.realm import NodesClaims, Realm
from corral.domain.errors import Unavailable
from corral.runtime.backoff import Backoff
from corral.runtime.clock import Clock, SystemClock
from corral.runtime.files import DirectoryLock, private_dir, write_atomic

log = logging.getLogger("corral.engine")

RESTART: Final = Backoff(delays_seconds=(0.2, 0.5, 1, 2))
"""Short to the end: every node waits for it, and an engine that cannot start costs little to try."""
STEADY_SECONDS: Final = 10.0
"""An engine that ran this long starts the backoff anew."""
CHECK_SECONDS: Final = 2.0
CHECKS_FAILED_MAX: Final = 4
UNWELL_GRACE_SECONDS: Final = 1.0
"""An engine that does not answer will not stop politely either."""
START_SECONDS: Final = 300.0
"""A large store takes long to recover; as long as the process lives it is given this much."""


class EmbeddedEngine:
    """Component `engine`. `url` and `pid` are valid once ready; `url` stays the same across restarts."""

    name = "engine"

    def __init__(
        self,
        *,
        directory: Path,
        realm: Realm,
        claims: Callable[[], Awaitable[NodesClaims]],
        settings: EngineSettings | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._realm = realm
        self._claims = claims
        self._settings = settings or EngineSettings()
        self._clock: Clock = clock or SystemClock()
        self._port = self._settings.port or engine_config.RANDOM_PORT
        self._process: EngineProcess | None = None
        self._sick = ""
        self.monitoring_port = 0
        self.starts = 0

    @property
    def pid(self) -> int | None:
        return None if self._process is None or self._process.exited else self._process.pid

    @property
    def port(self) -> int:
        return self._port

    @property
    def url(self) -> str:
        """Where a client on this machine connects."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.host, self._settings.host)  # noqa: S104  # read, not bound
        scheme = "nats" if self._settings.tls is None else "tls"
        return f"{scheme}://[{host}]:{self._port}" if ":" in host else f"{scheme}://{host}:{self._port}"

    @property
    def sickness(self) -> str:
        """What the engine's own health check complains of; empty while it is well."""
        return self._sick

    async def run(self, ready: Callable[[], None]) -> None:
        """Start, watch, restart; stop the child when cancelled. Raises when the first start is impossible."""
        program = find_program(os.environ)
        private_dir(self._directory)
        lock = DirectoryLock(self._directory, what="the engine's directory")
        lock.acquire()
        try:
            for pid in orphans(self._config):
                log.warning("Stopping an engine that outlived its server (pid %d)", pid, extra={"action": "orphan"})
                await stop_orphan(pid, self._config)
            await self._supervise(program, ready)
        finally:
            lock.release()

    async def _supervise(self, program: Path, ready: Callable[[], None]) -> None:
        failures = 0
        while True:
            began = self._clock.monotonic()
            grace_seconds = STOP_GRACE_SECONDS
            try:
                await self._start(program)
                self._sick = ""
                ready()
                reason = await self._watch()
                grace_seconds = UNWELL_GRACE_SECONDS
            except Unavailable as error:
                if self.starts == 0:
                    raise  # never worked: a person has to read this, a loop does not help
                reason = error.message
            finally:
                await self._end(grace_seconds)
            failures = 0 if self._clock.monotonic() - began > STEADY_SECONDS else failures + 1
            delay = RESTART.delay(max(0, failures - 1))
            log.error(
                "Cannot keep the engine running: %s; next start in %.1f s",
                reason,
                delay,
                extra={"action": "engine_died"},
            )
            await self._clock.sleep(delay)

    async def _start(self, program: Path) -> None:
        claims = await self._claims()
        text = engine_config.render(
            self._settings,
            directory=self._directory,
            port=self._port,
            operator_jwt=self._realm.operator_jwt(),
            system_account=self._realm.system_account,
            accounts=self._realm.account_jwts(claims),
        )
        write_atomic(self._config, text.encode(), durable=False)
        for stale in self._directory.glob("nats-server_*.ports"):
            stale.unlink()
        limit = engine_config.memory_limit_mib(2 * claims.nodes, _machine_mib())
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self._directory),
            "GOMEMLIMIT": f"{limit}MiB",
            "GOGC": str(engine_config.GC_PERCENT),
        }
        self._process = await EngineProcess.start(program, self._config, environment)
        await self._until_well(self._process)
        self.starts += 1
        log.info("Engine runs at %s (pid %d)", self.url, self._process.pid, extra={"action": "engine_started"})

    async def _until_well(self, process: EngineProcess) -> None:
        deadline = self._clock.monotonic() + START_SECONDS
        trouble: str | None = "it does not listen"
        while self._clock.monotonic() < deadline:
            if process.exited:
                raise Unavailable(
                    f"cannot start the engine: it ended at once ({self._last_words()})",
                    element="engine",
                    hint=f"see {self._directory / 'engine.log'}; is the port in use?",
                    retryable=True,
                )
            ports = engine_health.read_ports(self._directory, process.pid)
            if ports is not None:
                self._port, self.monitoring_port = ports
                trouble = await engine_health.sickness(self.monitoring_port)
                if trouble is None:
                    return
            await self._clock.sleep(0.02)
        raise Unavailable(
            f"cannot start the engine: {trouble} after {START_SECONDS:g} s", element="engine", retryable=True
        )

    async def _watch(self) -> str:
        """Until the engine ended or is beyond help; says why."""
        assert self._process is not None
        failed = 0
        while True:
            with contextlib.suppress(TimeoutError):
                return f"it ended with status {await asyncio.wait_for(self._process.wait(), CHECK_SECONDS)}"
            trouble = await engine_health.sickness(self.monitoring_port)
            if trouble and engine_health.is_write_error(trouble) and not engine_health.has_space(self._directory):
                # Only space helps. Until then the engine still carries what is not stored, and links stay up.
                if not self._sick:
                    log.error(
                        "Cannot store at the engine: the disk is full; waiting for space", extra={"action": "disk_full"}
                    )
                self._sick = f"the disk is full ({trouble})"
                failed = CHECKS_FAILED_MAX
                continue
            failed = failed + 1 if trouble else 0
            self._sick = trouble or ""
            if trouble and (failed >= CHECKS_FAILED_MAX or engine_health.is_write_error(trouble)):
                return f"it is unwell: {trouble}"

    async def _end(self, grace_seconds: float) -> None:
        """Returns when no child runs; a cancellation meanwhile does not leave one behind."""
        process = self._process
        if process is None or process.exited:
            return
        try:
            await process.stop(grace_seconds)
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise

    @property
    def _config(self) -> Path:
        return self._directory / "engine.conf"

    def _last_words(self) -> str:
        """The last complaint in the engine's log."""
        try:
            lines = (self._directory / "engine.log").read_text(errors="replace").splitlines()[-20:]
        except OSError:
            return "no log"
        bad = [line for line in lines if "[FTL]" in line or "[ERR]" in line] or lines or ["no log"]
        return bad[-1][-300:]


def _machine_mib() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20

"""The HTTP listener as a component: uvicorn in this process and this loop, ready once it is bound, drained when stopped."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from corral.domain.errors import Conflict

log = logging.getLogger("corral.http")

DRAIN_SECONDS = 3
"""How long requests in flight may take once the server stops; streams are ended at once."""


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the Lifecycle stops us."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


class Listener:
    """Component. `port` 0 binds a free one; `url` is known once ready. Raises Conflict when the port is taken.

    What X-Forwarded-For and X-Forwarded-Proto say is believed of `trusted_proxies` (addresses, networks) alone.
    """

    def __init__(
        self,
        *,
        app: Any,
        host: str,
        port: int,
        cert: Path | None = None,
        key: Path | None = None,
        trusted_proxies: Sequence[str] = (),
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = "https" if cert else "http"
        self._app = app
        self._host = host
        self._port = port
        self._cert = cert
        self._key = key
        self._trusted_proxies = list(trusted_proxies)
        self._on_stop = on_stop
        self.url = ""

    async def run(self, ready: Callable[[], None]) -> None:
        bound = self._bind()
        self.url = f"{self.name}://{_host(self._host)}:{bound.getsockname()[1]}"
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            lifespan="off",
            loop="none",
            http="httptools",
            ws="none",
            server_header=False,
            # Said in any case: left alone, uvicorn believes every program of this machine, and the environment.
            proxy_headers=bool(self._trusted_proxies),
            forwarded_allow_ips=self._trusted_proxies,
            timeout_keep_alive=65,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            backlog=2048,
            ssl_certfile=str(self._cert) if self._cert else None,
            ssl_keyfile=str(self._key) if self._key else None,
        )
        config.load()
        if config.ssl is not None:
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
        server = _Server(config)
        loop = asyncio.get_running_loop()
        serving = loop.create_task(server.serve(sockets=[bound]), name=f"{self.name}/serve")
        try:
            while not server.started and not serving.done():  # noqa: ASYNC110  # uvicorn offers a flag, no event
                await asyncio.sleep(0.005)
            if server.started:
                log.info("listening on %s", self.url, extra={"action": "listening"})
                ready()
            await asyncio.shield(serving)
        finally:
            self._on_stop()
            server.should_exit = True
            await asyncio.wait([serving], timeout=DRAIN_SECONDS + 2)
            bound.close()

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((self._host, self._port))
        except OSError as error:
            bound.close()
            raise Conflict(
                f"cannot listen on {self._host}:{self._port}: {(error.strerror or str(error)).lower()}",
                element="server.port",
                hint="stop what listens there, or choose another with --port (0 = any free one)",
            ) from None
        bound.setblocking(False)
        return bound


def _host(host: str) -> str:
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # read, not bound
    return f"[{shown}]" if ":" in shown else shown

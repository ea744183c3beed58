"""Renews the node's credential in time: at 67 % of its life, after it expired, and when the engine keeps us out without a reason we see.

The renewal itself is a short-lived process (`agent renew`), so its HTTP client costs this one no memory.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
from collections.abc import Callable, Sequence
from typing import Final

from corral.agent.link.port import Link
from corral.runtime.backoff import Backoff, spread
from corral.runtime.clock import Clock

log = logging.getLogger("corral.renewal")

AT_PART: Final = 0.67
LOOK_SECONDS: Final = 60.0
SHUT_OUT_SECONDS: Final = 300.0
RETRY: Final = Backoff(delays_seconds=(60, 120, 300, 900, 3600))
CHILD_SECONDS: Final = 120.0


def lifetime(jwt: str) -> tuple[float, float] | None:
    """(issued, expires) of a credential in seconds since the epoch by the server's clock; None when it never expires."""
    try:
        body = jwt.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return float(claims["iat"]), float(claims["exp"])
    except (IndexError, KeyError, ValueError, TypeError):
        return None


def due_at(jwt: str) -> float | None:
    """When (wall clock) to renew `jwt`, spread by ± 5 % of its life so that a fleet enrolled in one hour does not come in one."""
    life = lifetime(jwt)
    if life is None:
        return None
    issued, expires = life
    return issued + spread(AT_PART, 0.075) * (expires - issued)


class Renewal:
    """Component. `jwt` reads the credential in use; `argv` starts the child that renews it."""

    name = "renewal"

    def __init__(self, *, jwt: Callable[[], str], argv: Sequence[str], link: Link, clock: Clock) -> None:
        self._jwt = jwt
        self._argv = list(argv)
        self._link = link
        self._clock = clock
        self._planned: tuple[str, float | None] = ("", None)
        self._down_since: float | None = None
        self.renewed = 0

    async def run(self, ready: Callable[[], None]) -> None:
        ready()
        failures = 0
        while True:
            if not self._due():
                await self._clock.sleep(LOOK_SECONDS if self.renewed or self._link.connected else 5.0)
                continue
            before = self._jwt()
            status = await self._child()
            if status == 0 and self._jwt() != before:
                self.renewed += 1
                failures = 0
                log.info("Renewed the credential", extra={"action": "renewed"})
            else:
                log.warning(
                    "Cannot renew the credential (status %s); trying again later", status, extra={"action": "renew"}
                )
            self._down_since = None
            # Also after a success: a clock that runs years ahead would find every credential expired.
            await self._clock.sleep(RETRY.delay(failures))
            failures += 1

    def _due(self) -> bool:
        jwt = self._jwt()
        if jwt != self._planned[0]:
            self._planned = jwt, due_at(jwt)
        if self._link.connected:
            self._down_since = None
        elif self._down_since is None:
            self._down_since = self._clock.monotonic()
        elif self._clock.monotonic() - self._down_since > SHUT_OUT_SECONDS:
            return True  # our clock may be behind and the credential expired all the same
        return self._planned[1] is not None and self._clock.wall() >= self._planned[1]

    async def _child(self) -> int | None:
        """Exit status of `agent renew`; None when it had to be killed."""
        pid = self._spawn()
        ends = self._clock.monotonic() + CHILD_SECONDS
        try:
            while self._clock.monotonic() < ends:
                if (status := _ended(pid)) is not None:
                    return status
                await self._clock.sleep(0.2)
        except BaseException:
            _kill(pid)
            raise
        _kill(pid)
        return None

    def _spawn(self) -> int:
        return os.posix_spawn(self._argv[0], self._argv, os.environ, setsigmask=[])


def _ended(pid: int) -> int | None:
    """Exit status of our child; None while it runs."""
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None


def _kill(pid: int) -> None:
    """Our own unreaped child: its pid cannot be another's yet."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

"""The probe of an HTTP gate: one GET, the status is the answer. No redirect is followed, no body is kept, no proxy is used."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from corral.domain.errors import Invalid
from corral.domain.rollout_facts import ProbeFact
from corral.domain.rollout_state import Gate
from corral.runtime.clock import Clock
from corral.server.infrastructure.probe.guard import Address, parse_allowed, refusal

_LINE_BYTES: Final = 8192


class HttpProber:
    """Prober. `allow`: networks that may be asked although the guard refuses them."""

    def __init__(self, *, clock: Clock, allow: Sequence[str] = ()) -> None:
        self._clock = clock
        self._allow = parse_allowed(allow)

    async def check(self, gate: Gate) -> None:
        """Raises Invalid: no http(s) URL, or an address that may not be asked. A name that does not resolve yet is no mistake."""
        url = split(gate.url)
        try:
            await self._address(url)
        except OSError:
            return

    async def probe(self, gate: Gate) -> ProbeFact:
        answer = ProbeFact(False, "not asked")
        for attempt in range(max(1, gate.attempts)):
            if attempt:
                await self._clock.sleep(gate.every_seconds)
            answer = await self._once(gate)
            if answer.passed:
                break
        return answer

    async def _once(self, gate: Gate) -> ProbeFact:
        try:
            async with asyncio.timeout(gate.timeout_seconds):
                status = await self._get(split(gate.url))
        except TimeoutError:
            return ProbeFact(False, f"no answer in {gate.timeout_seconds:g} s")
        except ssl.SSLCertVerificationError as error:
            return ProbeFact(False, f"its certificate is not valid: {error.verify_message}")
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            return ProbeFact(False, f"cannot ask it: {str(error) or type(error).__name__}"[:200])
        except Invalid as error:
            return ProbeFact(False, error.message)
        passed = 200 <= status < 300 if gate.expect is None else status == gate.expect
        wanted = "2xx" if gate.expect is None else str(gate.expect)
        return ProbeFact(passed, f"answered {status}" + ("" if passed else f", not {wanted}"))

    async def _get(self, url: SplitResult) -> int:
        address = await self._address(url)
        context = ssl.create_default_context() if url.scheme == "https" else None
        reader, writer = await asyncio.open_connection(
            str(address), _port(url), ssl=context, server_hostname=url.hostname if context else None, limit=_LINE_BYTES
        )
        try:
            path = (url.path or "/") + (f"?{url.query}" if url.query else "")
            host = url.netloc.rpartition("@")[2]
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: corral\r\nAccept: */*\r\nConnection: close\r\n\r\n".encode()
            )
            await writer.drain()
            line = await reader.readline()
        finally:
            writer.close()
        return _status(line)

    async def _address(self, url: SplitResult) -> Address:
        """The first address of the host, all of which may be asked. Raises Invalid, OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(url.hostname, _port(url), type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        for address in addresses:
            if why := refusal(address, self._allow):
                raise Invalid(
                    f"cannot probe {url.hostname!r}: {address} is {why}",
                    element="gates",
                    hint="rollouts.probe_allow in the server's configuration lists what is allowed in spite of that",
                )
        return addresses[0]


def split(text: str) -> SplitResult:
    """The parts of an http or https URL; raises Invalid."""
    try:
        url = urlsplit(text)
        good = url.scheme in ("http", "https") and bool(url.hostname) and url.username is None and _port(url) > 0
    except ValueError:
        good = False
    if not good or not text.isascii() or any(c <= " " or c == "\x7f" for c in text):
        raise Invalid(
            f"cannot probe {text[:80]!r}: expected an http:// or https:// URL without a user",
            element="gates",
            hint="--gate https://app.example/healthz",
        )
    return url


def _port(url: SplitResult) -> int:
    return url.port if url.port is not None else 443 if url.scheme == "https" else 80


def _status(line: bytes) -> int:
    parts = line.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].isdigit() or len(parts[1]) != 3:
        raise ValueError("it does not speak HTTP")
    return int(parts[1])

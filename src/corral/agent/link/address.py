"""Where the engine is: `tls://host:port`, or `nats://host:port` for loopback only. Anything else is refused before a byte is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from corral.domain.errors import Invalid, Unsupported
from corral.runtime.tls import is_loopback

DEFAULT_PORT: Final = 4222


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.tls else 'nats'}://{host}:{self.port}"


def parse(url: str) -> Address:
    """Raises Invalid for what is no engine address, Unsupported for wss://."""
    scheme, mark, rest = url.strip().partition("://")
    if scheme in ("ws", "wss"):
        raise Unsupported(
            f"cannot connect to {url!r}: this agent does not speak websockets yet",
            element="engine_urls",
            hint="offer a tls:// address in engine.public_urls",
        )
    if not mark or scheme not in ("nats", "tls"):
        raise Invalid(
            f"cannot use {url!r} as an engine address: expected tls://host:port",
            element="engine_urls",
            hint="tls://host:4222",
        )
    rest = rest.rstrip("/")
    if "@" in rest or "/" in rest or not rest:
        raise Invalid(f"cannot use {url!r} as an engine address: expected host and port only", element="engine_urls")
    host, port = _split(rest)
    if not host or not 0 < port < 65536:
        raise Invalid(f"cannot use {url!r} as an engine address: no such host or port", element="engine_urls")
    if scheme == "nats" and not is_loopback(host):
        raise Invalid(
            f"cannot connect to {url!r}: without TLS only to this machine itself",
            element="engine_urls",
            hint=f"use tls://{rest}",
        )
    return Address(host, port, scheme == "tls")


def parse_all(urls: Sequence[str]) -> tuple[Address, ...]:
    """The usable ones in order. Raises what the last was refused for when none is."""
    addresses: list[Address] = []
    refused: Exception = Invalid("cannot connect: no engine address is known", element="engine_urls")
    for url in urls:
        try:
            addresses.append(parse(url))
        except (Invalid, Unsupported) as error:
            refused = error
    if not addresses:
        raise refused
    return tuple(addresses)


def _split(text: str) -> tuple[str, int]:
    if text.startswith("["):
        host, _, after = text[1:].partition("]")
        port = after.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    return host, (int(port) if port.isascii() and port.isdigit() else 0) if port else DEFAULT_PORT

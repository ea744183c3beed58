"""Is the embedded engine well? Its monitoring answers on loopback; a bad write (a full disk) freezes JetStream until a restart."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from pathlib import Path
from typing import Any, Final

ANSWER_SECONDS: Final = 3.0
SPACE_BYTES_MIN: Final = 64 << 20
"""Less free than this is a full disk: another start would only freeze again. Of a small disk a tenth is enough."""
_ANSWER_BYTES_MAX: Final = 1 << 20


async def get(port: int, path: str) -> tuple[int, bytes]:
    """(status, body) of a plain GET on the loopback monitoring port; raises OSError or TimeoutError."""
    async with asyncio.timeout(ANSWER_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
            await writer.drain()
            answer = await reader.read(-1)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    head, _, body = answer[:_ANSWER_BYTES_MAX].partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise ConnectionResetError("the engine's monitoring gave no answer")
    return int(words[1]), body


async def sickness(port: int) -> str | None:
    """None while the engine is well, else what it says is wrong."""
    try:
        status, body = await get(port, "/healthz")
    except (OSError, TimeoutError) as error:
        return f"no answer ({type(error).__name__})"
    if status == 200:
        return None
    try:
        document: Any = json.loads(body)
        return str(document.get("error") or document.get("status"))[:200]
    except (ValueError, AttributeError):
        return f"status {status}"


def is_write_error(trouble: str) -> bool:
    """Whether JetStream could not write. It stays frozen until the engine starts again, also once there is space."""
    return "write error" in trouble


def has_space(directory: Path) -> bool:
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize >= min(SPACE_BYTES_MIN, found.f_blocks * found.f_frsize // 10)


def read_ports(directory: Path, pid: int) -> tuple[int, int] | None:
    """(client port, monitoring port) from the file the engine writes once it listens; None while it is not there."""
    try:
        ports = json.loads((directory / f"nats-server_{pid}.ports").read_bytes())
        return _port(ports["nats"]), _port(ports["monitoring"])
    except (OSError, ValueError, KeyError, IndexError):
        return None


def _port(urls: list[str]) -> int:
    return int(urls[0].rpartition(":")[2])

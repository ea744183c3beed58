"""Logging the command line in through a browser: the server sends it back to a port of ours, which only this machine can reach.

What comes back is a one-time code, good only together with a secret that never left this process: whoever sees the address in a
browser's history, or gets to the port first, has nothing.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import secrets
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from corral.cli.session import Session
from corral.domain.errors import Unauthenticated, Unavailable
from corral.sdk.context import Context

PATIENCE_SECONDS: Final = 300.0
_LINE_MAX: Final = 8192
_DONE: Final = "<h1>You are logged in</h1><p>Go back to the terminal; this page can be closed.</p>"
_FAILED: Final = "<h1>That did not work</h1><p>The terminal says more.</p>"


async def browser_login(session: Session, context: Context) -> Mapping[str, Any]:
    """The session the server answers with. Raises Unauthenticated, Unavailable when nobody came back in five minutes."""
    from corral.sdk.users import log_in

    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    came_back: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            found = _query(await reader.readline())
            ours = "code" in found or "error" in found
            body = (_DONE if "code" in found else _FAILED) if ours else "<h1>Nothing here</h1>"
            page = f'<!doctype html><meta charset="utf-8"><title>Corral</title>{body}'.encode()
            head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n"
            writer.write(f"{head}Content-Length: {len(page)}\r\n\r\n".encode() + page)
            await writer.drain()
            if ours and not came_back.done():
                came_back.set_result(found)
        except (OSError, ValueError):
            pass  # somebody who speaks no HTTP: not the browser we wait for
        finally:
            writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0, limit=_LINE_MAX)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        url = f"{context.url}/auth/oidc/start?{urlencode({'port': port, 'challenge': challenge})}"
        session.warn(f"log in in your browser:\n  {url}")
        _open(url)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                found = await came_back
        except TimeoutError:
            raise Unavailable(
                f"cannot log in: nobody came back from the browser in {PATIENCE_SECONDS:g} s", element="login"
            ) from None
    if "code" not in found:
        raise Unauthenticated(f"cannot log in: {found['error'][:300]}", hint="corral login --oidc")
    return await log_in(context, code=found["code"], verifier=verifier)


def _query(line: bytes) -> Mapping[str, str]:
    words = line.decode("latin-1").split()
    if len(words) != 3 or words[0] != "GET":
        return {}
    return {key: values[0] for key, values in parse_qs(urlsplit(words[1]).query).items()}


def _open(url: str) -> None:
    """Only where there is a screen: a browser in the terminal would take it over."""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        import webbrowser

        webbrowser.open(url)

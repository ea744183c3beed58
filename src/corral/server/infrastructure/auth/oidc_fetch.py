"""Asking the identity provider: JSON over HTTPS, small and soon, no redirects. Plain HTTP only to this machine."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from corral.domain.errors import Invalid, Unavailable
from corral.sdk.http import HttpClient

PATIENCE_SECONDS: Final = 10.0
BODY_MAX: Final = 1 << 20


class Fetch:
    """A connection per question: logins are rare, and a provider may sit behind several hosts."""

    def __init__(self, *, ca: Path | None) -> None:
        self._ca = None if ca is None else str(ca)

    async def get(self, url: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        """The status and the object of the answer; {} when it is none. Raises Unavailable."""
        return await self._ask("GET", url, headers, b"")

    async def form(
        self, url: str, fields: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, Any]]:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._ask("POST", url, {**kind, **headers}, urlencode(fields).encode())

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, Any]]:
        check_url(url)
        parts = urlsplit(url)
        client = HttpClient(f"{parts.scheme}://{parts.netloc}", ca=self._ca, connect_seconds=5.0, answer_seconds=8.0)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        send = {"Accept": "application/json", "User-Agent": "corral", **headers}
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                response = await client.send(method, target, headers=send, body=body)
                content = b""
                async for chunk in response.chunks():
                    content += chunk
                    if len(content) > BODY_MAX:
                        raise Unavailable(f"its answer is longer than {BODY_MAX} bytes")
        except (Unavailable, TimeoutError) as error:
            raise Unavailable(
                f"cannot ask the identity provider at {parts.netloc}: {str(error) or 'no answer in time'}",
                element="oidc.issuer",
                hint="is it reachable from the server? a private CA is named by oidc.ca",
            ) from None
        finally:
            await client.close()
        return response.status, _object(content)


def check_url(url: str) -> None:
    """Raises Invalid for what would carry a secret in clear over a network."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and _here(parts.hostname or "")):
        return
    raise Invalid(
        f"cannot ask {url[:200]!r}: expected https://", element="oidc.issuer", hint="http:// only on loopback"
    )


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

"""The server itself: who am I, how is it, what happened, and the tokens of its API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from corral.sdk.api import Api, part
from corral.sdk.models import ApiToken

BACKUP_SILENCE_SECONDS: Final = 3600.0
"""Nothing is sent while the server copies a large database."""


class System:
    """`fleet.system`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def status(self) -> dict[str, Any]:
        """{"version", "engine", "sql", "leader", …}."""
        answer: dict[str, Any] = await self._api.call("GET", "/system")
        return answer

    async def whoami(self) -> dict[str, Any]:
        answer: dict[str, Any] = await self._api.call("GET", "/whoami")
        return answer

    async def login_code(self) -> dict[str, Any]:
        """{"code", "path", "expires_at"}: whoever opens `path` in a browser is logged in as this caller, once."""
        answer: dict[str, Any] = await self._api.call("POST", "/login-codes")
        return answer

    async def audit(self, *, limit: int | None = 50) -> list[dict[str, Any]]:
        """The newest entries first."""
        return await self._api.pages("/audit", limit=limit)

    async def dead_letters(self, *, limit: int | None = 50) -> list[dict[str, Any]]:
        return await self._api.pages("/dead-letters", limit=limit)

    async def backup(self) -> AsyncGenerator[bytes, None]:
        """The bytes of a backup as they are made. Check them with runtime.archive: a broken one has no end."""
        async with aclosing(self._api.octets("/system/backup", idle_seconds=BACKUP_SILENCE_SECONDS)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def probe(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """One GET outside the API (/healthz, /readyz, /metrics): status, headers, body."""
        return await self._api.probe(path)


class ApiTokens:
    """`fleet.api_tokens`: bearer tokens for people and programs."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def create(
        self, name: str, *, permissions: Sequence[str] | None = None, ttl_seconds: float | None = None
    ) -> ApiToken:
        """The answer holds the secret, once."""
        body: dict[str, Any] = {"name": name}
        if permissions is not None:
            body["permissions"] = list(permissions)
        if ttl_seconds is not None:
            body["ttl_seconds"] = ttl_seconds
        return ApiToken.from_json(await self._api.call("POST", "/api-tokens", body=body))

    async def list(self) -> list[ApiToken]:
        return [ApiToken.from_json(row) for row in await self._api.pages("/api-tokens")]

    async def revoke(self, token: str) -> None:
        await self._api.call("DELETE", f"/api-tokens/{part(token)}")

"""The few calls the launcher makes to the server it started: standard library only, loopback only."""

from __future__ import annotations

import asyncio
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from corral.domain.errors import CorralError, Unavailable, by_code


class Api:
    """Blocking HTTP in a thread: a handful of calls at start do not need a client library."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url
        self.token = token
        self._address = urlsplit(url)

    async def get(self, path: str) -> Any:
        return await asyncio.to_thread(self._call, "GET", path, None)

    async def post(self, path: str, body: Any) -> Any:
        return await asyncio.to_thread(self._call, "POST", path, body)

    async def answers(self, path: str) -> bool:
        """Whether the server says yes (2xx) there now."""
        try:
            await self.get(path)
        except CorralError:
            return False
        return True

    def _call(self, method: str, path: str, body: Any) -> Any:
        connection = http.client.HTTPConnection(self._address.hostname or "127.0.0.1", self._address.port, timeout=10)
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self.token}"} if self.token else {}
        )
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        except OSError as error:
            raise Unavailable(f"cannot reach the server at {self.url}: {error}", retryable=True) from None
        finally:
            connection.close()
        try:
            answer = json.loads(text) if text else {}
        except ValueError:
            answer = {"message": text[:200].decode(errors="replace")}
        if response.status >= 300:
            kind = by_code().get(int(answer.get("code") or 5001), Unavailable)
            if kind.__init__ is not CorralError.__init__:
                kind = Unavailable
            raise kind(str(answer.get("message") or response.reason), hint=answer.get("hint"))
        return answer.get("data", answer)

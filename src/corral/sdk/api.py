"""One JSON request to the server and its answer: envelope off, errors raised as the server raised them, retries where harmless.

Rules: every write carries an Idempotency-Key, which makes repeating it harmless; a request is repeated only when its connection
broke (never on an answer), and not at all when the very first contact fails: "no server" has to be said at once. A
stream reconnects with Last-Event-ID and gives up after `patience_seconds` without a word from the server.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final
from urllib.parse import quote, urlencode

from corral.domain.errors import BadSelector, CorralError, Internal, NotFound, Unavailable, by_code
from corral.runtime.backoff import Backoff
from corral.runtime.clock import Clock, SystemClock
from corral.sdk.context import Context
from corral.sdk.credential import Credential
from corral.sdk.http import HttpClient, Response
from corral.sdk.sse import ServerEvent, SseParser

PREFIX: Final = "/api/v1"
RETRY: Final = Backoff(delays_seconds=(0.05, 0.3, 1, 2, 4))
RECONNECT: Final = Backoff(delays_seconds=(0.1, 0.5, 1, 2, 4))
STREAM_SILENCE_SECONDS: Final = 45.0
"""The server sends a comment every 15 s; three missed ones mean that the connection is dead."""
_BY_STATUS: Final = {400: 1001, 401: 1003, 403: 1004, 404: 1005, 409: 2001, 413: 1007, 429: 1008, 503: 5001, 507: 5002}


class Api:
    """The server as seen from here. `query` values that are None are left out."""

    def __init__(self, context: Context, *, clock: Clock | None = None, patience_seconds: float = 120.0) -> None:
        self.context = context
        self.clock: Clock = clock or SystemClock()
        self._http = HttpClient(context.url, ca=context.ca)
        self._patience_seconds = patience_seconds
        self._met = False
        self._credential = Credential(context, refresh=self._refreshed, clock=self.clock)

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The `data` of the answer."""
        return (await self.envelope(method, path, query=query, body=body, headers=headers)).get("data")

    async def envelope(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        send = {"Accept": "application/json", **(headers or {})}
        payload = b""
        if body is not None:
            payload = json.dumps(body).encode()
            send["Content-Type"] = "application/json"
        if method != "GET":
            send.setdefault("Idempotency-Key", str(uuid.uuid4()))
        text, repeated = await self._send(method, _target(path, query), send, payload)
        return {} if text is None and repeated else _decode(text or b"{}")

    async def _send(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[bytes | None, bool]:
        """The body of the answer, and whether the request had to be repeated."""
        attempt = 0
        renewed = False
        while True:
            try:
                response = await self._http.send(method, target, headers=await self._headers(headers), body=body)
                content = await response.read()
                if response.status == 401 and not renewed and await self._credential.again():
                    renewed = True
                    continue
            except Unavailable as error:
                if not (error.retryable or (self._met and error.element == "server")):
                    raise
                if attempt >= len(RETRY.delays_seconds):
                    raise
                await self.clock.sleep(RETRY.delay(attempt))
                attempt += 1
                continue
            self._met = True
            if response.status >= 400:
                problem = problem_of(response.status, content, target)
                if method == "DELETE" and attempt and isinstance(problem, NotFound):
                    return None, True  # the first try did it and its answer was lost
                raise problem
            return content, bool(attempt)

    async def put(self, path: str, data: bytes, *, query: Mapping[str, Any] | None = None) -> Any:
        """Send bytes as they are. Repeated when the connection broke: the receiver has to notice what it has already."""
        headers = {"Accept": "application/json", "Content-Type": "application/octet-stream"}
        text, _ = await self._send("PUT", _target(path, query), headers, data)
        return _decode(text or b"{}").get("data")

    async def pages(self, path: str, *, query: Mapping[str, Any] | None = None, limit: int | None = None) -> list[Any]:
        """All pages of a list, or its first `limit` entries."""
        rows: list[Any] = []
        cursor: str | None = None
        while True:
            page = None if limit is None else max(1, limit - len(rows))
            answer = await self.envelope("GET", path, query={**(query or {}), "limit": page, "cursor": cursor})
            rows += answer.get("data") or []
            cursor = answer.get("next")
            if not cursor or (limit is not None and len(rows) >= limit):
                return rows if limit is None else rows[:limit]

    async def stream(
        self, path: str, *, query: Mapping[str, Any] | None = None, end: str = "end"
    ) -> AsyncGenerator[ServerEvent, None]:
        """Server-Sent Events until the event `end`, across broken connections. Close it with aclosing()."""
        last_id = ""
        failures = 0
        silent_since = self.clock.monotonic()
        while True:
            try:
                async with aclosing(self._connection(path, query, last_id)) as events:
                    async for event in events:
                        last_id = event.id or last_id
                        failures = 0
                        silent_since = self.clock.monotonic()
                        yield event
                        if event.event == end:
                            return
                error = self._http.broken("the stream ended early")
            except Unavailable as caught:
                error = caught
                if not self._met or error.element == "ca":
                    raise
            if self.clock.monotonic() - silent_since > self._patience_seconds:
                raise error
            await self.clock.sleep(RECONNECT.delay(failures))
            failures += 1

    async def _connection(
        self, path: str, query: Mapping[str, Any] | None, last_id: str
    ) -> AsyncGenerator[ServerEvent, None]:
        headers = {"Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        target = _target(path, query)
        parser = SseParser()
        async with await self._open(target, headers) as response:
            async with aclosing(response.chunks()) as chunks:
                async for chunk in chunks:
                    for event in parser.feed(chunk):
                        yield event

    async def octets(
        self, path: str, *, query: Mapping[str, Any] | None = None, idle_seconds: float = STREAM_SILENCE_SECONDS
    ) -> AsyncGenerator[bytes, None]:
        """A body that is no JSON, as it arrives. Not repeated: the caller has already seen part of it."""
        async with await self._open(_target(path, query), {}, idle_seconds) as response:
            async with aclosing(response.chunks()) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def probe(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        """One GET outside /api/v1, as it comes: status, headers, body. For `doctor`."""
        response = await self._http.send("GET", path, headers=await self._headers({}))
        return response.status, response.headers, await response.read()

    async def _open(
        self, target: str, headers: Mapping[str, str], idle_seconds: float = STREAM_SILENCE_SECONDS
    ) -> Response:
        response = await self._http.send("GET", target, headers=await self._headers(headers), idle_seconds=idle_seconds)
        self._met = True
        if response.status >= 400:
            raise problem_of(response.status, await response.read(), target)
        return response

    async def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        out = {"User-Agent": "corral", **headers}
        bearer = await self._credential.bearer()
        if bearer:
            out["Authorization"] = f"Bearer {bearer}"
        return out

    async def _refreshed(self, refresh_token: str) -> Mapping[str, Any]:
        return await self.public("/refresh", {"refresh_token": refresh_token})

    async def public(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A POST that proves itself by its body (a login), without any other credential and never repeated: the `data` of the answer."""
        headers = {"User-Agent": "corral", "Accept": "application/json", "Content-Type": "application/json"}
        response = await self._http.send("POST", f"{PREFIX}{path}", headers=headers, body=json.dumps(body).encode())
        content = await response.read()
        if response.status >= 400:
            raise problem_of(response.status, content, path)
        found: Mapping[str, Any] = _decode(content).get("data") or {}
        return found

    async def close(self) -> None:
        await self._http.close()


def part(value: str) -> str:
    """One path segment."""
    return quote(value, safe="")


def _target(path: str, query: Mapping[str, Any] | None) -> str:
    pairs = []
    for name, value in (query or {}).items():
        if value is None or value is False:
            continue
        if isinstance(value, (list, tuple, frozenset)):
            value = ",".join(value)
        pairs.append((name, "1" if value is True else str(value)))
    return f"{PREFIX}{path}" + (f"?{urlencode(pairs)}" if pairs else "")


def _decode(content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise Internal(
            "cannot read the server's answer: it is not JSON of ours",
            element="server",
            hint="is the URL that of a Corral server? corral config show",
        )
    return data


def problem_of(status: int, content: bytes, target: str) -> CorralError:
    """The error the server raised, as the same class; for a foreign answer (a proxy's page) the class its status suggests."""
    try:
        data = json.loads(content)
    except ValueError:
        data = None
    classes = by_code()
    if not isinstance(data, dict) or not isinstance(data.get("code"), int) or "message" not in data:
        cls = classes[_BY_STATUS.get(status, 5001 if status in (502, 504) else 5000)]
        path = target.partition("?")[0]
        return _make(cls, f"cannot read {path}: HTTP {status} without an explanation", {"hint": _foreign_hint(status)})
    cls = classes.get(data["code"]) or classes[_BY_STATUS.get(status, 5000)]
    return _make(cls, str(data["message"]), data)


def _make(cls: type[CorralError], message: str, data: Mapping[str, Any]) -> CorralError:
    details = data.get("details") or {}
    hint = data.get("hint")
    if cls is BadSelector:
        column = details.get("column")
        return BadSelector(
            message, text=str(details.get("text") or ""), column=column if isinstance(column, int) else 0, hint=hint
        )
    error = cls(message, element=data.get("element"), hint=hint)
    if cls.exit_status == 5 and not error.hint:
        error.hint = "corral login, or CORRAL_TOKEN; corral config show says which credential is in use"
    return error


def _foreign_hint(status: int) -> str:
    if status in (502, 503, 504):
        return "a proxy answers in the server's place; is the server running?"
    return "is the URL that of a Corral server of this version? corral config show"

"""The one place where every request passes: identify, authenticate, permit, limit, answer, record. Plain ASGI around the table.

The order is fixed: request id → who calls (401, also for unknown paths) → may they (403) → rate (429) → body and its limits
(413, 400) → Idempotency-Key → the handler. Then, before the last byte of the answer leaves: idempotency store, audit record,
metrics. Streams are recorded when they begin.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from litestar.types import ASGIApp, Receive, Scope, Send

from corral.domain.errors import CorralError, Invalid, TooLarge
from corral.runtime.clock import Clock
from corral.server.application.access.authenticate import Presented
from corral.server.application.audit import about
from corral.server.application.ports.access import Caller
from corral.server.interface.rest import auth
from corral.server.interface.rest.answer import Answer
from corral.server.interface.rest.audit import AuditHook
from corral.server.interface.rest.binding import CALLER_KEY, check_permission
from corral.server.interface.rest.errors import REQUEST_ID_KEY, describe
from corral.server.interface.rest.idempotency import HEADER, Idempotency, Keyed, keyed
from corral.server.interface.rest.limits import PUBLIC_BODY_BYTES, Gone, Limits, RateCap, check_depth, read_body
from corral.server.interface.rest.metrics import Metrics
from corral.server.interface.rest.route import Route
from corral.server.interface.rest.routing import RouteIndex
from corral.server.interface.rest.watched import Watched

log = logging.getLogger("corral.rest")

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_LEFT: Final = 499
"""Recorded when the client went away before there was an answer."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What the frame asks of the rest of the server."""

    authenticate: Callable[[Presented], Awaitable[Caller]]
    idempotency: Idempotency
    audit: AuditHook
    metrics: Metrics
    clock: Clock
    limits: Limits
    holds: Callable[[Caller], Awaitable[bool]] | None = None
    """Whether the caller of a request that goes on still may what he might."""


class Front:
    """The ASGI application the web server runs."""

    def __init__(self, app: ASGIApp, *, routes: RouteIndex, gate: Gate) -> None:
        self._app = app
        self._routes = routes
        self._gate = gate
        self._rate = RateCap(gate.limits.requests_per_second)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = str(scope["type"])
        if kind == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "no WebSockets here"})
            return
        if kind != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(scope, self._routes)
        answer = Answer(send, request_id=request.id, secure=scope["scheme"] == "https", raw=request.raw)
        started = self._gate.clock.monotonic()
        answer.before_end = lambda: self._record(request, answer, started)
        try:
            await self._serve(request, receive, answer)
        except Gone:
            answer.status = _LEFT
            await self._record(request, answer, started)
        except Exception as error:  # the top of a request: everything becomes one Problem
            if answer.started:
                raise
            status, body, headers = describe(error, request_id=request.id, clock=self._gate.clock)
            await answer.whole(status, body, headers)

    async def _serve(self, request: _Request, receive: Receive, answer: Answer) -> None:
        gate, route, scope = self._gate, request.route, request.scope
        scope[REQUEST_ID_KEY] = request.id
        if request.public:
            caller = request.caller
        else:
            caller = request.caller = await gate.authenticate(
                auth.presented(scope, request.headers, request_id=request.id)
            )
            if route is not None:
                check_permission(caller, route)
            self._rate.check(caller.credential or caller.name, now=gate.clock.monotonic())
        scope[CALLER_KEY] = caller
        if len(scope["query_string"]) > gate.limits.query_max_bytes:
            raise TooLarge(
                f"cannot read the query: it is longer than {gate.limits.query_max_bytes} bytes",
                element="query",
                hint="send long selectors in a body",
            )
        if scope["method"] not in _WITH_BODY:
            await self._read(request, receive, answer)
            return
        request.body = await self._body(request, receive)
        key = None if request.public or (route is not None and (route.operation or route.asks)) else self._key(request)
        if key is None:
            await self._app(scope, _replay(request.body, receive), answer.send)
            return
        async with gate.idempotency.alone(key):
            found = await gate.idempotency.stored(key)
            if found is not None:
                await answer.whole(found[0], found[1], {"Idempotency-Replayed": "true"})
                return
            request.key = key
            await self._app(scope, _replay(request.body, receive), answer.send)

    async def _read(self, request: _Request, receive: Receive, answer: Answer) -> None:
        holds = self._gate.holds
        if holds is None or request.public or not request.raw:
            await self._app(request.scope, receive, answer.send)
            return
        watched = Watched(receive, holds=lambda: holds(request.caller))
        await self._app(request.scope, watched, answer.send)
        if watched.over and answer.events:
            await answer.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _body(self, request: _Request, receive: Receive) -> bytes:
        limit = self._gate.limits.body_max_bytes
        if request.route is not None and request.route.permission is None:
            limit = min(limit, PUBLIC_BODY_BYTES)
        elif request.route is not None and request.route.body_max_bytes is not None:
            limit = max(limit, request.route.body_max_bytes)
        body = await read_body(receive, content_length=request.headers.get(b"content-length"), limit=limit)
        kind = request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if request.route is not None and request.route.octets:
            if body and kind != b"application/octet-stream":
                raise Invalid(
                    "cannot read the body: its content type is not application/octet-stream",
                    element="Content-Type",
                    hint="send the bytes with 'Content-Type: application/octet-stream'",
                )
            return body
        if body and kind not in (b"", b"application/json"):
            raise Invalid(
                "cannot read the body: its content type is not application/json",
                element="Content-Type",
                hint="send JSON with 'Content-Type: application/json'",
            )
        check_depth(body)
        return body

    def _key(self, request: _Request) -> Keyed | None:
        if request.scope["method"] != "POST":
            return None
        return keyed(
            request.headers.get(HEADER),
            actor=request.caller.credential or request.caller.name,
            method="POST",
            path=request.scope["path"],
            query=request.scope["query_string"],
            body=request.body,
        )

    async def _record(self, request: _Request, answer: Answer, started: float) -> None:
        """Runs before the answer's last byte: who reads the answer can rely on the record."""
        gate, route, method = self._gate, request.route, request.scope["method"]
        if request.key is not None:
            try:
                await gate.idempotency.keep(request.key, answer.status, bytes(answer.body))
            except CorralError as error:
                # The work is done and must be answered; only repeating the request is no longer safe.
                log.error(
                    "Cannot keep an idempotency key: %s",
                    error,
                    extra={"action": "idempotency_lost", "request_id": request.id},
                )
        seconds = None if request.raw else gate.clock.monotonic() - started
        name = route.template if route is not None else "unknown"
        gate.metrics.observe(
            method=method if route is not None else "other", route=name, status=answer.status, seconds=seconds
        )
        await gate.audit.note(
            route=route,
            method=method,
            path=request.scope["path"],
            # A login knows better than the frame who it was that tried.
            caller=request.scope.get(CALLER_KEY) or request.caller,
            status=answer.status,
            body=request.body,
            answer=bytes(answer.body),
            started=started,
            about=request.about,
        )


class _Request:
    """What is known of one request as it passes."""

    def __init__(self, scope: Any, routes: RouteIndex) -> None:
        self.scope = scope
        self.headers: Mapping[bytes, bytes] = _headers(scope["headers"])
        given = self.headers.get(b"x-request-id", b"").decode("latin-1")
        self.id = given if _REQUEST_ID.match(given) else secrets.token_hex(8)
        self.route: Route | None = routes.match(scope["method"], scope["path"])
        self.public = routes.is_public(self.route, scope["path"])
        self.raw = self.route is not None and self.route.raw
        self.body = b""
        self.about = about.begin()
        self.key: Keyed | None = None
        self.caller = Caller(
            name="", kind="nobody", permissions=frozenset(), address=auth.address(scope), request_id=self.id
        )


def _headers(pairs: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The first of each name, as a proxy in front of us would have judged it; cookies, which may be split, are joined."""
    found: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name == b"cookie" and name in found:
            found[name] += b"; " + value
        else:
            found.setdefault(name, value)
    return found


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body that was read, once more for the handler; after it whatever really comes (the disconnect)."""
    given = False

    async def again() -> Any:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again

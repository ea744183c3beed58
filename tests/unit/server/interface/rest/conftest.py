"""A whole frame over a small table, with stores in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import msgspec
import pytest
from litestar.response import Stream

from corral.domain.errors import BadSelector, Conflict, Unavailable
from corral.runtime.clock import SystemClock
from corral.server.application.access.room import AccessRoom
from corral.server.application.access.tokens import ApiTokens
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import DeadLetter
from corral.server.application.system.room import SystemRoom
from corral.server.infrastructure.auth.sealer import AesSealer
from corral.server.interface.rest import access, audit_reading, system, users
from corral.server.interface.rest.api import Frame, asgi
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.limits import Limits
from corral.server.interface.rest.route import Route
from corral.server.interface.rest.sse import json_event, sse
from corral.testing.access_bench import AccessBench, access_bench
from corral.testing.stores import (
    MemoryDatabase,
    MemoryDeadLetters,
    MemoryIdempotencyStore,
)

PASSWORD = "correct horse battery"
"""Of the users that tests make."""


class Things:
    """A room of the tests: remembers what was asked."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.closed = 0
        self.engine_works = True


class ThingBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: str
    count: int = 1
    labels: dict[str, str] = {}
    secret: str = ""


class ThingView(msgspec.Struct, kw_only=True):
    id: str
    name: str
    by: str
    secret: str = ""


async def make(things: Things, caller: Caller, data: ThingBody) -> Envelope[ThingView]:
    if data.name == "taken":
        raise Conflict("cannot make 'taken': it exists", element="taken", hint="choose another name")
    things.made.append(data.name)
    return ok(ThingView(id=f"T{len(things.made)}", name=data.name, by=caller.name, secret="shown-once"))


async def ask(things: Things, caller: Caller, data: ThingBody) -> Envelope[ThingView]:
    return await make(things, caller, data)


async def show(things: Things, caller: Caller, thing: str, limit: int = 5) -> Envelope[ThingView]:
    if thing == "bug":
        raise ZeroDivisionError("the password is hunter2")
    if thing == "down":
        raise Unavailable("cannot reach the engine", retryable=True)
    if thing == "selector":
        raise BadSelector("cannot read the selector: expected a value", text="a and", column=6)
    return ok(ThingView(id=thing, name=str(limit), by=caller.name))


async def drop(things: Things, caller: Caller, thing: str) -> Envelope[None]:
    return ok(None)


async def watch(things: Things, caller: Caller) -> Stream:
    async def events() -> AsyncGenerator[Any, None]:
        try:
            yield json_event("snapshot", {"things": things.made}, 7)
            yield json_event("end", {})
        finally:
            things.closed += 1

    return sse(events())


ROUTES = (
    Route(method="POST", path="/things", permission="node.write", handler=make, summary="Make", status=201),
    Route(method="POST", path="/things/ask", permission="node.read", handler=ask, summary="Ask", status=201),
    Route(
        method="GET",
        path="/things/events",
        permission="node.read",
        handler=watch,
        summary="Watch",
        raw=True,
        audit=True,
    ),
    Route(method="GET", path="/things/{thing}", permission="node.read", handler=show, summary="Show"),
    Route(method="DELETE", path="/things/{thing}", permission="node.remove", handler=drop, summary="Drop"),
    *access.ROUTES,
    *users.ROUTES,
    *system.ROUTES,
    *audit_reading.ROUTES,
)


@dataclass
class Stand:
    """Everything a test may look at."""

    app: Any
    client: httpx2.AsyncClient
    things: Things
    tokens: ApiTokens
    db: MemoryDatabase
    access: AccessRoom
    admin: str
    admin_id: str
    bench: AccessBench
    clock: SystemClock = field(default_factory=SystemClock)

    def bearer(self, secret: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {secret or self.admin}"}

    async def login(self, name: str = "ada", password: str = PASSWORD) -> httpx2.Response:
        answer = await self.client.post("/api/v1/login", json={"name": name, "password": password})
        self.client.cookies.clear()
        return answer

    async def entered(self, name: str = "ada", password: str = PASSWORD) -> dict[str, str]:
        """The headers of somebody who has logged in."""
        answer = await self.login(name, password)
        assert answer.status_code == 200, answer.text
        return self.bearer(answer.json()["data"]["access_token"])

    async def call(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> httpx2.Response:
        return await self.client.request(method, f"/api/v1{path}", headers=headers, json=body)

    async def status(self, headers: dict[str, str], path: str = "/whoami") -> int:
        return (await self.call("GET", path, headers)).status_code

    async def token(self, *permissions: str) -> str:
        caller = Caller(name="admin")
        return (await self.tokens.create(caller, name="limited", permissions=permissions))[1]


@pytest.fixture
def limits() -> Limits:
    return Limits(body_max_bytes=100_000, requests_per_second=0)


@pytest.fixture
async def stand(limits: Limits) -> AsyncIterator[Stand]:
    clock = SystemClock()
    things = Things()
    bench = access_bench(clock)
    db, audit, tokens, room = bench.db, bench.audit, bench.tokens, bench.room

    async def sql() -> dict[str, Any]:
        return {"kind": "sqlite"}

    async def engine() -> dict[str, Any]:
        if not things.engine_works:
            raise Unavailable("cannot reach the engine")
        return {}

    letters = MemoryDeadLetters(db)
    await letters.add([DeadLetter(subject="corral.up.web-1.report", reason="no JSON", body=b"\xff{", node="web-1")])
    rooms = {
        "things": things,
        "access": room,
        "audit": None,
        "system": SystemRoom(version="1", checks={"sql": sql, "engine": engine}, dead_letters=letters),
    }
    frame = Frame(
        authenticate=room.authenticate,
        holds=room.authenticate.holds,
        record=audit.add,
        answers=MemoryIdempotencyStore(db),
        sealer=AesSealer(b"k" * 32),
        clock=clock,
        limits=limits,
    )
    app = asgi(rooms, routes=ROUTES, frame=frame)
    admin, secret = await tokens.create(Caller(name="admin"), name="admin")
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=True, client=("192.0.2.7", 1234))
    async with httpx2.AsyncClient(transport=transport, base_url="http://corral.test") as client:
        yield Stand(
            app=app,
            client=client,
            things=things,
            tokens=tokens,
            db=db,
            access=room,
            admin=secret,
            admin_id=admin.id,
            bench=bench,
        )

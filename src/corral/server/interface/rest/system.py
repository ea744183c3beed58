"""The system routes: how the server stands, what could not be understood."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar.response import Stream

from corral.runtime.clock import iso
from corral.server.application.ports.access import Caller
from corral.server.application.system.room import SystemRoom
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.route import Route

TAGS: Final = ("system",)
_BODY_SHOWN_BYTES: Final = 2048


class DeadLetterView(msgspec.Struct, kw_only=True):
    """`body` is the beginning of what came, as text; bytes that are none are replaced."""

    at: str | None
    node: str
    subject: str
    reason: str
    body: str
    body_bytes: int


async def show_system(system: SystemRoom, caller: Caller) -> Envelope[dict[str, Any]]:
    """Version, engine, database, leader."""
    return ok(dict(await system.status(caller)))


async def list_dead_letters(system: SystemRoom, caller: Caller, limit: int = 50) -> Envelope[list[DeadLetterView]]:
    """What nodes sent and nobody could read, newest first, with the reason."""
    letters = await system.dead_letters(caller, limit=limit)
    views = [
        DeadLetterView(
            at=iso(letter.at),
            node=letter.node,
            subject=letter.subject,
            reason=letter.reason,
            body=letter.body[:_BODY_SHOWN_BYTES].decode(errors="replace"),
            body_bytes=len(letter.body),
        )
        for letter in letters
    ]
    return ok(views)


async def make_backup(system: SystemRoom, caller: Caller) -> Stream:
    """Database, keys, certificates, configuration and objects as one tar. Whoever holds it holds the fleet: guard it."""
    return Stream(await system.backup(caller), media_type="application/octet-stream")


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/system",
        permission="system.read",
        handler=show_system,
        summary="How the server stands",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/system/backup",
        permission="system.write",
        handler=make_backup,
        summary="Make a backup",
        audit=True,
        raw=True,
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/dead-letters",
        permission="system.read",
        handler=list_dead_letters,
        summary="Messages nobody could read",
        tags=TAGS,
    ),
)

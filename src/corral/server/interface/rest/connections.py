"""The connections routes: where databases and clusters are, without any credential."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar.params import HeaderParameter

from corral.domain.connection import Connection
from corral.domain.errors import Invalid
from corral.runtime.clock import iso
from corral.server.application.connections.book import ConnectionBook
from corral.server.application.ports.access import Caller
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.route import Route

TAGS: Final = ("connections",)
IfMatch = Annotated[str | None, HeaderParameter(name="If-Match", required=False)]


class ConnectionBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`password_secret` is the name of a secret. `tls` and `options` are what the kind's executor knows; both may refer to secrets."""

    engine: str
    host: str = ""
    port: int | None = None
    database: str = ""
    user: str = ""
    password_secret: str = ""
    tls: dict[str, str] = {}
    options: dict[str, Any] = {}
    selector: str = "all"
    description: str = ""


class ConnectionView(ConnectionBody, kw_only=True):
    name: str
    changed_at: str | None
    changed_by: str
    resource_version: int


async def put(
    connections: ConnectionBook, caller: Caller, name: str, data: ConnectionBody, if_match: IfMatch = None
) -> Envelope[ConnectionView]:
    """Make or replace a connection. With If-Match only when it is at that version (0: it must be new)."""
    given = {field: getattr(data, field) for field in data.__struct_fields__}
    stored = await connections.set(caller, Connection(name=name, **given), if_match=_version(if_match))
    return ok(_view(stored))


async def list_connections(connections: ConnectionBook, caller: Caller) -> Envelope[list[ConnectionView]]:
    return ok([_view(connection) for connection in await connections.list(caller)])


async def show(connections: ConnectionBook, caller: Caller, name: str) -> Envelope[ConnectionView]:
    return ok(_view(await connections.get(caller, name)))


async def delete(connections: ConnectionBook, caller: Caller, name: str) -> Envelope[None]:
    await connections.delete(caller, name)
    return ok(None)


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text.strip().strip('"'))
    except ValueError:
        raise Invalid(f"cannot read If-Match {text[:40]!r}: expected a resource_version", element="If-Match") from None


def _view(connection: Connection) -> ConnectionView:
    return ConnectionView(
        name=connection.name,
        engine=connection.engine,
        host=connection.host,
        port=connection.port,
        database=connection.database,
        user=connection.user,
        password_secret=connection.password_secret,
        tls=dict(connection.tls),
        options=dict(connection.options),
        selector=connection.selector,
        description=connection.description,
        changed_at=iso(connection.changed_at),
        changed_by=connection.changed_by,
        resource_version=connection.resource_version,
    )


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/connections",
        permission="connection.read",
        handler=list_connections,
        summary="Named connections",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/connections/{name:str}",
        permission="connection.read",
        handler=show,
        summary="One connection",
        tags=TAGS,
    ),
    Route(
        method="PUT",
        path="/connections/{name:str}",
        permission="connection.write",
        handler=put,
        summary="Make or replace a connection",
        tags=TAGS,
    ),
    Route(
        method="DELETE",
        path="/connections/{name:str}",
        permission="connection.write",
        handler=delete,
        summary="Delete a connection",
        tags=TAGS,
    ),
)

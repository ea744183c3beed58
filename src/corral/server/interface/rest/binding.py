"""From a row of the table to a Litestar handler: rooms and caller are handed in by name, the rest is decoded from the request.

Handlers stay plain typed functions. Here their signature is rewritten once, at start: rooms and `caller` leave it, path and query
parameters are marked as such, so that Litestar decodes, checks and documents exactly what a client may send.
"""

from __future__ import annotations

import inspect
import operator
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, get_origin

from litestar.connection import ASGIConnection, Request
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.params import FromPath, FromQuery, JSONBody

from corral.domain.errors import Denied, Internal, Unauthenticated
from corral.server.application.ports.access import Caller
from corral.server.interface.rest.route import Route

CALLER_KEY: Final = "corral.caller"
"""Where the frame leaves the Caller in the ASGI scope."""
_RESERVED: Final = frozenset({"data", "request", "headers", "cookies", "query", "body", "scope", "state"})


def handler(route: Route, path: str, rooms: Mapping[str, Any], **options: Any) -> HTTPRouteHandler:
    """The Litestar handler of one row, at `path`."""
    return HTTPRouteHandler(
        path,
        http_method=[route.method],  # type: ignore[list-item]  # the table's words are HTTP methods, a test says so
        status_code=route.status,
        guards=[_guard],
        opt={"route": route},
        **options,
    )(bind(route, rooms))


def bind(route: Route, rooms: Mapping[str, Any]) -> Callable[..., Any]:
    """The route's function with rooms and caller filled in, taking what is left from the request."""
    function = route.handler
    hints = typing.get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    wanted = [name for name in signature.parameters if name in rooms]
    wants_caller = "caller" in signature.parameters
    wants_request = "request" in signature.parameters
    in_path = {part[1:-1].partition(":")[0] for part in route.path.split("/") if part.startswith("{")}

    kept: dict[str, Any] = {}
    for name in signature.parameters:
        if name in wanted or name in ("caller", "request"):
            continue
        kind = hints[name]
        if name == "data":
            kind = operator.getitem(JSONBody, kind)
        elif name not in _RESERVED and get_origin(kind) is not Annotated:
            kind = operator.getitem(FromPath if name in in_path else FromQuery, kind)
        kept[name] = kind
    given = {name: rooms[name] for name in wanted}
    asynchronous = inspect.iscoroutinefunction(function)

    async def call(*, request: Request[Any, Any, Any], **values: Any) -> Any:
        if wants_caller:
            values["caller"] = caller_of(request)
        if wants_request:
            values["request"] = request
        answer = function(**given, **values)
        return await answer if asynchronous else answer

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("request", keyword, annotation=Request[Any, Any, Any])]
    parameters += [
        inspect.Parameter(name, keyword, default=signature.parameters[name].default, annotation=kind)
        for name, kind in kept.items()
    ]
    call.__signature__ = inspect.Signature(parameters, return_annotation=hints.get("return"))  # type: ignore[attr-defined]  # functions have it
    call.__annotations__ = {"request": Request[Any, Any, Any], **kept, "return": hints.get("return")}
    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = function.__doc__
    call.__module__ = function.__module__
    return call


def caller_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """Who makes this request; on a public route somebody without any permission."""
    caller = connection.scope.get(CALLER_KEY)
    if not isinstance(caller, Caller):
        raise Internal("cannot serve this request: it did not come through the frame")
    return caller


def check_permission(caller: Caller, route: Route) -> None:
    """Raises Denied unless the caller has the permission of the row, or one that also opens it."""
    if route.permission and not any(caller.may(word) for word in (route.permission, *route.also)):
        raise Denied(
            f"cannot {route.method} {route.path}: {caller.name!r} has no permission {route.permission!r}",
            element=route.permission,
            hint="use a token that has it; 'corral whoami' shows what yours may do",
        )


async def _guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """A second look behind the frame: whatever way a request found, no handler runs for somebody who may not.

    A coroutine, or the web framework would send each request through a thread for it.
    """
    route: Route = handler.opt["route"]
    if route.permission is None:
        return
    caller = connection.scope.get(CALLER_KEY)
    if not isinstance(caller, Caller) or caller.kind == "nobody":
        raise Unauthenticated("cannot answer: no credential was given")
    check_permission(caller, route)

"""/openapi.json: OpenAPI 3.1 from the route table, by the web framework's own generator, with what only the table knows added.

It is made once, when somebody first asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from corral.server.interface.rest.binding import handler
from corral.server.interface.rest.envelope import Problem
from corral.server.interface.rest.route import Route
from corral.server.interface.rest.routing import PREFIX, litestar_path

_ERRORS: Final = {
    400: "Bad input: `element` names the field",
    401: "No credential, or one that is not valid",
    403: "A valid caller who may not do this, or an enrolment that is refused",
    404: "No such thing, or a selector that picks nothing",
    409: "In use, changed meanwhile, or in a state where this cannot be done",
    413: "Too large",
    429: "Too many requests",
    500: "Our own mistake: `request_id` finds it in the log",
    503: "A part of the server does not answer",
    507: "A disk or a bounded stream is full",
}
_KEY_PARAMETER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Repeating a request with the same key answers what the first one answered.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]+$"},
}


class Document:
    """The description of all API routes, as JSON bytes."""

    def __init__(self, routes: Sequence[Route], rooms: Mapping[str, Any], *, version: str) -> None:
        self._routes = routes
        self._rooms = rooms
        self._version = version
        self._json: bytes | None = None

    def json(self) -> bytes:
        if self._json is None:
            self._json = msgspec.json.encode(self._made())
        return self._json

    def _made(self) -> dict[str, Any]:
        config = OpenAPIConfig(
            title="Corral",
            version=self._version,
            description="Run a fleet of Linux machines. Lists are arrays in `data`; `next` is the cursor of the next page.",
            components=Components(security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")}),
            security=[{"bearer": []}],
            render_plugins=[JsonRenderPlugin()],
            use_handler_docstrings=True,
        )
        handlers = [
            handler(
                route,
                PREFIX + litestar_path(route.path),
                self._rooms,
                summary=route.summary,
                tags=list(route.tags),
                operation_id=operation_id(route),
                security=[{}] if route.permission is None else None,
                responses={
                    status: ResponseSpec(data_container=Problem, description=text, generate_examples=False)
                    for status, text in _ERRORS.items()
                },
            )
            for route in self._routes
        ]
        made: dict[str, Any] = Litestar(handlers, openapi_config=config, logging_config=None).openapi_schema.to_schema()
        for route in self._routes:
            operation = made["paths"][PREFIX + route.template][route.method.lower()]
            operation["x-corral-permission"] = route.permission if route.permission is not None else "public"
            if route.method == "POST" and not any(
                str(found.get("name")).lower() == "idempotency-key" for found in operation.get("parameters", [])
            ):
                operation.setdefault("parameters", []).append(_KEY_PARAMETER)
            if route.octets:
                octets = {"schema": {"type": "string", "format": "binary"}}
                operation["requestBody"] = {"required": True, "content": {"application/octet-stream": octets}}
            if route.raw:
                kind = (
                    "application/octet-stream"
                    if route.path.endswith(("/raw", "/backup", "/content"))
                    else "text/event-stream"
                )
                operation["responses"][str(route.status)]["content"] = {kind: {"schema": {"type": "string"}}}
        return made


def operation_id(route: Route) -> str:
    """jobs_submit: the room and the handler's name; unique in the table (a test says so)."""
    room = route.handler.__module__.rpartition(".")[2].partition("_")[0]
    return f"{room}_{route.handler.__name__}"

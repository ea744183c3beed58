"""What lies beside the API: health, metrics, the API's description, the pages and their files, the login link."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, Final

from litestar.connection import Request
from litestar.response import Response

from corral.domain.errors import CorralError, NotFound
from corral.runtime.clock import Clock
from corral.server.application.access.authenticate import Presented
from corral.server.application.access.room import AccessRoom
from corral.server.application.ports.access import Caller
from corral.server.application.system.room import SystemRoom
from corral.server.interface.rest import auth
from corral.server.interface.rest.access import claimed
from corral.server.interface.rest.binding import check_permission
from corral.server.interface.rest.metrics import CONTENT_TYPE, Metrics
from corral.server.interface.rest.openapi import Document
from corral.server.interface.rest.route import Route
from corral.server.interface.web.files import PAGES, WebFile, web_file

_USED_LINK: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Corral</title>
<link rel="stylesheet" href="/static/page.css"></head><body><main><h1>This login link does not work</h1>
<p>It was used already, is older than ten minutes, or the server was restarted since.</p>
<p>Make a new one: <code>corral login --link</code></p></main></body></html>"""


def root_routes(*, document: Document, metrics: Metrics, clock: Clock) -> tuple[Route, ...]:
    """Rows of the table outside /api/v1; all public, each guarding itself where it has to."""

    async def healthz() -> Response[dict[str, str]]:
        return Response({"status": "ok"})

    async def readyz(system: SystemRoom) -> Response[dict[str, Any]]:
        parts = await system.parts()
        ready = all(part.ok for part in parts)
        body = {"status": "ready" if ready else "not ready", "parts": {part.name: part.ok for part in parts}}
        return Response(body, status_code=200 if ready else 503)

    async def show_metrics(access: AccessRoom, caller: Caller, request: Request[Any, Any, Any]) -> Response[bytes]:
        if not _local(caller.address):
            headers = dict(request.scope["headers"])
            presented: Presented = auth.presented(request.scope, headers, request_id=caller.request_id)
            check_permission(await access.authenticate(presented), _METRICS_RULE)
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    async def openapi() -> Response[bytes]:
        return Response(document.json(), media_type="application/json", headers={"Cache-Control": "no-cache"})

    async def login_link(access: AccessRoom, caller: Caller, request: Request[Any, Any, Any]) -> Response[Any]:
        """Sets the session's cookies and goes to the first page; without a code, the page where one logs in."""
        code = request.query_params.get("code", "")
        if not code:
            return _file("index.html", request)
        try:
            issued = await access.login.login(code=code, token=None, address=caller.address)
        except CorralError as error:
            return Response(_USED_LINK, status_code=error.http_status, media_type="text/html")
        claimed(request, caller, issued.name)
        secure = request.scope["scheme"] == "https"
        cookies = auth.session_cookies(issued, secure=secure, now=clock.wall())
        return Response("", status_code=303, media_type="text/html", headers={"Location": "/"}, cookies=cookies)

    async def static(file: str, request: Request[Any, Any, Any]) -> Response[bytes]:
        return _file(file, request)

    async def asset(file: str, request: Request[Any, Any, Any]) -> Response[bytes]:
        return _file(f"assets/{file}", request)

    def page(name: str) -> Callable[..., Response[bytes]]:
        async def show(request: Request[Any, Any, Any]) -> Response[bytes]:
            return _file(name, request)

        show.__name__ = name.partition(".")[0]
        return show  # type: ignore[return-value]  # a coroutine function; the table awaits either kind

    rows: tuple[tuple[str, Callable[..., Any], str], ...] = (
        ("/healthz", healthz, "Is the process alive"),
        ("/readyz", readyz, "Can it do its work"),
        ("/metrics", show_metrics, "Prometheus figures"),
        ("/openapi.json", openapi, "The API, described"),
        ("/docs", page("docs.html"), "The API, readable"),
        ("/login", login_link, "A one-time login link"),
        ("/static/{file}", static, "Files of the pages"),
        ("/assets/{file}", asset, "Files of the application"),
        *((path, page("index.html"), "A page of the application") for path in PAGES),
    )
    return tuple(
        Route(method="GET", path=path, permission=None, handler=function, summary=summary, audit=path == "/login")
        for path, function, summary in rows
    )


_METRICS_RULE: Final = Route(
    method="GET", path="/metrics", permission="system.read", handler=lambda: None, summary="Prometheus figures"
)


def _local(address: str) -> bool:
    """A scraper on this machine needs no token: the figures are counts, and it could read our memory anyway."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _file(name: str, request: Request[Any, Any, Any]) -> Response[bytes]:
    found: WebFile | None = web_file(name)
    if found is None:
        raise NotFound(f"cannot show {name[:64]!r}: there is no such file", element="file")
    if request.headers.get("if-none-match") == found.etag:
        return Response(b"", status_code=304, media_type=found.media_type, headers=found.headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers = {**found.headers, "Content-Encoding": "gzip"}
        return Response(found.packed, media_type=found.media_type, headers=headers)
    return Response(found.data, media_type=found.media_type, headers=found.headers)

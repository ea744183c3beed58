"""Logging in at the identity provider: /auth/oidc/start sends the browser there, /auth/oidc/callback takes it back.

The state travels in a cookie of its own (SameSite=Lax: the way back comes from another site). The session's cookies are Strict, and a
browser does not send those along a chain that another site began; so the last step is a page of ours that goes on by itself.
"""

from __future__ import annotations

import html
from typing import Any, Final
from urllib.parse import urlencode

from litestar.connection import Request
from litestar.datastructures import Cookie
from litestar.response import Response

from corral.domain.errors import CorralError
from corral.runtime.clock import Clock
from corral.server.application.access.oidc import KEPT_SECONDS
from corral.server.application.access.room import AccessRoom
from corral.server.application.access.sessions import Issued
from corral.server.application.ports.access import Caller
from corral.server.interface.rest import auth
from corral.server.interface.rest.access import claimed
from corral.server.interface.rest.route import Route

COOKIE: Final = "corral_oidc"
PATH: Final = "/auth/oidc"
_PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Corral</title>{head}
<link rel="stylesheet" href="/static/page.css"></head><body><main><h1>{title}</h1><p>{text}</p>
<p><a href="{link}">{action}</a></p></main></body></html>"""


def oidc_routes(clock: Clock) -> tuple[Route, ...]:
    """Rows outside /api/v1; public, as a login has to be."""

    async def oidc_start(access: AccessRoom, request: Request[Any, Any, Any]) -> Response[str]:
        secure = request.scope["scheme"] == "https"
        port = request.query_params.get("port", "")
        try:
            url, kept = await access.oidc.start(
                _callback(access, request),
                port=int(port) if port.isascii() and port.isdigit() and len(port) < 6 else 0,
                challenge=request.query_params.get("challenge", ""),
            )
        except CorralError as error:
            return _failed(error)
        cookie = _state(kept, secure=secure, max_age=int(KEPT_SECONDS))
        return Response("", status_code=303, media_type="text/html", headers={"Location": url}, cookies=[cookie])

    async def oidc_callback(access: AccessRoom, caller: Caller, request: Request[Any, Any, Any]) -> Response[str]:
        query, secure = request.query_params, request.scope["scheme"] == "https"
        gone = _state("", secure=secure, max_age=0)
        port = 0
        try:
            begun = access.oidc.begun(request.cookies.get(COOKIE))
            port = begun.port
            if "error" in query:
                return _answered(port, gone, error=f"the identity provider says: {_said(query)}")
            user, made = await access.oidc.finish(
                begun, state=query.get("state", ""), code=query.get("code", ""), address=caller.address
            )
        except CorralError as error:
            if port:
                return _answered(port, gone, error=error.message)
            return _failed(error, gone)
        claimed(request, caller, user.name)
        if not isinstance(made, Issued):
            return _answered(port, gone, code=made)
        page = _PAGE.format(
            head='<meta http-equiv="refresh" content="0;url=/">',
            title="You are logged in",
            text=f"as {html.escape(user.name)}",
            link="/",
            action="Go on",
        )
        cookies = [*auth.session_cookies(made, secure=secure, now=clock.wall()), gone]
        return Response(page, media_type="text/html", cookies=cookies)

    return tuple(
        Route(method="GET", path=f"{PATH}/{name}", permission=None, handler=handler, summary=summary, audit=audit)
        for name, handler, summary, audit in (
            ("start", oidc_start, "Log in at the identity provider", False),
            ("callback", oidc_callback, "Back from the identity provider", True),
        )
    )


def _callback(access: AccessRoom, request: Request[Any, Any, Any]) -> str:
    """As it is registered at the provider, which compares it."""
    base = access.public_url or f"{request.scope['scheme']}://{request.headers.get('host', '')}"
    return f"{base.rstrip('/')}{PATH}/callback"


def _said(query: Any) -> str:
    return str(query.get("error_description") or query.get("error") or "")[:200]


def _answered(port: int, cookie: Cookie, **fields: str) -> Response[str]:
    """To the command line that waits on loopback; without one, a page."""
    if not port:
        page = _PAGE.format(
            head="", title="You are not logged in", text=html.escape(fields["error"]), link="/", action="Back"
        )
        return Response(page, status_code=401, media_type="text/html", cookies=[cookie])
    where = f"http://127.0.0.1:{port}/?{urlencode(fields)}"
    return Response("", status_code=303, media_type="text/html", headers={"Location": where}, cookies=[cookie])


def _failed(error: CorralError, *cookies: Cookie) -> Response[str]:
    text = html.escape(error.message) + (f"</p><p>{html.escape(error.hint)}" if error.hint else "")
    page = _PAGE.format(head="", title="You are not logged in", text=text, link="/", action="Back")
    return Response(page, status_code=error.http_status, media_type="text/html", cookies=list(cookies))


def _state(value: str, *, secure: bool, max_age: int) -> Cookie:
    return Cookie(
        key=COOKIE, value=value, path=PATH, max_age=max_age, httponly=True, samesite="lax", secure=secure or None
    )

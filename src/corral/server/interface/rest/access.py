"""The access routes: logging in and out, who am I, API tokens, login links."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import msgspec
from litestar.connection import Request
from litestar.response import Response

from corral.domain.errors import Invalid, Unauthenticated
from corral.runtime.clock import SystemClock, iso
from corral.server.application.access.names import folded
from corral.server.application.access.room import AccessRoom
from corral.server.application.access.sessions import PREFIX, Issued
from corral.server.application.ports.access import ApiToken, Caller
from corral.server.interface.rest import auth
from corral.server.interface.rest.binding import CALLER_KEY
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.route import Route

TAGS: Final = ("access",)
_CLOCK: Final = SystemClock()


class LoginBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One of these: name and password; the code of a one-time link; an API token; an invitation and the password to begin with."""

    name: str | None = None
    password: str | None = None
    code: str | None = None
    verifier: str | None = None
    """The secret behind a code that a browser login handed to the command line."""
    token: str | None = None
    invite: str | None = None


class WaysView(msgspec.Struct, kw_only=True):
    """How one can log in here. `oidc`: where a browser goes to log in at the identity provider; null when there is none."""

    password: bool
    oidc: str | None


class RefreshBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A browser sends nothing: its cookie holds the token."""

    refresh_token: str | None = None


class SessionView(msgspec.Struct, kw_only=True):
    name: str
    access_token: str
    refresh_token: str
    expires_at: str
    csrf: str


class HeldView(msgspec.Struct, kw_only=True):
    """Permissions on the nodes of a selector, and the role that gives them."""

    permissions: list[str]
    selector: str
    role: str


class WhoView(msgspec.Struct, kw_only=True):
    """`grants` null: on every node. `method`: how the session began. `must_change`: set a password first."""

    name: str
    kind: str
    permissions: list[str]
    csrf: str | None
    user: str | None
    grants: list[HeldView] | None
    method: str | None
    expires_at: str | None
    must_change: bool


class CodeView(msgspec.Struct, kw_only=True):
    code: str
    path: str
    expires_at: str


class TokenBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: str
    permissions: tuple[str, ...] = ("*",)
    ttl_seconds: float | None = None


class TokenView(msgspec.Struct, kw_only=True):
    id: str
    name: str
    permissions: list[str]
    created_at: str | None
    expires_at: str | None
    last_used_at: str | None
    revoked: bool
    owner: str | None
    """The id of the user it belongs to, and whose permissions limit it."""


class NewTokenView(TokenView, kw_only=True):
    """`token` is shown this once."""

    token: str


class GoneView(msgspec.Struct, kw_only=True):
    id: str


async def login_ways(access: AccessRoom) -> Envelope[WaysView]:
    """What a login page offers."""
    return ok(WaysView(password=True, oidc="/auth/oidc/start" if access.oidc.offered else None))


async def login(
    access: AccessRoom, caller: Caller, request: Request[Any, Any, Any], data: LoginBody
) -> Response[Envelope[SessionView]]:
    """A session: in the answer, and as cookies."""
    if data.name is not None or data.password is not None:
        claimed(request, caller, folded(data.name or ""))
    issued = await _issued(access, caller, data)
    claimed(request, caller, issued.name)
    return session_answer(issued, request)


async def _issued(access: AccessRoom, caller: Caller, data: LoginBody) -> Issued:
    given = [key for key in ("name", "code", "token", "invite") if getattr(data, key) is not None]
    if len(given) != 1 or (data.password is not None) != (given[0] in ("name", "invite")):
        raise Invalid(
            "cannot log in: give name and password, or invite and password, or code, or token",
            element=given[0] if given else "name",
            hint="a login link holds the code",
        )
    if data.name is not None:
        return await access.login.with_password(data.name, data.password or "", address=caller.address)
    if data.invite is not None:
        return await access.login.with_invite(data.invite, data.password or "", address=caller.address)
    return await access.login.login(
        code=data.code, token=data.token, verifier=data.verifier or "", address=caller.address
    )


async def refresh(
    access: AccessRoom, request: Request[Any, Any, Any], data: RefreshBody | None = None
) -> Response[Envelope[SessionView]]:
    """The next session for a refresh token, which is spent by this."""
    token = data.refresh_token if data is not None else None
    token = token or request.cookies.get(auth.REFRESH_COOKIE, "")
    if not token.startswith(PREFIX):
        raise Unauthenticated(
            "cannot refresh: no refresh token was given", element="refresh_token", hint="log in again"
        )
    return session_answer(await access.login.refresh(token), request)


async def logout(access: AccessRoom, caller: Caller, request: Request[Any, Any, Any]) -> Response[Envelope[None]]:
    """Ends the session and takes the cookies back."""
    await access.login.logout(caller)
    return Response(ok(None), cookies=auth.no_cookies(secure=_secure(request)))


async def whoami(access: AccessRoom, caller: Caller) -> Envelope[WhoView]:
    """The caller as the server sees it; `csrf` is for writes from a browser."""
    session = await access.authenticate.session_of(caller)
    user = await access.people.find(caller.user) if caller.user else None
    return ok(
        WhoView(
            name=caller.name,
            kind=caller.kind,
            permissions=sorted(caller.permissions),
            csrf=access.authenticate.csrf(caller),
            user=caller.user or None,
            grants=None
            if caller.grants is None
            else [
                HeldView(permissions=sorted(grant.permissions), selector=grant.selector, role=grant.role)
                for grant in caller.grants
            ],
            method=None if session is None else session.method,
            expires_at=None if session is None else iso(session.expires_at),
            must_change=user is not None and user.must_change,
        )
    )


async def create_login_code(access: AccessRoom, caller: Caller) -> Envelope[CodeView]:
    """A one-time code: whoever opens <server>/login?code=… within ten minutes is logged in as the caller."""
    code, expires_at = await access.login.new_code(caller)
    return ok(CodeView(code=code, path=f"/login?code={code}", expires_at=iso(expires_at) or ""))


async def create_token(access: AccessRoom, caller: Caller, data: TokenBody) -> Envelope[NewTokenView]:
    """A new API token with at most the caller's own permissions."""
    token, secret = await access.tokens.create(
        caller, name=data.name, permissions=data.permissions, ttl_seconds=data.ttl_seconds
    )
    return ok(NewTokenView(**token_view(token), token=secret))


async def list_tokens(access: AccessRoom, caller: Caller) -> Envelope[list[TokenView]]:
    """All API tokens, without their secrets: those are stored nowhere."""
    return ok([TokenView(**token_view(token)) for token in await access.tokens.list(caller)])


async def revoke_token(access: AccessRoom, caller: Caller, token: str) -> Envelope[GoneView]:
    """Takes effect at once, also for the sessions it opened."""
    await access.tokens.revoke(caller, token)
    return ok(GoneView(id=token))


def session_answer(issued: Issued, request: Request[Any, Any, Any]) -> Response[Envelope[SessionView]]:
    view = SessionView(
        name=issued.name,
        access_token=issued.access_token,
        refresh_token=issued.refresh_token,
        expires_at=iso(issued.expires_at) or "",
        csrf=issued.csrf,
    )
    return Response(ok(view), cookies=auth.session_cookies(issued, secure=_secure(request), now=_CLOCK.wall()))


def claimed(request: Request[Any, Any, Any], caller: Caller, name: str) -> None:
    """For the audit record: as whom somebody tries to get in. It gives nothing: the request has been let through already."""
    scope: Any = request.scope
    scope[CALLER_KEY] = replace(caller, name=name)


def _secure(request: Request[Any, Any, Any]) -> bool:
    return bool(request.scope["scheme"] == "https")


def token_view(token: ApiToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "permissions": sorted(token.permissions),
        "created_at": iso(token.created_at),
        "expires_at": iso(token.expires_at),
        "last_used_at": iso(token.last_used_at),
        "revoked": token.revoked,
        "owner": token.owner or None,
    }


ROUTES: Final[tuple[Route, ...]] = (
    Route(method="GET", path="/login", permission=None, handler=login_ways, summary="How to log in", tags=TAGS),
    Route(method="POST", path="/login", permission=None, handler=login, summary="Log in", tags=TAGS),
    Route(method="POST", path="/refresh", permission=None, handler=refresh, summary="Renew a session", tags=TAGS),
    Route(method="POST", path="/logout", permission="", handler=logout, summary="End a session", tags=TAGS),
    Route(method="GET", path="/whoami", permission="", handler=whoami, summary="Who am I", tags=TAGS),
    Route(
        method="POST",
        path="/login-codes",
        permission="",
        handler=create_login_code,
        summary="Make a one-time login link",
        status=201,
        tags=TAGS,
    ),
    Route(
        method="POST",
        path="/api-tokens",
        permission="access.write",
        handler=create_token,
        summary="Make an API token",
        status=201,
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/api-tokens",
        permission="access.read",
        handler=list_tokens,
        summary="List API tokens",
        audit=True,
        tags=TAGS,
    ),
    Route(
        method="DELETE",
        path="/api-tokens/{token}",
        permission="access.write",
        handler=revoke_token,
        summary="Revoke an API token",
        tags=TAGS,
    ),
)

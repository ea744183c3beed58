"""Users, and what everybody may see and change about himself: /users and /sessions for those who manage people, /me for the rest."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar.connection import Request
from litestar.response import Response

from corral.runtime.clock import iso
from corral.server.application.access.people import Changes, Order
from corral.server.application.access.room import AccessRoom
from corral.server.application.ports.access import Caller, Session
from corral.server.application.ports.people import User
from corral.server.interface.rest.access import (
    GoneView,
    NewTokenView,
    SessionView,
    TokenBody,
    TokenView,
    session_answer,
    token_view,
)
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.route import Route

TAGS: Final = ("users",)
_SESSIONS: Final = 500
_Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]


class UserBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Without a password the answer holds an invitation. `roles` hold on every node; give others with POST /grants."""

    name: str
    display_name: str = ""
    email: str = ""
    password: str | None = None
    roles: tuple[str, ...] = ()


class UserPatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays as it is. With `resource_version` only if nobody changed it since."""

    display_name: str | None = None
    email: str | None = None
    disabled: bool | None = None
    resource_version: int | None = None


class PasswordBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    password: str


class OwnPasswordBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    old: str
    new: str


class UserView(msgspec.Struct, kw_only=True):
    """`groups`: what the identity provider said at the last login."""

    id: str
    name: str
    display_name: str
    email: str
    source: str
    groups: list[str]
    disabled: bool
    must_change: bool
    invited: bool
    created_at: str | None
    last_login_at: str | None
    resource_version: int


class NewUserView(UserView, kw_only=True):
    """`invite` is shown this once: whoever has it sets the password."""

    invite: str | None
    invite_expires_at: str | None


class OneSessionView(msgspec.Struct, kw_only=True):
    """`current`: the one this request came with."""

    id: str
    name: str
    user: str | None
    method: str
    address: str
    created_at: str | None
    refreshed_at: str | None
    expires_at: str | None
    current: bool


async def create_user(access: AccessRoom, caller: Caller, data: UserBody) -> Envelope[NewUserView]:
    """A new user. The first of all is an admin unless roles are named."""
    order = Order(
        name=data.name,
        display_name=data.display_name,
        email=data.email,
        password=data.password,
        roles=data.roles,
    )
    user, invite = await access.people.create(caller, order)
    return ok(_new_view(user, invite))


async def list_users(
    access: AccessRoom, caller: Caller, limit: _Limit = 100, cursor: str | None = None
) -> Envelope[list[UserView]]:
    """By name. `next` is the cursor of the next page."""
    users = await access.people.list(caller, limit=limit, after=cursor)
    return ok([_view(user) for user in users], next=users[-1].name if len(users) == limit else None)


async def show_user(access: AccessRoom, caller: Caller, user: str) -> Envelope[UserView]:
    """By name or id."""
    return ok(_view(await access.people.show(caller, user)))


async def change_user(access: AccessRoom, caller: Caller, user: str, data: UserPatch) -> Envelope[UserView]:
    """Disabling ends all access of that user at once."""
    changes = Changes(display_name=data.display_name, email=data.email, disabled=data.disabled)
    return ok(_view(await access.people.change(caller, user, changes, if_match=data.resource_version)))


async def delete_user(access: AccessRoom, caller: Caller, user: str) -> Envelope[GoneView]:
    """With grants, sessions and API tokens; never the last admin."""
    return ok(GoneView(id=(await access.people.delete(caller, user)).id))


async def reset_password(access: AccessRoom, caller: Caller, user: str, data: PasswordBody) -> Envelope[UserView]:
    """Its owner has to set another before anything else."""
    return ok(_view(await access.people.reset_password(caller, user, data.password)))


async def invite_user(access: AccessRoom, caller: Caller, user: str) -> Envelope[NewUserView]:
    """A code with which the user sets a password; the present one ends."""
    return ok(_new_view(*await access.people.invite(caller, user)))


async def list_sessions(access: AccessRoom, caller: Caller, user: str | None = None) -> Envelope[list[OneSessionView]]:
    """Who is logged in, newest first: the newest 500, of everybody or of one user."""
    found = await access.people.sessions(caller, user=user, limit=_SESSIONS)
    return ok([_session(session, caller) for session in found])


async def end_session(access: AccessRoom, caller: Caller, session: str) -> Envelope[GoneView]:
    """Takes effect at once."""
    return ok(GoneView(id=(await access.people.end_session(caller, session, own=False)).id))


async def change_own_password(
    access: AccessRoom, caller: Caller, request: Request[Any, Any, Any], data: OwnPasswordBody
) -> Response[Envelope[SessionView]]:
    """All your sessions end; the answer is a new one."""
    return session_answer(await access.people.own_password(caller, data.old, data.new), request)


async def list_own_sessions(access: AccessRoom, caller: Caller) -> Envelope[list[OneSessionView]]:
    """Where you are logged in."""
    return ok([_session(session, caller) for session in await access.people.own_sessions(caller, limit=_SESSIONS)])


async def end_own_session(access: AccessRoom, caller: Caller, session: str) -> Envelope[GoneView]:
    """Log out somewhere else."""
    return ok(GoneView(id=(await access.people.end_session(caller, session, own=True)).id))


async def create_own_token(access: AccessRoom, caller: Caller, data: TokenBody) -> Envelope[NewTokenView]:
    """An API token that may do what you may, now and later, and no more than `permissions`."""
    token, secret = await access.tokens.create(
        caller, name=data.name, permissions=data.permissions, ttl_seconds=data.ttl_seconds, own=True
    )
    return ok(NewTokenView(**token_view(token), token=secret))


async def list_own_tokens(access: AccessRoom, caller: Caller) -> Envelope[list[TokenView]]:
    """Your API tokens, without their secrets."""
    found = await access.tokens.list(caller, own=True) if caller.user else []
    return ok([TokenView(**token_view(token)) for token in found])


async def revoke_own_token(access: AccessRoom, caller: Caller, token: str) -> Envelope[GoneView]:
    """Takes effect at once, also for the sessions it opened."""
    await access.tokens.revoke(caller, token, own=True)
    return ok(GoneView(id=token))


def _fields(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "display_name": user.display_name,
        "email": user.email,
        "source": user.source.value,
        "groups": sorted(user.groups),
        "disabled": user.disabled,
        "must_change": user.must_change,
        "invited": user.invite_hash is not None,
        "created_at": iso(user.created_at),
        "last_login_at": iso(user.last_login_at),
        "resource_version": user.resource_version,
    }


def _view(user: User) -> UserView:
    return UserView(**_fields(user))


def _new_view(user: User, invite: str | None) -> NewUserView:
    return NewUserView(**_fields(user), invite=invite, invite_expires_at=iso(user.invite_expires_at))


def _session(session: Session, caller: Caller) -> OneSessionView:
    return OneSessionView(
        id=session.id,
        name=session.name,
        user=session.user or None,
        method=session.method,
        address=session.address,
        created_at=iso(session.created_at),
        refreshed_at=iso(session.rotated_at),
        expires_at=iso(session.expires_at),
        current=session.id == caller.credential,
    )


def _row(method: str, path: str, permission: str, handler: Any, summary: str, **more: Any) -> Route:
    return Route(method=method, path=path, permission=permission, handler=handler, summary=summary, tags=TAGS, **more)


ROUTES: Final[tuple[Route, ...]] = (
    _row("POST", "/users", "user.write", create_user, "Make a user", status=201),
    _row("GET", "/users", "user.read", list_users, "List users"),
    _row("GET", "/users/{user}", "user.read", show_user, "Show a user"),
    _row("PATCH", "/users/{user}", "user.write", change_user, "Change a user"),
    _row("DELETE", "/users/{user}", "user.write", delete_user, "Delete a user"),
    _row("POST", "/users/{user}/password", "user.write", reset_password, "Set somebody's password"),
    _row("POST", "/users/{user}/invite", "user.write", invite_user, "Invite a user to set a password", status=201),
    _row("GET", "/sessions", "user.read", list_sessions, "List everybody's sessions", audit=True),
    _row("DELETE", "/sessions/{session}", "user.write", end_session, "End a session"),
    _row("POST", "/me/password", "", change_own_password, "Change your password"),
    _row("GET", "/me/sessions", "", list_own_sessions, "List your sessions"),
    _row("DELETE", "/me/sessions/{session}", "", end_own_session, "End one of your sessions"),
    _row("POST", "/me/api-tokens", "", create_own_token, "Make an API token of your own", status=201),
    _row("GET", "/me/api-tokens", "", list_own_tokens, "List your API tokens"),
    _row("DELETE", "/me/api-tokens/{token}", "", revoke_own_token, "Revoke one of your API tokens"),
)

"""Roles and grants: who may do what, on which nodes; and the question whether somebody may."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar.connection import Request

from corral.domain.access import EVERYWHERE
from corral.domain.errors import Invalid
from corral.runtime.clock import iso
from corral.server.application.access.can_i import Verdict
from corral.server.application.access.role_room import RoleRoom
from corral.server.application.ports.access import Caller
from corral.server.application.ports.roles import Role, RoleGrant, SubjectKind
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.route import Route

TAGS: Final = ("roles",)
_Count = Annotated[int, msgspec.Meta(ge=1)]


class RoleBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """An own role. `max_nodes`: at most so many nodes in one submission."""

    name: str
    permissions: list[str]
    description: str = ""
    max_nodes: _Count | None = None


class RolePatch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays; `max_nodes` null takes the cap away."""

    permissions: list[str] | None = None
    description: str | None = None
    max_nodes: _Count | msgspec.UnsetType | None = msgspec.UNSET


class RoleView(msgspec.Struct, kw_only=True):
    """`ready`: part of the product; it cannot be changed or deleted."""

    name: str
    permissions: list[str]
    description: str
    max_nodes: int | None
    ready: bool
    created_at: str | None
    created_by: str
    resource_version: int


class GrantBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`subject` is a user's name, or with `subject_kind` group the name of a group at the identity provider."""

    role: str
    subject: str
    subject_kind: SubjectKind = SubjectKind.USER
    selector: str = EVERYWHERE


class GrantView(msgspec.Struct, kw_only=True):
    id: str
    role: str
    subject: str
    subject_kind: str
    selector: str
    created_at: str | None
    created_by: str


class DecidingView(msgspec.Struct, kw_only=True):
    """A grant that counts. `nodes`: on how many of those asked about."""

    grant: str
    role: str
    selector: str
    nodes: int


class CanIView(msgspec.Struct, kw_only=True):
    """`verdict`: yes, some (of the nodes), no. `outside`: the nodes it is no on. With `permissions=a,b` only `permissions` is
    filled, with `list` only `held`: permission → the selectors it holds on.
    """

    name: str
    permission: str = ""
    verdict: str = ""
    nodes: int = 0
    outside: list[str] = []
    grants: list[DecidingView] = []
    why: str = ""
    permissions: dict[str, bool] = {}
    held: dict[str, list[str]] = {}


# ── roles ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def list_roles(roles: RoleRoom, caller: Caller) -> Envelope[list[RoleView]]:
    """The ready roles, then own ones."""
    return ok([_role(role) for role in await roles.roles.list(caller)])


async def get_role(roles: RoleRoom, caller: Caller, role: str) -> Envelope[RoleView]:
    return ok(_role(await roles.roles.get(caller, role)))


async def create_role(roles: RoleRoom, caller: Caller, data: RoleBody) -> Envelope[RoleView]:
    """An own role; nobody has it until it is granted."""
    made = await roles.roles.create(
        caller,
        name=data.name,
        permissions=data.permissions,
        description=data.description,
        max_nodes=data.max_nodes,
    )
    return ok(_role(made))


async def change_role(
    roles: RoleRoom, caller: Caller, role: str, data: RolePatch, request: Request[Any, Any, Any]
) -> Envelope[RoleView]:
    """Counts at once for everybody who has it. `If-Match: <resource_version>` refuses when it changed meanwhile (409)."""
    changed = await roles.roles.change(
        caller,
        role,
        permissions=data.permissions,
        description=data.description,
        max_nodes=data.max_nodes if isinstance(data.max_nodes, int) else None,
        uncap=data.max_nodes is None,
        if_match=_if_match(request.headers.get("if-match")),
    )
    return ok(_role(changed))


async def delete_role(roles: RoleRoom, caller: Caller, role: str, request: Request[Any, Any, Any]) -> Envelope[None]:
    """409 naming who has it, while somebody does."""
    await roles.roles.delete(caller, role, if_match=_if_match(request.headers.get("if-match")))
    return ok(None)


# ── grants ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def list_grants(
    roles: RoleRoom, caller: Caller, user: str | None = None, role: str | None = None
) -> Envelope[list[GrantView]]:
    """Oldest first; of a user also what comes through groups."""
    return ok([_grant(grant) for grant in await roles.grants.list(caller, user=user, role=role)])


async def create_grant(roles: RoleRoom, caller: Caller, data: GrantBody) -> Envelope[GrantView]:
    """Give a role on the nodes of a selector. The same grant again is the first one."""
    granted = await roles.grants.grant(
        caller, role=data.role, subject_kind=data.subject_kind, subject=data.subject, selector=data.selector
    )
    return ok(_grant(granted))


async def delete_grant(roles: RoleRoom, caller: Caller, grant: str) -> Envelope[GrantView]:
    """Take it back. 409 when nobody would be left who is admin everywhere."""
    return ok(_grant(await roles.grants.revoke(caller, grant)))


# ── may I ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def can_i(
    roles: RoleRoom,
    caller: Caller,
    permission: str | None = None,
    permissions: str | None = None,
    selector: str | None = None,
    user: str | None = None,
) -> Envelope[CanIView]:
    """May I (or `user`) do this on these nodes, and by which grant; `permissions=a,b` asks for several at once, without nodes;
    neither: everything that is held, and where.
    """
    if permission is not None and permissions is not None:
        raise Invalid("cannot answer both: give permission or permissions", element="permissions")
    if permissions is not None:
        words = [word.strip() for word in permissions.split(",") if word.strip()]
        return ok(CanIView(name=caller.name, permissions=dict(await roles.can_i.booleans(caller, words))))
    if permission is not None:
        return ok(_verdict(await roles.can_i.ask(caller, permission, selector, user=user)))
    held = await roles.can_i.held(caller, user=user)
    return ok(CanIView(name=user or caller.name, held={word: list(where) for word, where in held.items()}))


def _role(role: Role) -> RoleView:
    return RoleView(
        name=role.name,
        permissions=sorted(role.permissions),
        description=role.description,
        max_nodes=role.max_nodes,
        ready=role.ready,
        created_at=iso(role.created_at),
        created_by=role.created_by,
        resource_version=role.resource_version,
    )


def _grant(grant: RoleGrant) -> GrantView:
    return GrantView(
        id=grant.id,
        role=grant.role,
        subject=grant.subject,
        subject_kind=grant.subject_kind.value,
        selector=grant.selector,
        created_at=iso(grant.created_at),
        created_by=grant.created_by,
    )


def _verdict(found: Verdict) -> CanIView:
    return CanIView(
        name=found.name,
        permission=found.permission,
        verdict=found.verdict,
        nodes=found.nodes,
        outside=list(found.outside),
        grants=[
            DecidingView(grant=one.grant.id, role=one.grant.role, selector=one.grant.selector, nodes=one.nodes)
            for one in found.by
        ],
        why=found.why,
    )


def _if_match(header: str | None) -> int | None:
    if header is None or header.strip() == "*":
        return None
    text = header.strip().removeprefix("W/").strip('"')
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid(
            f"cannot use {header[:40]!r} as If-Match: expected the role's resource_version",
            element="If-Match",
            hint="read the role again and send its resource_version",
        )
    return int(text)


def _row(method: str, path: str, permission: str, handler: Any, summary: str, **more: Any) -> Route:
    return Route(method=method, path=path, permission=permission, handler=handler, summary=summary, tags=TAGS, **more)


ROUTES: Final[tuple[Route, ...]] = (
    _row("GET", "/roles", "role.read", list_roles, "List roles"),
    _row("POST", "/roles", "role.write", create_role, "Make a role", status=201),
    _row("GET", "/roles/{role}", "role.read", get_role, "Show a role"),
    _row("PATCH", "/roles/{role}", "role.write", change_role, "Change a role"),
    _row("DELETE", "/roles/{role}", "role.write", delete_role, "Delete a role"),
    _row("GET", "/grants", "role.read", list_grants, "List grants"),
    _row("POST", "/grants", "role.write", create_grant, "Grant a role", status=201),
    _row("DELETE", "/grants/{grant}", "role.write", delete_grant, "Revoke a grant"),
    _row("GET", "/can-i", "", can_i, "May I do this, and where"),
)

"""Users: make, list, show, change, invite, set passwords, delete. Whoever may do this gives nobody, and takes over nobody with,
permissions he does not hold himself.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from corral.domain.access import EVERYWHERE
from corral.domain.errors import Conflict, Invalid, NotFound
from corral.domain.ids import OBJECT_ID, new_id
from corral.runtime.clock import Clock, now_ms
from corral.server.application.access.grant_book import GrantBook, grants_of
from corral.server.application.access.grants import Grants
from corral.server.application.access.holding import check_holds
from corral.server.application.access.login import Guard, Login, invite_digest
from corral.server.application.access.names import check_text, check_user_name
from corral.server.application.access.own import require_login
from corral.server.application.access.password import check_password, check_size
from corral.server.application.access.ready_roles import ADMIN
from corral.server.application.access.sessions import Issued, Sessions
from corral.server.application.ports.access import Caller, Session
from corral.server.application.ports.people import User, UserSource
from corral.server.application.ports.roles import SubjectKind

INVITE_SECONDS: Final = 3 * 86400.0
_CODE_BYTES: Final = 32
_GROUPS_MAX: Final = 16


@dataclass(frozen=True, kw_only=True)
class Order:
    """Who is to be made. Without a password there is an invitation. `roles` hold on every node."""

    name: str
    display_name: str = ""
    email: str = ""
    password: str | None = None
    roles: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Changes:
    """None = as it is."""

    display_name: str | None = None
    email: str | None = None
    disabled: bool | None = None


class People:
    """The use cases behind /users, and behind /me where a password is concerned."""

    def __init__(
        self, *, guard: Guard, login: Login, sessions: Sessions, grants: Grants, book: GrantBook, clock: Clock
    ) -> None:
        self._guard = guard
        self._login = login
        self._sessions = sessions
        self._grants = grants
        self._book = book
        self._clock = clock

    async def create(self, caller: Caller, order: Order) -> tuple[User, str | None]:
        """The user, and the code of the invitation when there is no password. The very first one is an admin unless roles are named."""
        name = check_user_name(order.name)
        made = User(
            id=new_id("U", now_ms(self._clock), secrets.token_bytes(6)),
            name=name,
            display_name=check_text(order.display_name, element="display_name"),
            email=check_text(order.email, element="email"),
            created_at=self._clock.now(),
        )
        if len(order.roles) > _GROUPS_MAX:
            raise Invalid(f"cannot give more than {_GROUPS_MAX} roles at once", element="roles")
        code = None
        if order.password is not None:
            check_password(order.password, name=name)
            made = replace(made, password_hash=await self._guard.hasher.hash(order.password), must_change=True)
        else:
            made, code = self._invited(made)
        roles = order.roles or (() if await self._guard.users.list(limit=1) else (ADMIN,))
        await self._guard.users.add(made)
        try:
            for role in roles:
                await self._grants.grant(
                    caller, role=role, subject_kind=SubjectKind.USER, subject=name, selector=EVERYWHERE
                )
        except BaseException:
            # Half of a user is none: what was granted goes with it.
            await self._remove(made, keep="")
            raise
        return made, code

    async def list(self, caller: Caller, *, limit: int, after: str | None) -> Sequence[User]:
        return await self._guard.users.list(limit=limit, after=after)

    async def show(self, caller: Caller, user: str) -> User:
        """By name or id; raises NotFound."""
        return await self.find(user)

    async def change(self, caller: Caller, user: str, changes: Changes, *, if_match: int | None) -> User:
        """Disabling ends all access at once. Raises Conflict for the last admin, or when `if_match` is not its version."""
        found = await self.find(user)
        if changes.disabled is not None:
            await self._check_over(caller, found, "disable" if changes.disabled else "enable")

        def apply(have: User) -> User:
            if if_match is not None and have.resource_version != if_match:
                raise Conflict(
                    f"cannot change user {have.name!r}: it is at version {have.resource_version}, not {if_match}",
                    element="resource_version",
                    hint=f"look again: corral user show {have.name}",
                )
            turned = changes.disabled is not None and changes.disabled != have.disabled
            return replace(
                have,
                display_name=have.display_name
                if changes.display_name is None
                else check_text(changes.display_name, element="display_name"),
                email=have.email if changes.email is None else check_text(changes.email, element="email"),
                disabled=have.disabled if changes.disabled is None else changes.disabled,
                version=have.version + turned,
            )

        return await self._changed(found, apply, keep=ADMIN)

    async def delete(self, caller: Caller, user: str) -> User:
        """With grants, sessions and API tokens. Raises Conflict for the last admin."""
        found = await self.find(user)
        await self._check_over(caller, found, "delete")
        return await self._remove(found, keep=ADMIN)

    async def invite(self, caller: Caller, user: str) -> tuple[User, str]:
        """The code with which a user sets a password; the one there was goes, and so does an earlier invitation."""
        found = await self.find(user)
        await self._check_over(caller, found, "invite")
        _check_local(found)
        invited, code = self._invited(found)
        changed = await self._changed(
            found,
            lambda have: replace(
                have,
                invite_hash=invited.invite_hash,
                invite_expires_at=invited.invite_expires_at,
                password_hash=None,
                version=have.version + 1,
            ),
        )
        return changed, code

    async def reset_password(self, caller: Caller, user: str, password: str) -> User:
        """Somebody else's: its owner can do nothing with it but set another."""
        found = await self.find(user)
        await self._check_over(caller, found, "set the password of")
        _check_local(found)
        check_password(password, name=found.name)
        return await self._with_password(found, password, must_change=True)

    async def own_password(self, caller: Caller, old: str, new: str) -> Issued:
        """All sessions end, this one too: the answer is a new one. Guessing at `old` counts as guessing at a login."""
        require_login(caller, "change a password")
        check_size(old, element="old")
        found = await self.find(caller.user)
        _check_local(found)
        check_password(new, name=found.name, element="new")
        if old == new:
            raise Invalid("cannot use this password: it is the old one", element="new")
        await self._login.prove(found.name, old, address=caller.address)
        changed = await self._with_password(found, new, must_change=False)
        return await self._login.begin(changed, method="password", address=caller.address)

    async def sessions(self, caller: Caller, *, user: str | None, limit: int) -> Sequence[Session]:
        """Of one user (by name or id), or everybody's; newest first."""
        return await self._sessions.list(user=None if user is None else (await self.find(user)).id, limit=limit)

    async def own_sessions(self, caller: Caller, *, limit: int) -> Sequence[Session]:
        """Of the user behind the caller; a caller without one has no other than the one at hand."""
        if caller.user:
            return await self._sessions.list(user=caller.user, limit=limit)
        found = await self._sessions.get(caller.credential)
        return [] if found is None else [found]

    async def end_session(self, caller: Caller, session: str, *, own: bool) -> Session:
        """Raises NotFound when it is over, or with `own` not the caller's."""
        if own and session != caller.credential:
            require_login(caller, "end another session")
        found = await self._sessions.get(session) if OBJECT_ID.match(session) else None
        mine = found is not None and (found.user == caller.user if caller.user else found.id == caller.credential)
        if found is None or (own and not mine):
            raise NotFound(
                f"cannot end session {session[:32]!r}: there is none", element="session", hint="corral user sessions"
            )
        await self._sessions.end(found.id)
        return found

    async def find(self, user: str) -> User:
        """By id or name; raises NotFound."""
        users = self._guard.users
        found = (await users.get(user) if OBJECT_ID.match(user) else None) or await users.by_name(user)
        if found is None:
            raise NotFound(f"cannot find user {user[:64]!r}", element="user", hint="corral user list")
        return found

    async def _check_over(self, caller: Caller, user: User, doing: str) -> None:
        """Raises Denied: whoever can take a user over, or keep him out, must hold what that user holds."""
        if caller.user == user.id:
            return
        book = await self._book.book()
        # Also what a disabled user would hold again.
        held = [
            grant
            for grant in book.grants
            if (grant.subject_kind is SubjectKind.USER and grant.subject == user.name)
            or (grant.subject_kind is SubjectKind.GROUP and grant.subject in user.groups)
        ]
        for grant in grants_of(book, held):
            check_holds(caller, grant, f"{doing} user {user.name!r}")

    async def _with_password(self, user: User, password: str, *, must_change: bool) -> User:
        made = await self._guard.hasher.hash(password)
        return await self._changed(
            user,
            lambda have: replace(
                have,
                password_hash=made,
                must_change=must_change,
                invite_hash=None,
                invite_expires_at=None,
                version=have.version + 1,
            ),
        )

    async def _changed(self, user: User, apply: Callable[[User], User], *, keep: str | None = None) -> User:
        changed = await self._guard.users.change(user.id, apply, keep=keep)
        self._guard.standing.forget(changed)
        self._book.forget()  # it leaves out who may not log in
        return changed

    async def _remove(self, user: User, *, keep: str) -> User:
        gone = await self._guard.users.remove(user.id, keep=keep)
        self._guard.standing.forget(gone)
        self._book.forget()
        return gone

    def _invited(self, user: User) -> tuple[User, str]:
        code = secrets.token_urlsafe(_CODE_BYTES)
        expires: datetime = self._clock.now() + timedelta(seconds=INVITE_SECONDS)
        return replace(user, invite_hash=invite_digest(code), invite_expires_at=expires), code


def _check_local(user: User) -> None:
    if user.source is not UserSource.LOCAL:
        raise Invalid(
            f"cannot set a password for {user.name!r}: the identity provider knows who that is",
            element="user",
            hint="change it there",
        )

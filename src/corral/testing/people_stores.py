"""Users and failed logins in memory: the same ports, the same contract tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from corral.domain.access import EVERYWHERE
from corral.server.application.ports.people import Attempts, User
from corral.server.application.ports.roles import RoleStore, SubjectKind
from corral.server.infrastructure.sql.users import last_one, no_user, taken
from corral.testing.job_stores import MemoryDatabase


class MemoryUserStore:
    """UserStore in memory. `roles` says who is in charge; sessions and tokens are those of `db`."""

    def __init__(self, db: MemoryDatabase, roles: RoleStore) -> None:
        self._db = db
        self._roles = roles
        self._users: dict[str, User] = {}

    async def add(self, user: User) -> None:
        for have in self._users.values():
            if have.name == user.name or (user.subject is not None and have.subject == user.subject):
                raise taken(user)
        self._users[user.id] = user

    async def get(self, user: str) -> User | None:
        return self._users.get(user)

    async def by_name(self, name: str) -> User | None:
        return next((user for user in self._users.values() if user.name == name), None)

    async def by_subject(self, subject: str) -> User | None:
        return next((user for user in self._users.values() if user.subject == subject), None)

    async def by_invite(self, digest: bytes) -> User | None:
        return next((user for user in self._users.values() if user.invite_hash == digest), None)

    async def list(self, *, limit: int, after: str | None = None) -> Sequence[User]:
        named = sorted(self._users.values(), key=lambda user: user.name)
        return [user for user in named if user.name > (after or "")][: max(1, limit)]

    async def change(self, user: str, apply: Callable[[User], User], *, keep: str | None = None) -> User:
        have = self._found(user)
        wanted = replace(apply(have), resource_version=have.resource_version + 1)
        if keep is not None and wanted.disabled and not have.disabled:
            await self._check_kept(have.name, keep)
        if wanted.version != have.version:
            self._end_sessions(user)
        self._users[user] = wanted
        return wanted

    async def remove(self, user: str, *, keep: str) -> User:
        have = self._found(user)
        if not have.disabled:
            await self._check_kept(have.name, keep)
        for grant in (await self._roles.book()).grants:
            if grant.subject_kind is SubjectKind.USER and grant.subject == have.name:
                await self._roles.drop_grant(grant.id, keep="")
        self._end_sessions(user)
        for id_, token in self._db.api_tokens.items():
            if token.owner == user:
                self._db.api_tokens[id_] = replace(token, revoked=True)
        return self._users.pop(user)

    def _found(self, user: str) -> User:
        if user not in self._users:
            raise no_user(user)
        return self._users[user]

    def _end_sessions(self, user: str) -> None:
        for id_, session in self._db.sessions.items():
            if session.user == user:
                self._db.sessions[id_] = replace(session, revoked=True)

    async def _check_kept(self, name: str, role: str) -> None:
        holders = {
            grant.subject
            for grant in (await self._roles.book()).grants
            if (grant.role, grant.selector, grant.subject_kind) == (role, EVERYWHERE, SubjectKind.USER)
        }
        enabled = {user.name for user in self._users.values() if user.name in holders and not user.disabled}
        if name in holders and enabled <= {name}:
            raise last_one(name, role)


class MemoryAttemptStore:
    """AttemptStore in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, Attempts] = {}

    async def update(
        self, keys: Sequence[str], change: Callable[[Mapping[str, Attempts]], Mapping[str, Attempts]]
    ) -> None:
        self.rows |= change({key: self.rows.get(key, Attempts()) for key in keys})

    async def drop_before(self, moment: datetime) -> int:
        before = moment.timestamp()
        old = [key for key, row in self.rows.items() if row.last_at < before and row.until < before]
        for key in old:
            del self.rows[key]
        return len(old)

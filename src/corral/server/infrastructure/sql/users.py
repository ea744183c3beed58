"""Users (ports/people.py UserStore). A change locks its row first; what could leave nobody in charge locks the grants that matter."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from corral.domain.access import EVERYWHERE
from corral.domain.errors import Conflict, NotFound
from corral.server.application.ports.people import User, UserSource
from corral.server.infrastructure.sql.database import Database, Tx
from corral.server.infrastructure.sql.statements import Statement, as_set
from corral.server.infrastructure.sql.values import at, clean, dumps_list, moment, seconds, stamp

_NAMES: Final = (
    "id",
    "name",
    "display_name",
    "email",
    "password_hash",
    "must_change",
    "source",
    "subject",
    '"groups"',
    "disabled",
    "version",
    "invite_hash",
    "invite_expires_at",
    "created_at",
    "last_login_at",
    "resource_version",
)
_COLUMNS: Final = ", ".join(_NAMES)
_ADD: Final = Statement(
    f"insert into users ({_COLUMNS}) values ({', '.join(':' + name.strip(chr(34)) for name in _NAMES)}) on conflict do nothing"
)
_BY_ID: Final = Statement(f"select {_COLUMNS} from users where id = :key")
_BY_NAME: Final = Statement(f"select {_COLUMNS} from users where name = :key")
_BY_SUBJECT: Final = Statement(f"select {_COLUMNS} from users where subject = :key")
_BY_INVITE: Final = Statement(f"select {_COLUMNS} from users where invite_hash = :key")
_LIST: Final = Statement(f"select {_COLUMNS} from users where name > :after order by name limit :limit")
_LOCK: Final = Statement(f"select {_COLUMNS} from users t where t.id = :id $lock")
_STORE: Final = Statement(
    """
    update users set display_name = :display_name, email = :email, password_hash = :password_hash,
        must_change = :must_change, subject = :subject, "groups" = :groups, disabled = :disabled, version = :version,
        invite_hash = :invite_hash, invite_expires_at = :invite_expires_at, last_login_at = :last_login_at,
        resource_version = :resource_version
    where id = :id
    """
)
_LOCK_KEPT: Final = Statement(
    """
    select t.subject from role_grants t
    where t.role = :role and t.selector = :selector and t.subject_kind = 'user'
    order by t.id $lock
    """
)
_ENABLED: Final = Statement("select name from users where not disabled and name in $in(names)", out=("name",))
_DROP: Final = Statement("delete from users where id = :id")
_DROP_GRANTS: Final = Statement("delete from role_grants where subject_kind = 'user' and subject = :name")
_END_SESSIONS: Final = Statement('update sessions set revoked = true where "user" = :id')
_REVOKE_TOKENS: Final = Statement("update api_tokens set revoked = true where owner = :id")


def taken(user: User) -> Conflict:
    return Conflict(
        f"cannot add user {user.name!r}: there is one of that name",
        element="name",
        hint=f"corral user show {user.name}",
    )


def no_user(user: str) -> NotFound:
    return NotFound(f"cannot find user {user!r}", element="user", hint="corral user list")


def last_one(name: str, role: str) -> Conflict:
    return Conflict(
        f"cannot take {name!r} away: nobody else has role {role!r} on every node",
        element="user",
        hint=f"first: corral role grant {role} --to SOMEBODY",
    )


class SqlUserStore:
    """UserStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, user: User) -> None:
        async with self._db.write() as tx:
            added = await tx.run(_ADD, **_values(user))
        if not added:
            raise taken(user)

    async def get(self, user: str) -> User | None:
        return await self._one(_BY_ID, clean(user))

    async def by_name(self, name: str) -> User | None:
        return await self._one(_BY_NAME, clean(name))

    async def by_subject(self, subject: str) -> User | None:
        return await self._one(_BY_SUBJECT, clean(subject))

    async def by_invite(self, digest: bytes) -> User | None:
        return await self._one(_BY_INVITE, digest)

    async def list(self, *, limit: int, after: str | None = None) -> Sequence[User]:
        async with self._db.read() as tx:
            return [_to_user(row) for row in await tx.rows(_LIST, limit=max(1, limit), after=clean(after or ""))]

    async def change(self, user: str, apply: Callable[[User], User], *, keep: str | None = None) -> User:
        async with self._db.write() as tx:
            have = await self._locked(tx, user)
            wanted = replace(apply(have), resource_version=have.resource_version + 1)
            if keep is not None and wanted.disabled and not have.disabled:
                await _check_kept(tx, have.name, keep)
            if wanted.version != have.version:
                await tx.run(_END_SESSIONS, id=have.id)
            await tx.run(_STORE, **{name: value for name, value in _values(wanted).items() if name in _CHANGEABLE})
        return wanted

    async def remove(self, user: str, *, keep: str) -> User:
        async with self._db.write() as tx:
            have = await self._locked(tx, user)
            if not have.disabled:
                await _check_kept(tx, have.name, keep)
            await tx.run(_DROP_GRANTS, name=have.name)
            await tx.run(_END_SESSIONS, id=have.id)
            await tx.run(_REVOKE_TOKENS, id=have.id)
            await tx.run(_DROP, id=have.id)
        return have

    async def _locked(self, tx: Tx, user: str) -> User:
        row = await tx.row(_LOCK, id=clean(user))
        if row is None:
            raise no_user(user)
        return _to_user(row)

    async def _one(self, statement: Statement, key: str | bytes) -> User | None:
        async with self._db.read() as tx:
            row = await tx.row(statement, key=key)
        return None if row is None else _to_user(row)


_CHANGEABLE: Final = frozenset(
    {
        "id",
        "display_name",
        "email",
        "password_hash",
        "must_change",
        "subject",
        "groups",
        "disabled",
        "version",
        "invite_hash",
        "invite_expires_at",
        "last_login_at",
        "resource_version",
    }
)


async def _check_kept(tx: Tx, name: str, role: str) -> None:
    """Raises Conflict when `name` is the last enabled user with that role everywhere."""
    holders = {str(row[0]) for row in await tx.rows(_LOCK_KEPT, role=role, selector=EVERYWHERE)}
    if name in holders:
        enabled = {str(row[0]) for row in await tx.rows(_ENABLED, names=as_set(holders))}
        if enabled <= {name}:
            raise last_one(name, role)


def _values(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": clean(user.name),
        "display_name": clean(user.display_name),
        "email": clean(user.email),
        "password_hash": user.password_hash,
        "must_change": user.must_change,
        "source": user.source.value,
        "subject": None if user.subject is None else clean(user.subject),
        "groups": dumps_list(sorted(user.groups)),
        "disabled": user.disabled,
        "version": user.version,
        "invite_hash": user.invite_hash,
        "invite_expires_at": stamp(user.invite_expires_at),
        "created_at": seconds(user.created_at),
        "last_login_at": stamp(user.last_login_at),
        "resource_version": user.resource_version,
    }


def _to_user(row: Sequence[Any]) -> User:
    (
        id_,
        name,
        display_name,
        email,
        password_hash,
        must_change,
        source,
        subject,
        groups,
        disabled,
        version,
        invite_hash,
        invite_expires_at,
        created_at,
        last_login_at,
        resource_version,
    ) = row
    return User(
        id=id_,
        name=name,
        display_name=display_name,
        email=email,
        password_hash=password_hash,
        must_change=bool(must_change),
        source=UserSource(source),
        subject=subject,
        groups=frozenset(json.loads(groups)),
        disabled=bool(disabled),
        version=version,
        invite_hash=None if invite_hash is None else bytes(invite_hash),
        invite_expires_at=moment(invite_expires_at),
        created_at=at(created_at),
        last_login_at=moment(last_login_at),
        resource_version=resource_version,
    )

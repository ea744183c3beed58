"""API tokens: only the SHA-256 of each is stored (ports/access.py ApiTokenStore)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from corral.domain.errors import Conflict, NotFound
from corral.server.application.ports.access import ApiToken
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement
from corral.server.infrastructure.sql.values import at, clean, dumps_list, moment, seconds, stamp

_COLUMNS: Final = "id, name, hash, permissions, created_at, expires_at, last_used_at, revoked, owner"
_ADD: Final = Statement(
    f"""
    insert into api_tokens ({_COLUMNS})
    values (:id, :name, :hash, :permissions, :created_at, :expires_at, :last_used_at, :revoked, :owner)
    on conflict do nothing
    """
)
_BY_HASH: Final = Statement(f"select {_COLUMNS} from api_tokens where hash = :hash")
_LIST: Final = Statement(f"select {_COLUMNS} from api_tokens order by created_at desc, id")
_REVOKE: Final = Statement("update api_tokens set revoked = true where id = :id")
_END_SESSIONS: Final = Statement("update sessions set revoked = true where source = :id")
_TOUCH: Final = Statement(
    """
    update api_tokens set last_used_at = v.at from $rows
    where api_tokens.id = v.id and (last_used_at is null or last_used_at < v.at)
    """,
    {"id": "text", "at": "double precision"},
)


class SqlApiTokenStore:
    """ApiTokenStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, token: ApiToken) -> None:
        async with self._db.write() as tx:
            added = await tx.run(
                _ADD,
                id=token.id,
                name=clean(token.name)[:128],
                hash=token.hash,
                permissions=dumps_list(sorted(token.permissions)),
                created_at=seconds(token.created_at),
                expires_at=stamp(token.expires_at),
                last_used_at=stamp(token.last_used_at),
                revoked=token.revoked,
                owner=token.owner,
            )
        if not added:
            raise Conflict(f"cannot add API token {token.id!r}: it exists already", element="id")

    async def by_hash(self, digest: bytes) -> ApiToken | None:
        async with self._db.read() as tx:
            row = await tx.row(_BY_HASH, hash=digest)
        return None if row is None else _to_token(row)

    async def list(self) -> Sequence[ApiToken]:
        async with self._db.read() as tx:
            return [_to_token(row) for row in await tx.rows(_LIST)]

    async def revoke(self, token: str) -> None:
        async with self._db.write() as tx:
            if not await tx.run(_REVOKE, id=clean(token)):
                raise NotFound(f"cannot find API token {token!r}", element="id", hint="look at GET /api/v1/api-tokens")
            await tx.run(_END_SESSIONS, id=clean(token))

    async def touch(self, used: Mapping[str, datetime]) -> None:
        """When each was last used; the caller collects, so that a request costs no write."""
        if used:
            async with self._db.write() as tx:
                await tx.run(_TOUCH, [(token, seconds(when)) for token, when in sorted(used.items())])


def _to_token(row: Sequence[Any]) -> ApiToken:
    id_, name, digest, permissions, created_at, expires_at, last_used_at, revoked, owner = row
    return ApiToken(
        id=id_,
        name=name,
        hash=bytes(digest),
        permissions=frozenset(json.loads(permissions)),
        created_at=at(created_at),
        expires_at=moment(expires_at),
        last_used_at=moment(last_used_at),
        revoked=bool(revoked),
        owner=owner,
    )

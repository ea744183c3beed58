"""Join tokens and the moment a node comes into being (ports/nodes.py TokenStore): one token use, one node, one transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from corral.domain.errors import Conflict, NotFound, TokenRefused
from corral.domain.node import Node
from corral.server.application.ports.nodes import JoinToken
from corral.server.infrastructure.sql.database import Database, Tx
from corral.server.infrastructure.sql.nodes import ADD, NEW_COLUMNS, SELECT, node_values, taken, to_node
from corral.server.infrastructure.sql.statements import Statement
from corral.server.infrastructure.sql.values import at, clean, dumps, dumps_list, loads, seconds

_COLUMNS: Final = (
    'id, proof_key, uses, uses_left, expires_at, created_at, created_by, labels, "groups", node_id, revoked'
)
_ADD: Final = Statement(
    f"""
    insert into join_tokens ({_COLUMNS})
    values (:id, :proof_key, :uses, :uses_left, :expires_at, :created_at, :created_by, :labels, :groups, :node_id,
            :revoked)
    """
)
_GET: Final = Statement(f"select {_COLUMNS} from join_tokens where id = :id")
_LIST: Final = Statement(f"select {_COLUMNS} from join_tokens order by created_at desc, id")
_REVOKE: Final = Statement("update join_tokens set revoked = true where id = :id")
_SPEND: Final = Statement(
    """
    update join_tokens set uses_left = uses_left - 1
    where id = :id and uses_left > 0 and expires_at > :now and not revoked and (node_id is null or node_id = :node)
    """
)
_GIVE_BACK: Final = Statement("update join_tokens set uses_left = uses_left + 1 where id = :id")
_REJOIN: Final = Statement(
    """
    update nodes set labels = v.labels, "groups" = v.new_groups, enrolled_at = v.enrolled_at,
        daemon_key = v.daemon_key, worker_key = v.worker_key, revoked = false, revoked_reason = '',
        resource_version = resource_version + 1
    from $rows where nodes.id = v.id
    """,
    NEW_COLUMNS,
)
_NODE: Final = Statement(f"select {SELECT} from nodes t where t.id = :id $lock")


def refusal(token: JoinToken | None, id_: str, node: str, now: datetime) -> TokenRefused:
    """Why a token does not enrol `node`, for whoever runs the enrolment."""
    hint = "make a new one: corral token create"
    if token is None:
        return TokenRefused(f"cannot enrol with token {id_!r}: there is no such token", element="token", hint=hint)
    if token.revoked:
        why = "it was revoked"
    elif token.expires_at <= now:
        why = "it has expired"
    elif token.node_id is not None and token.node_id != node:
        why = f"it was made for node {token.node_id!r}, not {node!r}"
    else:
        why = "it is used up"
    return TokenRefused(f"cannot enrol with token {id_!r}: {why}", element="token", hint=hint)


def check_again(have: Node, node: Node) -> None:
    """Raise Conflict unless a node that is there already comes back with its own keys, unrevoked."""
    if (have.daemon_key, have.worker_key) != (node.daemon_key, node.worker_key):
        raise taken(node.id)
    if have.revoked:
        raise Conflict(
            f"cannot enrol {node.id!r}: it was revoked ({have.revoked_reason or 'no reason given'})",
            element="node_id",
            hint=f"to let it in again: corral node reset {node.id}",
        )


class SqlTokenStore:
    """TokenStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, token: JoinToken) -> None:
        async with self._db.write() as tx:
            await tx.run(
                _ADD,
                id=token.id,
                proof_key=token.proof_key,
                uses=token.uses,
                uses_left=token.uses_left,
                expires_at=seconds(token.expires_at),
                created_at=seconds(token.created_at),
                created_by=clean(token.created_by)[:128],
                labels=dumps(token.labels),
                groups=dumps_list(sorted(token.groups)),
                node_id=token.node_id,
                revoked=token.revoked,
            )

    async def get(self, token: str) -> JoinToken:
        async with self._db.read() as tx:
            found = await _token(tx, token)
        if found is None:
            raise TokenRefused(f"cannot enrol with token {token!r}: there is no such token", element="token")
        return found

    async def list(self) -> Sequence[JoinToken]:
        async with self._db.read() as tx:
            return [_to_token(row) for row in await tx.rows(_LIST)]

    async def revoke(self, token: str) -> None:
        async with self._db.write() as tx:
            if not await tx.run(_REVOKE, id=clean(token)):
                raise NotFound(f"cannot find token {token!r}", element="token", hint="corral token list")

    async def enrol(self, token: str, node: Node, *, now: datetime) -> None:
        """Racing joins are decided by the guard in the UPDATE: its row lock lets one after the other see what is left."""
        async with self._db.write() as tx:
            spent = await tx.run(_SPEND, id=clean(token), now=seconds(now), node=node.id) > 0
            known = await _token(tx, token)
            row = await tx.row(_NODE, id=node.id)
            have = None if row is None else to_node(row)
            if have is not None and have.daemon_key:
                check_again(have, node)
                if known is None or known.revoked:
                    raise refusal(known, token, node.id, now)
                if spent:
                    await tx.run(_GIVE_BACK, id=token)
                return
            if not spent:
                raise refusal(known, token, node.id, now)
            wanted = replace(node, enrolled_at=node.enrolled_at or now)
            if have is None:
                added = await tx.run(ADD, [node_values(wanted)])
            else:
                merged = replace(
                    wanted,
                    labels={**have.labels, **wanted.labels},
                    groups=have.groups | wanted.groups,
                    facts=have.facts,
                )
                added = await tx.run(_REJOIN, [node_values(merged)])
            if not added:
                raise taken(node.id)


async def _token(tx: Tx, token: str) -> JoinToken | None:
    row = await tx.row(_GET, id=clean(token))
    return None if row is None else _to_token(row)


def _to_token(row: Sequence[Any]) -> JoinToken:
    id_, proof_key, uses, uses_left, expires_at, created_at, created_by, labels, groups, node_id, revoked = row
    return JoinToken(
        id=id_,
        proof_key=bytes(proof_key),
        uses=uses,
        uses_left=uses_left,
        expires_at=at(expires_at),
        created_at=at(created_at),
        created_by=created_by,
        labels=loads(labels),
        groups=frozenset(json.loads(groups)),
        node_id=node_id,
        revoked=bool(revoked),
    )

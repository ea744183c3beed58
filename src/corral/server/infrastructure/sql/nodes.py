"""The truth about nodes (ports/nodes.py NodeStore). Whole-fleet writes (facts, presence) are one statement a batch."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from corral.domain.errors import Conflict, NotFound
from corral.domain.node import Node, Presence, Relabelling
from corral.server.infrastructure.sql import placements, presence_log
from corral.server.infrastructure.sql.database import Database, Tx
from corral.server.infrastructure.sql.statements import Statement, as_set
from corral.server.infrastructure.sql.values import clean, dumps, dumps_list, loads, moment, seconds

COLUMNS: Final = (
    "id",
    "labels",
    '"groups"',
    "facts",
    "presence",
    "presence_since",
    "presence_reason",
    "last_seen",
    "enrolled_at",
    "daemon_key",
    "worker_key",
    "revoked",
    "revoked_reason",
    "resource_version",
)
SELECT: Final = ", ".join(f"t.{name}" for name in COLUMNS)
_ALL: Final = Statement(f"select {SELECT} from nodes t order by t.id", out=COLUMNS)
_SOME: Final = Statement(f"select {SELECT} from nodes t where t.id in $in(ids) order by t.id", out=COLUMNS)
_LOCK: Final = Statement(f"select {SELECT} from nodes t where t.id in $in(ids) order by t.id $lock", out=COLUMNS)
NEW_COLUMNS: Final = {
    "id": "text",
    "labels": "text",
    "new_groups": "text",
    "facts": "text",
    "enrolled_at": "double precision",
    "daemon_key": "text",
    "worker_key": "text",
}
"""What node_values gives, as the table `v` of a statement."""
ADD: Final = Statement(
    """
    insert into nodes (id, labels, "groups", facts, enrolled_at, daemon_key, worker_key)
    select v.id, v.labels, v.new_groups, v.facts, v.enrolled_at, v.daemon_key, v.worker_key
    from $rows where v.id is not null on conflict (id) do nothing
    """,
    NEW_COLUMNS,
)
_SET_LABELS: Final = Statement(
    """
    update nodes set labels = v.labels, "groups" = v.new_groups, resource_version = resource_version + 1
    from $rows where nodes.id = v.id
    """,
    {"id": "text", "labels": "text", "new_groups": "text"},
)
_SET_FACTS: Final = Statement(
    "update nodes set facts = v.facts from $rows where nodes.id = v.id", {"id": "text", "facts": "text"}
)
_SET_PRESENCE: Final = Statement(
    """
    update nodes set presence = v.presence, presence_since = v.since, presence_reason = v.reason,
        last_seen = case when v.presence = 'unknown' then last_seen
                         when last_seen is null or last_seen < v.since then v.since else last_seen end
    from $rows where nodes.id = v.id
    """,
    {"id": "text", "presence": "text", "since": "double precision", "reason": "text"},
)
_REMOVE: Final = Statement("delete from nodes where id = :id")
_REVOKE: Final = Statement(
    """
    update nodes set revoked = true, revoked_reason = :reason, resource_version = resource_version + 1 where id = :id
    """
)
_RESET: Final = Statement(
    """
    update nodes set daemon_key = '', worker_key = '', revoked = false, revoked_reason = '',
                     resource_version = resource_version + 1
    where id = :id
    """
)
_ADD_REVOCATIONS: Final = Statement(
    """
    insert into revocations ("key", node, at) select v.k, v.node, v.at from $rows where v.k is not null
    on conflict ("key") do update set at = excluded.at
    """,
    {"k": "text", "node": "text", "at": "double precision"},
)
_REVOCATIONS: Final = Statement('select "key", at from revocations', out=('"key"', "at"))


def to_node(row: Sequence[Any]) -> Node:
    """From a result row that holds COLUMNS in order."""
    (id_, labels, groups, facts, presence, since, reason, last_seen, enrolled_at, daemon_key, worker_key) = row[:11]
    return Node(
        id=id_,
        labels=loads(labels),
        groups=frozenset(json.loads(groups)),
        facts=loads(facts),
        presence=Presence(presence),
        presence_since=moment(since),
        presence_reason=reason,
        last_seen=moment(last_seen),
        enrolled_at=moment(enrolled_at),
        daemon_key=daemon_key,
        worker_key=worker_key,
        revoked=bool(row[11]),
        revoked_reason=row[12],
        resource_version=row[13],
    )


def node_values(node: Node) -> tuple[Any, ...]:
    """Id, labels, groups, facts, when enrolled, keys: what a new node starts with."""
    assert node.enrolled_at is not None, "a node is stored from the moment it enrols"
    return (
        node.id,
        dumps(node.labels),
        dumps_list(sorted(node.groups)),
        dumps(node.facts),
        seconds(node.enrolled_at),
        node.daemon_key,
        node.worker_key,
    )


def taken(node: str) -> Conflict:
    return Conflict(
        f"cannot enrol {node!r}: a node of that name exists with other keys",
        element="node_id",
        hint=f"if this is the same machine set up anew, run 'corral node reset {node}' first, else choose another id",
    )


def no_node(node: str) -> NotFound:
    return NotFound(f"cannot find node {node!r}", element="node", hint="corral node list")


class SqlNodeStore:
    """NodeStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def all(self) -> Sequence[Node]:
        async with self._db.read() as tx:
            return [to_node(row) for row in await tx.rows(_ALL)]

    async def get(self, node: str) -> Node:
        async with self._db.read() as tx:
            rows = await tx.rows(_SOME, ids=as_set([node]))
        if not rows:
            raise no_node(node)
        return to_node(rows[0])

    async def add_all(self, nodes: Sequence[Node]) -> None:
        """Nodes that are there with the same keys stay as they are."""
        by_id = {node.id: node for node in nodes}
        async with self._db.write() as tx:
            for have in [to_node(row) for row in await tx.rows(_LOCK, ids=as_set(by_id))]:
                said = by_id.pop(have.id)
                if (have.daemon_key, have.worker_key) != (said.daemon_key, said.worker_key):
                    raise taken(have.id)
            values = [node_values(node) for _, node in sorted(by_id.items())]
            if await tx.run(ADD, values) != len(values):
                raise Conflict(
                    "cannot add these nodes: one of them was added by somebody else meanwhile", element="node"
                )

    async def set_labels(
        self, nodes: Sequence[str], change: Relabelling, *, if_match: int | None = None
    ) -> Sequence[Node]:
        """All of them or none: NotFound names the first that is not there."""
        async with self._db.write() as tx:
            found = await _locked(tx, nodes)
            values = []
            for node in found:
                if if_match is not None and node.resource_version != if_match:
                    raise Conflict(
                        f"cannot change node {node.id!r}: it is at version {node.resource_version}, not {if_match}",
                        element="resource_version",
                        hint=f"look again: corral node show {node.id}",
                    )
                labels = dict(sorted(change.labels_of(node.labels).items()))
                values.append((node.id, dumps(labels), dumps_list(sorted(change.groups_of(node.groups)))))
            await tx.run(_SET_LABELS, values)
            return [to_node(row) for row in await tx.rows(_SOME, ids=as_set(nodes))]

    async def set_facts(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        """Nodes that are not there are passed over."""
        async with self._db.write() as tx:
            await tx.run(_SET_FACTS, [(node, dumps(said)) for node, said in sorted(facts.items())])

    async def set_presence(self, seen: Mapping[str, tuple[Presence, datetime, str]]) -> None:
        """`last_seen` follows: going offline since then means seen until then."""
        async with self._db.write() as tx:
            await tx.run(
                _SET_PRESENCE,
                [
                    (node, presence.value, seconds(since), reason)
                    for node, (presence, since, reason) in sorted(seen.items())
                ],
            )

    async def remove(self, node: str) -> None:
        """Its keys stay in `revocations` when they were revoked."""
        async with self._db.write() as tx:
            if not await tx.run(_REMOVE, id=node):
                raise no_node(node)
            for forget in (presence_log.FORGET, placements.FORGET):
                await tx.run(forget, id=node)

    async def revoke(self, node: str, *, reason: str, now: datetime) -> Node:
        async with self._db.write() as tx:
            await _revoke_keys(tx, node, now)
            await tx.run(_REVOKE, id=node, reason=clean(reason))
            return to_node((await tx.rows(_SOME, ids=as_set([node])))[0])

    async def reset(self, node: str, *, now: datetime) -> Node:
        async with self._db.write() as tx:
            await _revoke_keys(tx, node, now)
            await tx.run(_RESET, id=node)
            return to_node((await tx.rows(_SOME, ids=as_set([node])))[0])

    async def revocations(self) -> Mapping[str, int]:
        """Rounded up: a credential issued in the same second must be covered too."""
        async with self._db.read() as tx:
            return {row[0]: int(-(-row[1] // 1)) for row in await tx.rows(_REVOCATIONS)}


async def _revoke_keys(tx: Tx, node: str, now: datetime) -> None:
    """Raises NotFound."""
    found = (await _locked(tx, [node]))[0]
    keys = [key for key in (found.daemon_key, found.worker_key) if key]
    await tx.run(_ADD_REVOCATIONS, [(key, node, seconds(now)) for key in dict.fromkeys(keys)])


async def _locked(tx: Tx, nodes: Collection[str]) -> Sequence[Node]:
    found = [to_node(row) for row in await tx.rows(_LOCK, ids=as_set(nodes))]
    missing = sorted(set(nodes) - {node.id for node in found})
    if missing:
        raise no_node(missing[0])
    return found

"""Approvals and their rules in SQL. Asking and deciding happen inside the job's transaction (job_tx.py)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from corral.domain.approval import Approval, ApprovalRule, ApprovalState
from corral.domain.errors import NotFound
from corral.runtime.clock import Clock
from corral.server.application.ports.approvals import ApprovalPage
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.statements import Statement, as_set
from corral.server.infrastructure.sql.values import (
    at,
    clean,
    decode_cursor,
    dumps_list,
    encode_cursor,
    moment,
    seconds,
    stamp,
)

PAGE_MAX: Final = 1000
COLUMNS: Final = (
    "id", "job", "asked_for", "why", "spec_hash", "pinned", "nodes", "asked_by", "asked_user", "asked_at", "expires_at", "state",
    "decided_by", "decided_at", "note",
)  # fmt: skip
SELECT: Final = ", ".join(f"t.{name}" for name in COLUMNS)
_NOW: Final = f"""
    select {SELECT}, coalesce(j.awaiting, false) as awaiting, coalesce(j.expires_at, 0) as ends
    from approvals t left join jobs j on j.id = t.job
"""
_GET: Final = Statement(f"{_NOW} where t.id = :id")
_OF_JOB: Final = Statement(f"{_NOW} where t.job = :job order by t.id desc limit 1")
_LIST: Final = Statement(f"{_NOW} where t.id < :before order by t.id desc limit :limit")
_LIST_IN: Final = Statement(f"{_NOW} where t.id < :before and t.state in $in(states) order by t.id desc limit :limit")
_RULES: Final = "name, kinds, selector, min_nodes, reading, changed_at, changed_by"
_PUT_RULE: Final = Statement(
    f"""
    insert into approval_rules ({_RULES})
    values (:name, :kinds, :selector, :min_nodes, :reading, :changed_at, :changed_by)
    on conflict (name) do update set kinds = excluded.kinds, selector = excluded.selector,
        min_nodes = excluded.min_nodes, reading = excluded.reading, changed_at = excluded.changed_at,
        changed_by = excluded.changed_by
    """
)
_LIST_RULES: Final = Statement(f"select {_RULES} from approval_rules order by name")
_DELETE_RULE: Final = Statement("delete from approval_rules where name = :name")


class SqlApprovalQueries:
    """ApprovalQueries over SQLite or PostgreSQL."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def get(self, approval: str) -> Approval:
        async with self._db.read() as tx:
            row = await tx.row(_GET, id=clean(approval))
        if row is None:
            raise no_approval(approval)
        return self._as_it_is(row)

    async def of_job(self, job: str) -> Approval | None:
        async with self._db.read() as tx:
            row = await tx.row(_OF_JOB, job=clean(job))
        return None if row is None else self._as_it_is(row)

    async def list(
        self, *, states: Sequence[ApprovalState] = (), limit: int = 50, cursor: str | None = None
    ) -> ApprovalPage:
        limit = max(1, min(limit, PAGE_MAX))
        start = decode_cursor(cursor, str)
        before = "~" if start is None else start[0]
        # what its row calls pending may be over by now: it is looked at for all three
        stored = {ApprovalState.PENDING if state in _OVER_OR_PENDING else state for state in states}
        async with self._db.read() as tx:
            if stored:
                wanted = as_set(state.value for state in sorted(stored))
                rows = await tx.rows(_LIST_IN, before=before, limit=limit + 1, states=wanted)
            else:
                rows = await tx.rows(_LIST, before=before, limit=limit + 1)
        items = [self._as_it_is(row) for row in rows[:limit]]
        following = encode_cursor(items[-1].id) if len(rows) > limit else None
        return ApprovalPage(items=[item for item in items if not states or item.state in states], next=following)

    def _as_it_is(self, row: Sequence[Any]) -> Approval:
        found = to_approval(row[: len(COLUMNS)])
        awaiting, ends = row[len(COLUMNS) :]
        if found.state is not ApprovalState.PENDING or awaiting:
            return found
        over = ApprovalState.EXPIRED if ends <= self._clock.wall() else ApprovalState.WITHDRAWN
        return Approval(**{**found.__dict__, "state": over})


_OVER_OR_PENDING: Final = frozenset({ApprovalState.PENDING, ApprovalState.WITHDRAWN, ApprovalState.EXPIRED})


class SqlApprovalRules:
    """ApprovalRuleStore over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def put(self, rule: ApprovalRule) -> None:
        async with self._db.write() as tx:
            await tx.run(
                _PUT_RULE,
                name=rule.name,
                kinds=dumps_list(rule.kinds),
                selector=rule.selector,
                min_nodes=rule.min_nodes,
                reading=rule.reading,
                changed_at=stamp(rule.changed_at) or 0.0,
                changed_by=clean(rule.changed_by)[:128],
            )

    async def list(self) -> Sequence[ApprovalRule]:
        async with self._db.read() as tx:
            rows = await tx.rows(_LIST_RULES)
        return [
            ApprovalRule(
                name=row[0],
                kinds=tuple(json.loads(row[1])),
                selector=row[2],
                min_nodes=row[3],
                reading=bool(row[4]),
                changed_at=moment(row[5]),
                changed_by=row[6],
            )
            for row in rows
        ]

    async def delete(self, name: str) -> None:
        async with self._db.write() as tx:
            if not await tx.run(_DELETE_RULE, name=clean(name)):
                raise NotFound(
                    f"cannot find approval rule {name[:63]!r}", element="name", hint="corral approval rule-list"
                )


def no_approval(approval: str) -> NotFound:
    return NotFound(f"cannot find approval {approval[:40]!r}", element="approval", hint="corral approval list")


def to_approval(row: Sequence[Any]) -> Approval:
    """From a result row that holds COLUMNS in order."""
    values = dict(zip(COLUMNS, row, strict=True))
    return Approval(
        **{
            **values,
            "asked_at": at(values["asked_at"]),
            "expires_at": at(values["expires_at"]),
            "state": ApprovalState(values["state"]),
            "decided_at": moment(values["decided_at"]),
        }
    )


def approval_values(approval: Approval) -> Mapping[str, Any]:
    values = {name: getattr(approval, name) for name in COLUMNS}
    return {
        **values,
        "why": clean(approval.why),
        "asked_by": clean(approval.asked_by)[:128],
        "asked_at": seconds(approval.asked_at),
        "expires_at": seconds(approval.expires_at),
        "state": approval.state.value,
        "decided_by": clean(approval.decided_by)[:128],
        "decided_at": stamp(approval.decided_at),
        "note": clean(approval.note),
    }

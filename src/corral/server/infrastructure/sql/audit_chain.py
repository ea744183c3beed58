"""The chain over the audit entries (ports/audit.py AuditChain).

A seal is a row of its own, never an update. Two servers cannot fork the chain: the lease's row is locked and its fencing token
compared in the transaction that seals, and a sequence exists once. Entries are sealed in the order of their ids, which is that
of their commits (sql/audit.py), so there are no gaps to wait for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from corral.domain.audit import START, Checkpoint, CheckpointKind, Entry, Link, seal
from corral.domain.errors import Conflict
from corral.server.application.ports.audit import Sealed, Sign, Trust
from corral.server.infrastructure.sql.audit import AUDIT_COLUMNS
from corral.server.infrastructure.sql.database import Database, Tx
from corral.server.infrastructure.sql.statements import Statement
from corral.server.infrastructure.sql.values import moment, seconds

KEPT_EVERY: Final = 1000
"""Heads that far apart are kept, so that a forged chain is found near the place; the newest one alone would prove as much."""
LAST: Final = 2**62
_ENTRY: Final = ", ".join(f"a.{name}" for name in AUDIT_COLUMNS)
_LINK: Final = ("sequence", "entry", "prev", "hash", *AUDIT_COLUMNS)
_POINT: Final = ("kind", "sequence", "entry", "hash", "at", "key_id", "signature")
_FENCE: Final = Statement("select t.token from leases t where t.name = 'leader' and t.token = :token $lock")
_LAST_LINK: Final = Statement("select sequence, entry, hash from audit_chain order by sequence desc limit 1")
_NEWEST: Final = Statement(
    f"select {', '.join(_POINT)} from audit_checkpoints where kind = :kind order by sequence desc limit 1"
)
_FRESH: Final = Statement(
    f"select {_ENTRY} from audit a where a.id > :after order by a.id limit :limit", out=AUDIT_COLUMNS
)
_SEAL: Final = Statement(
    """
    insert into audit_chain (sequence, entry, prev, hash) select v.sequence, v.entry, v.prev, v.hash from $rows
    where v.sequence is not null
    """,
    {"sequence": "bigint", "entry": "integer", "prev": "text", "hash": "text"},
)
_DROP_HEADS: Final = Statement(
    "delete from audit_checkpoints where kind = 'head' and not kept and sequence < :sequence"
)
_LAST_KEPT: Final = Statement("select max(sequence) from audit_checkpoints where kind = 'head' and kept")
_PUT: Final = Statement(
    """
    insert into audit_checkpoints (kind, sequence, entry, hash, at, key_id, signature, kept)
    values (:kind, :sequence, :entry, :hash, :at, :key_id, :signature, :kept)
    """
)
_OLDEST: Final = Statement(
    """
    select c.sequence, c.entry, c.hash, a.at from audit_chain c left join audit a on a.id = c.entry
    where c.sequence < :last order by c.sequence limit :limit
    """,
    out=("sequence", "entry", "hash", "at"),
)
_RETIRE_POINTS: Final = Statement("delete from audit_checkpoints where sequence < :sequence")
_RETIRE_LINKS: Final = Statement("delete from audit_chain where sequence <= :sequence")
_RETIRE_ROWS: Final = Statement("delete from audit where id <= :entry")
_LINKS: Final = Statement(
    f"""
    select c.sequence, c.entry, c.prev, c.hash, {_ENTRY} from audit_chain c left join audit a on a.id = c.entry
    where c.sequence > :after and c.sequence <= :upto order by c.sequence limit :limit
    """,
    out=_LINK,
)
_STRAY: Final = Statement(
    """
    select a.id from audit a where a.id > :after and a.id <= :upto
      and not exists (select 1 from audit_chain c where c.entry = a.id)
    order by a.id limit 1
    """
)
_HEADS: Final = Statement(
    f"""
    select {", ".join(_POINT)} from audit_checkpoints
    where kind = 'head' and sequence > :after and sequence <= :upto order by sequence
    """,
    out=_POINT,
)
_NEW: Final = Statement(
    "select 1 from audit where id > coalesce((select max(entry) from audit_chain), 0) order by id limit 1"
)
_WAITING: Final = Statement(
    "select count(*), min(at) from audit where id > coalesce((select max(entry) from audit_chain), :anchor)"
)
_FIRST_AT: Final = Statement(
    "select c.sequence from audit_chain c join audit a on a.id = c.entry where a.at >= :at order by c.sequence limit 1"
)


class SqlAuditChain:
    """AuditChain over SQLite or PostgreSQL."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def seal(
        self, token: int, *, sign: Sign, trust: Trust, witness: Checkpoint | None, now: datetime, limit: int
    ) -> Sealed:
        if await self._nothing_new():
            return Sealed(count=0, more=False, head=None)
        async with self._db.write() as tx:
            await _lead(tx, token)
            head, signed = await _head(tx), await _newest(tx, CheckpointKind.HEAD)
            _go_on(head, signed, witness, trust)
            rows = await tx.rows(_FRESH, after=head.entry, limit=limit)
            if not rows:
                return Sealed(count=0, more=False, head=signed)
            links, sequence, prev = [], head.sequence, head.hash
            for entry in sorted(map(_entry, rows), key=lambda found: found.id):
                sequence += 1
                links.append((sequence, entry.id, prev, seal(prev, sequence, entry)))
                prev = links[-1][3]
            await tx.run(_SEAL, links)
            made = sign(
                Checkpoint(
                    kind=CheckpointKind.HEAD,
                    sequence=sequence,
                    entry=links[-1][1],
                    hash=prev,
                    at_ms=_ms(seconds(now)),
                )
            )
            kept = await tx.row(_LAST_KEPT)
            await tx.run(_DROP_HEADS, sequence=sequence)
            await _put(tx, made, kept=sequence - int((kept and kept[0]) or 0) >= KEPT_EVERY)
        return Sealed(count=len(links), more=len(links) == limit, head=made)

    async def _nothing_new(self) -> bool:
        """Looked at without a transaction: a quiet server writes nothing every second, and takes no lock."""
        async with self._db.read() as tx:
            row = await tx.row(_NEW)
        return row is None

    async def retire(self, token: int, *, sign: Sign, before: datetime, now: datetime, limit: int) -> int:
        """The newest entry stays, whatever its age: the next id and the next sequence follow from it."""
        async with self._db.write() as tx:
            await _lead(tx, token)
            head = await _head(tx)
            rows = sorted(await tx.rows(_OLDEST, last=head.sequence, limit=limit), key=lambda row: int(row[0]))
            gone = 0
            while gone < len(rows) and rows[gone][3] is not None and rows[gone][3] < seconds(before):
                gone += 1
            if not gone:
                return 0
            sequence, entry, hash_, _ = rows[gone - 1]
            anchor = Checkpoint(
                kind=CheckpointKind.ANCHOR, sequence=sequence, entry=entry, hash=hash_, at_ms=_ms(seconds(now))
            )
            await _put(tx, sign(anchor), kept=True)
            await tx.run(_RETIRE_POINTS, sequence=sequence)
            await tx.run(_RETIRE_LINKS, sequence=sequence)
            await tx.run(_RETIRE_ROWS, entry=entry)
        return gone

    async def links(self, *, after: int, upto: int, limit: int) -> Sequence[Link]:
        async with self._db.read() as tx:
            rows = await tx.rows(_LINKS, after=after, upto=min(upto, LAST), limit=limit)
        found = [
            Link(
                sequence=row[0],
                entry=row[1],
                prev=row[2],
                hash=row[3],
                row=None if row[4] is None else _entry(row[4:]),
            )
            for row in rows
        ]
        return sorted(found, key=lambda link: link.sequence)

    async def stray(self, *, after: int, upto: int) -> int | None:
        async with self._db.read() as tx:
            row = await tx.row(_STRAY, after=after, upto=upto)
        return None if row is None else int(row[0])

    async def ends(self) -> tuple[Checkpoint | None, Checkpoint | None, int]:
        async with self._db.read() as tx:
            anchor, head = await _newest(tx, CheckpointKind.ANCHOR), await _newest(tx, CheckpointKind.HEAD)
            last = await tx.row(_LAST_LINK)
        return anchor, head, 0 if last is None else int(last[0])

    async def heads(self, *, after: int, upto: int) -> Sequence[Checkpoint]:
        async with self._db.read() as tx:
            rows = await tx.rows(_HEADS, after=after, upto=min(upto, LAST))
        return [_checkpoint(row) for row in rows]

    async def waiting(self) -> tuple[int, datetime | None]:
        async with self._db.read() as tx:
            anchor = await _newest(tx, CheckpointKind.ANCHOR)
            row = await tx.row(_WAITING, anchor=0 if anchor is None else anchor.entry)
        return (0, None) if row is None else (int(row[0]), moment(row[1]))

    async def first_at(self, moment: datetime) -> int:
        async with self._db.read() as tx:
            row = await tx.row(_FIRST_AT, at=seconds(moment))
        return LAST if row is None else int(row[0])


async def _lead(tx: Tx, token: int) -> None:
    if await tx.row(_FENCE, token=token) is None:
        raise Conflict("cannot seal the audit record: another server leads now", element="leader", retryable=True)


async def _head(tx: Tx) -> Checkpoint:
    """Where the chain stands in the tables, unsigned."""
    row = await tx.row(_LAST_LINK)
    if row is not None:
        return Checkpoint(kind=CheckpointKind.HEAD, sequence=row[0], entry=row[1], hash=row[2], at_ms=0)
    anchor = await _newest(tx, CheckpointKind.ANCHOR)
    return anchor or Checkpoint(kind=CheckpointKind.HEAD, sequence=0, entry=0, hash=START, at_ms=0)


def _go_on(head: Checkpoint, signed: Checkpoint | None, witness: Checkpoint | None, trust: Trust) -> None:
    """Raises Conflict unless the chain stands exactly where it was signed last, and not before what was kept outside."""
    at = 0 if signed is None else signed.sequence
    wrong = ""
    if signed is not None and not trust(signed):
        wrong = f"the head at {at} is not signed by one of our keys"
    elif (head.sequence, head.hash) != ((0, START) if signed is None else (at, signed.hash)):
        wrong = f"it stands at {head.sequence}, and was signed at {at}"
    elif witness is not None and (witness.sequence, witness.hash) > (
        at,
        witness.hash if signed is None else signed.hash,
    ):
        wrong = f"it was signed up to {witness.sequence} by this server, and ends at {at}"
    if wrong:
        raise Conflict(
            f"cannot go on sealing the audit record: {wrong}",
            element="audit",
            hint="corral audit verify shows the place; docs/audit.md says how to go on",
        )


async def _newest(tx: Tx, kind: CheckpointKind) -> Checkpoint | None:
    row = await tx.row(_NEWEST, kind=kind.value)
    return None if row is None else _checkpoint(row)


async def _put(tx: Tx, point: Checkpoint, *, kept: bool) -> None:
    await tx.run(
        _PUT,
        kind=point.kind.value,
        sequence=point.sequence,
        entry=point.entry,
        hash=point.hash,
        at=point.at_ms / 1000,
        key_id=point.key,
        signature=point.signature,
        kept=kept,
    )


def _checkpoint(row: Sequence[Any]) -> Checkpoint:
    kind, sequence, entry, hash_, when, key, signature = row
    known = {member.value: member for member in CheckpointKind}
    return Checkpoint(
        kind=known.get(kind, CheckpointKind.HEAD),
        sequence=sequence,
        entry=entry,
        hash=hash_,
        at_ms=_ms(when),
        key=key,
        signature=signature,
    )


def _ms(when: Any) -> int:
    """Whatever somebody put there in place of a time is no moment at all."""
    return round(when * 1000) if isinstance(when, int | float) and abs(when) < LAST else -1


def _entry(row: Sequence[Any]) -> Entry:
    id_, when, actor, address, action, target, outcome, status, request_id, credential, job, duration_ms, details = row
    return Entry(
        id=id_,
        at_ms=_ms(when),
        actor=actor,
        address=address,
        action=action,
        target=target,
        outcome=outcome,
        status=status,
        request_id=request_id,
        credential=credential,
        job=job,
        duration_ms=duration_ms,
        details=details,
    )

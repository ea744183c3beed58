"""The node's journal: what was accepted and how it stands, durable before anything is done about it.

Rows go RECEIVED → STARTING → DONE → RECEIPTED. STARTING is on disk before a process exists, DONE before its report is sent:
one fsync each. A receipt is written with the next write or within a second, because losing it only repeats a report. The signed
task is kept until receipted; after that the row keeps its ids and report until not_after + 24 h of the server's time, so a
replay finds it. A tombstone is a cancel: it outlives its task the same way. The file is opened when first needed.

A journal that is damaged, or gone while its spool is still there, is set aside: a new one with a new id begins, and `reset_at`
stays unknown until a signed sync answer tells the server's time; work issued before it is refused (it may have run).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from corral.agent.config import StateDir
from corral.agent.worker.attempt import Key, Phase
from corral.runtime.files import private_dir

log = logging.getLogger("corral.worker.journal")

KEEP_SECONDS: Final = 24 * 3600.0
"""How long after not_after a row or tombstone stays: nothing older can be accepted any more."""
_RECEIPTS_AT_ONCE: Final = 256

_SCHEMA: Final = """
create table if not exists tasks(
  job text not null, attempt integer not null, state text not null, not_after real not null,
  delivered_at real, started_at real, started_mono real not null default 0, boot_id text not null default '',
  generation integer not null default 0, wire blob, report blob,
  primary key(job, attempt)) without rowid;
create table if not exists tombstones(
  job text not null, attempt integer not null, not_after real not null, grace real,
  primary key(job, attempt)) without rowid;
create table if not exists meta(key text primary key, value text not null) without rowid;
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt as the journal holds it."""

    job: str
    attempt: int
    state: Phase
    not_after: float
    delivered_at: float | None
    started_at: float | None
    started_mono: float
    boot_id: str
    generation: int
    wire: bytes | None
    report: bytes | None


_COLUMNS: Final = (
    "job, attempt, state, not_after, delivered_at, started_at, started_mono, boot_id, generation, wire, report"
)


class Journal:
    """All access to journal.db. Raises sqlite3.Error when the disk fails: then the step did not happen and nothing follows it."""

    def __init__(self, state: StateDir, new_id: Callable[[], str]) -> None:
        self._state = state
        self._new_id = new_id
        self._db: sqlite3.Connection | None = None
        self._receipts: list[Key] = []
        self._tombstones = 0
        self._id = ""
        self.was_reset = False

    @property
    def id(self) -> str:
        """A random id made with the file; a new one tells the server the old journal is gone."""
        if not self._id:
            self._id = self._new_id()
        return self._id

    def open_existing(self) -> bool:
        """Open what an earlier run left, if anything; True when there is something to recover from."""
        if not self._state.journal.exists():
            if not self._state.spool.exists():
                return False
            # the spool outlived the journal: what ran before is unknown now
            self.was_reset = True
        self._open()
        return not self.was_reset

    def _open(self) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        private_dir(self._state.root)
        try:
            self._db = self._connect(check=self._state.journal.exists())
        except sqlite3.OperationalError:
            # locked, or the disk is full: the file may be sound, so it is not ours to throw away
            raise
        except sqlite3.DatabaseError as error:
            self._set_aside(error)
            self._db = self._connect(check=False)
        # after the journal: a spool without one means that a journal was lost
        private_dir(self._state.spool)
        if self.was_reset:
            self.set_meta("reset_at", "")
        return self._db

    def _make(self) -> None:
        """A new journal appears whole, with its id: one that was killed while it was made must not look like one that was emptied."""
        path = self._state.journal.with_name(f"{self._state.journal.name}.new")
        for suffix in ("", "-journal"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{path}{suffix}")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.executescript(f"begin; {_SCHEMA}")
            db.execute("insert into meta values('journal', ?)", (self.id,))
            db.execute("commit")
        os.replace(path, self._state.journal)

    def _connect(self, *, check: bool) -> sqlite3.Connection:
        if not check:
            self._make()
        db = sqlite3.connect(self._state.journal, isolation_level=None, cached_statements=32, check_same_thread=False)
        try:
            os.chmod(self._state.journal, 0o600)
            if check:
                verdict = db.execute("pragma integrity_check(1)").fetchone()[0]
                if verdict != "ok":
                    raise sqlite3.DatabaseError(str(verdict))
            db.execute("pragma journal_mode=wal")
            db.execute("pragma synchronous=full")
            db.execute("pragma cache_size=-256")
            if check:
                db.executescript(_SCHEMA)
            row = db.execute("select value from meta where key='journal'").fetchone()
            if row is None:
                raise sqlite3.DatabaseError("it has no id: it was emptied")
            self._id = row[0]
            self._tombstones = db.execute("select count(*) from tombstones").fetchone()[0]
        except BaseException:
            db.close()
            raise
        return db

    def _set_aside(self, error: Exception) -> None:
        number = 1
        path = self._state.journal
        while path.with_name(f"{path.name}.damaged-{number}").exists():
            number += 1
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}{suffix}", f"{path}.damaged-{number}{suffix}")
        self._id = self._new_id()
        self.was_reset = True
        log.error(
            "Cannot trust the journal (%s): set aside as %s.damaged-%d; work issued before now is refused",
            error,
            path.name,
            number,
            extra={"action": "journal_reset", "journal": self._id},
        )

    def meta(self, key: str) -> str | None:
        if self._db is None:
            return None
        row = self._db.execute("select value from meta where key=?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        self._open().execute("insert or replace into meta values(?, ?)", (key, value))

    def keys(self) -> dict[str, str]:
        """Signing keys announced since enrolment: {key id: base64}."""
        if self._db is None:
            return {}
        rows = self._db.execute("select key, value from meta where key like 'key.%'").fetchall()
        return {str(key).partition(".")[2]: str(value) for key, value in rows}

    @property
    def is_open(self) -> bool:
        return self._db is not None

    def attempts(self, job: str) -> list[tuple[int, Phase, bytes | None]]:
        """(attempt, state, report) of every attempt of `job` it knows, lowest first."""
        if self._db is None:
            return []
        rows = self._db.execute("select attempt, state, report from tasks where job=? order by attempt", (job,))
        return [(attempt, Phase(state), report) for attempt, state, report in rows]

    def add(self, row: Row) -> None:
        """Durable. Replaces nothing: the key must be new (raises sqlite3.IntegrityError)."""
        self._open().execute(
            "insert into tasks values(?,?,?,?,?,?,?,?,?,?,?)",
            (
                row.job,
                row.attempt,
                row.state.value,
                row.not_after,
                row.delivered_at,
                row.started_at,
                row.started_mono,
                row.boot_id,
                row.generation,
                row.wire,
                row.report,
            ),
        )

    def starting(self, key: Key, *, started_at: float, started_mono: float, boot_id: str, generation: int) -> None:
        """Durable, and before the process exists."""
        self._open().execute(
            "update tasks set state='starting', started_at=?, started_mono=?, boot_id=?, generation=?"
            " where job=? and attempt=?",
            (started_at, started_mono, boot_id, generation, *key),
        )

    def done(self, key: Key, report: bytes) -> None:
        """Durable, and before the report is sent."""
        self._open().execute("update tasks set state='done', report=? where job=? and attempt=?", (report, *key))

    def receipted(self, key: Key) -> bool:
        """Remember that the server has the outcome; on disk with `flush`. True = flush soon, there are many."""
        self._receipts.append(key)
        return len(self._receipts) >= _RECEIPTS_AT_ONCE

    def flush(self) -> None:
        """Write receipts down."""
        if not self._receipts:
            return
        db = self._open()
        db.execute("begin")
        try:
            db.executemany("update tasks set state='receipted', wire=null where job=? and attempt=?", self._receipts)
            db.execute("commit")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("rollback")
            raise
        self._receipts.clear()

    def bury(self, key: Key, *, not_after: float, grace: float | None) -> None:
        """Durable: (job, attempt) and every earlier attempt are cancelled, whether they are here or still to come."""
        self._open().execute("insert or replace into tombstones values(?,?,?,?)", (*key, not_after, grace))
        self._tombstones += 1

    def buried(self, key: Key) -> tuple[bool, float | None]:
        """(whether a cancel covers it, the grace it asked for)"""
        if not self._tombstones or self._db is None:
            return False, None
        row = self._db.execute(
            "select grace from tombstones where job=? and attempt>=? order by attempt limit 1", key
        ).fetchone()
        return (False, None) if row is None else (True, row[0])

    def unsettled(self) -> Iterator[Row]:
        """Rows whose outcome the server has not receipted, oldest delivery first."""
        if self._db is None:
            return
        rows = self._db.execute(
            f"select {_COLUMNS} from tasks where state != 'receipted' order by delivered_at, job, attempt"
        ).fetchall()
        for job, attempt, state, *rest in rows:
            yield Row(job, attempt, Phase(state), *rest)

    def prune(self, server_time: float) -> int:
        """Drop what no message can refer to any more; returns how many rows."""
        if self._db is None:
            return 0
        self.flush()
        before = server_time - KEEP_SECONDS
        rows = self._db.execute("delete from tasks where state='receipted' and not_after < ?", (before,)).rowcount
        self._db.execute("delete from tombstones where not_after < ?", (before,))
        self._tombstones = self._db.execute("select count(*) from tombstones").fetchone()[0]
        return rows

    def close(self) -> None:
        if self._db is None:
            return
        try:
            self.flush()
        except sqlite3.Error as error:
            log.warning(
                "Cannot write the last receipts: %s; their reports go again", error, extra={"action": "journal"}
            )
        self._db.close()
        self._db = None

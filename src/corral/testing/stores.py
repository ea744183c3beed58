"""Fakes of the SQL stores, in memory: the same ports, the same contract tests, no file, no thread.

`MemoryDatabase` holds the rows; the stores are views of it, so make one and give it to each. Use them on one loop only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from corral.domain.errors import Conflict, NotFound, TokenRefused
from corral.domain.node import Node, Presence, Relabelling
from corral.server.application.ports.access import (
    NO_FILTER,
    ApiToken,
    AuditEntry,
    AuditFilter,
    Session,
    StoredAnswer,
)
from corral.server.application.ports.jobs import DeadLetter
from corral.server.application.ports.nodes import JoinToken
from corral.server.infrastructure.sql.dead_letters import BODY_BYTES, KEPT_PER_HOUR
from corral.server.infrastructure.sql.nodes import no_node, taken
from corral.server.infrastructure.sql.tokens import check_again, refusal
from corral.server.infrastructure.sql.values import seconds
from corral.testing.job_stores import MemoryDatabase, MemoryJobQueries, MemoryJobStore

__all__ = [
    "MemoryApiTokenStore",
    "MemoryAuditLog",
    "MemoryDatabase",
    "MemoryDeadLetters",
    "MemoryIdempotencyStore",
    "MemoryJobQueries",
    "MemoryJobStore",
    "MemoryLeaseStore",
    "MemoryNodeStore",
    "MemorySessionStore",
    "MemoryTokenStore",
]


class MemoryNodeStore:
    """NodeStore in memory."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def all(self) -> Sequence[Node]:
        return [self._db.nodes[id_] for id_ in sorted(self._db.nodes)]

    async def get(self, node: str) -> Node:
        if node not in self._db.nodes:
            raise no_node(node)
        return self._db.nodes[node]

    async def add_all(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            have = self._db.nodes.get(node.id, node)
            if (have.daemon_key, have.worker_key) != (node.daemon_key, node.worker_key):
                raise taken(node.id)
        for node in nodes:
            self._db.nodes.setdefault(node.id, node)

    async def set_labels(
        self, nodes: Sequence[str], change: Relabelling, *, if_match: int | None = None
    ) -> Sequence[Node]:
        found = [await self.get(node) for node in sorted(set(nodes))]
        for node in found:
            if if_match is not None and node.resource_version != if_match:
                raise Conflict(
                    f"cannot change node {node.id!r}: it is at version {node.resource_version}, not {if_match}",
                    element="resource_version",
                    hint=f"look again: corral node show {node.id}",
                )
        for node in found:
            self._change(node.id, labels=change.labels_of(node.labels), groups=change.groups_of(node.groups))
        return [self._db.nodes[node.id] for node in found]

    async def set_facts(self, facts: Mapping[str, Mapping[str, Any]]) -> None:
        for node, said in facts.items():
            if node in self._db.nodes:
                self._db.nodes[node] = replace(self._db.nodes[node], facts=dict(said))

    async def set_presence(self, seen: Mapping[str, tuple[Presence, datetime, str]]) -> None:
        for id_, (presence, since, reason) in seen.items():
            node = self._db.nodes.get(id_)
            if node is None:
                continue
            last = node.last_seen
            if presence is not Presence.UNKNOWN and (last is None or last < since):
                last = since
            self._db.nodes[id_] = replace(
                node, presence=presence, presence_since=since, presence_reason=reason, last_seen=last
            )

    async def remove(self, node: str) -> None:
        if self._db.nodes.pop(node, None) is None:
            raise no_node(node)
        self._db.placements = {key: one for key, one in self._db.placements.items() if one.node != node}
        self._db.presence_log = [change for change in self._db.presence_log if change.node != node]

    async def revoke(self, node: str, *, reason: str, now: datetime) -> Node:
        await self._revoke_keys(node, now)
        return self._change(node, revoked=True, revoked_reason=reason)

    async def reset(self, node: str, *, now: datetime) -> Node:
        await self._revoke_keys(node, now)
        return self._change(node, daemon_key="", worker_key="", revoked=False, revoked_reason="")

    async def revocations(self) -> Mapping[str, int]:
        return dict(self._db.revocations)

    async def _revoke_keys(self, node: str, now: datetime) -> None:
        found = await self.get(node)
        for key in filter(None, (found.daemon_key, found.worker_key)):
            self._db.revocations[key] = int(-(-seconds(now) // 1))

    def _change(self, node: str, **values: Any) -> Node:
        had = self._db.nodes[node]
        self._db.nodes[node] = replace(had, resource_version=had.resource_version + 1, **values)
        return self._db.nodes[node]


class MemoryTokenStore:
    """TokenStore in memory."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def add(self, token: JoinToken) -> None:
        self._db.join_tokens[token.id] = token

    async def get(self, token: str) -> JoinToken:
        if token not in self._db.join_tokens:
            raise TokenRefused(f"cannot enrol with token {token!r}: there is no such token", element="token")
        return self._db.join_tokens[token]

    async def list(self) -> Sequence[JoinToken]:
        return sorted(self._db.join_tokens.values(), key=lambda token: token.created_at, reverse=True)

    async def revoke(self, token: str) -> None:
        if token not in self._db.join_tokens:
            raise NotFound(f"cannot find token {token!r}", element="token", hint="corral token list")
        self._db.join_tokens[token] = replace(self._db.join_tokens[token], revoked=True)

    async def enrol(self, token: str, node: Node, *, now: datetime) -> None:
        known = self._db.join_tokens.get(token)
        have = self._db.nodes.get(node.id)
        if have is not None and have.daemon_key:
            check_again(have, node)
            if known is None or known.revoked:
                raise refusal(known, token, node.id, now)
            return
        fits = (
            known is not None
            and known.uses_left > 0
            and known.expires_at > now
            and not known.revoked
            and known.node_id in (None, node.id)
        )
        if known is None or not fits:
            raise refusal(known, token, node.id, now)
        self._db.join_tokens[token] = replace(known, uses_left=known.uses_left - 1)
        wanted = replace(node, enrolled_at=node.enrolled_at or now)
        if have is None:
            self._db.nodes[node.id] = wanted
            return
        self._db.nodes[node.id] = replace(
            have,
            labels={**have.labels, **wanted.labels},
            groups=have.groups | wanted.groups,
            enrolled_at=wanted.enrolled_at,
            daemon_key=wanted.daemon_key,
            worker_key=wanted.worker_key,
            revoked=False,
            revoked_reason="",
            resource_version=have.resource_version + 1,
        )


class MemoryApiTokenStore:
    """ApiTokenStore in memory."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def add(self, token: ApiToken) -> None:
        if token.id in self._db.api_tokens or await self.by_hash(token.hash) is not None:
            raise Conflict(f"cannot add API token {token.id!r}: it exists already", element="id")
        self._db.api_tokens[token.id] = token

    async def by_hash(self, digest: bytes) -> ApiToken | None:
        return next((token for token in self._db.api_tokens.values() if token.hash == digest), None)

    async def list(self) -> Sequence[ApiToken]:
        return sorted(self._db.api_tokens.values(), key=lambda token: token.created_at, reverse=True)

    async def revoke(self, token: str) -> None:
        if token not in self._db.api_tokens:
            raise NotFound(f"cannot find API token {token!r}", element="id", hint="look at GET /api/v1/api-tokens")
        self._db.api_tokens[token] = replace(self._db.api_tokens[token], revoked=True)
        for id_, session in self._db.sessions.items():
            if session.source == token:
                self._db.sessions[id_] = replace(session, revoked=True)

    async def touch(self, used: Mapping[str, datetime]) -> None:
        for id_, when in used.items():
            token = self._db.api_tokens.get(id_)
            if token is not None and (token.last_used_at is None or token.last_used_at < when):
                self._db.api_tokens[id_] = replace(token, last_used_at=when)


class MemoryAuditLog:
    """AuditLog in memory."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def add(self, entry: AuditEntry) -> None:
        self._db.audit.append(entry)

    async def add_many(self, entries: Sequence[AuditEntry]) -> None:
        self._db.audit.extend(entries)

    async def list(
        self, *, limit: int = 50, before: int | None = None, only: AuditFilter = NO_FILTER
    ) -> Sequence[tuple[int, AuditEntry]]:
        numbered = list(enumerate(self._db.audit, start=1))[::-1]
        wanted = [item for item in numbered if self._fits(item[1], only)]
        return [item for item in wanted if before is None or item[0] < before][: max(1, limit)]

    async def get(self, entry: int) -> AuditEntry:
        if not 1 <= entry <= len(self._db.audit):
            raise NotFound(f"cannot find audit entry {entry}", element="entry", hint="corral audit list")
        return self._db.audit[entry - 1]

    def _fits(self, entry: AuditEntry, only: AuditFilter) -> bool:
        return (
            (only.actor is None or entry.actor == only.actor)
            and (only.action is None or only.action.lower() in entry.action.lower())
            and (only.outcome is None or entry.outcome == only.outcome)
            and (only.since is None or entry.at >= only.since)
            and (only.until is None or entry.at < only.until)
            and (only.job is None or entry.job == only.job)
            and (
                only.node is None
                or f"/nodes/{only.node}/" in f"{entry.target}/"
                or (entry.job, only.node) in self._db.tasks
            )
        )


class MemorySessionStore:
    """SessionStore in memory."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def add(self, session: Session) -> None:
        self._db.sessions[session.id] = session

    async def get(self, session: str) -> Session | None:
        return self._db.sessions.get(session)

    async def rotate(self, session: str, *, counter: int, now: datetime) -> bool:
        had = self._db.sessions.get(session)
        if had is None or had.revoked or had.counter != counter:
            return False
        self._db.sessions[session] = replace(had, counter=counter + 1, rotated_at=now)
        return True

    async def revoke(self, session: str) -> None:
        if session in self._db.sessions:
            self._db.sessions[session] = replace(self._db.sessions[session], revoked=True)

    async def list(self, *, user: str | None, now: datetime, limit: int) -> Sequence[Session]:
        lasting = [
            session
            for session in self._db.sessions.values()
            if not session.revoked and session.expires_at > now and user in (None, session.user)
        ]
        return sorted(lasting, key=lambda session: (session.created_at, session.id), reverse=True)[: max(1, limit)]

    async def drop_expired(self, *, now: datetime) -> int:
        gone = [id_ for id_, session in self._db.sessions.items() if session.expires_at <= now]
        for id_ in gone:
            del self._db.sessions[id_]
        return len(gone)


class MemoryIdempotencyStore:
    """IdempotencyStore in memory."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def get(self, key: str, actor: str) -> StoredAnswer | None:
        return self._db.answers.get((key, actor))

    async def put(self, key: str, actor: str, answer: StoredAnswer) -> None:
        self._db.answers.setdefault((key, actor), answer)

    async def drop_before(self, moment: datetime) -> int:
        gone = [key for key, answer in self._db.answers.items() if answer.at < moment]
        for key in gone:
            del self._db.answers[key]
        return len(gone)


class MemoryLeaseStore:
    """LeaseStore in memory."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db

    async def acquire(self, name: str, holder: str, *, seconds: float, now: datetime) -> int | None:
        moment = now.timestamp()
        had, until, token = self._db.leases.get(name, (holder, moment, 0))
        if had != holder and until > moment:
            return None
        token = token if had == holder and until > moment else token + 1
        self._db.leases[name] = (holder, moment + seconds, token)
        return token

    async def release(self, name: str, holder: str) -> None:
        had, _, token = self._db.leases.get(name, ("", 0.0, 0))
        if had == holder:
            self._db.leases[name] = (had, 0.0, token)


class MemoryDeadLetters:
    """DeadLetters in memory; `now` of a letter is its own `at`."""

    def __init__(self, db: MemoryDatabase) -> None:
        self._db = db
        self.dropped = 0

    async def add(self, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            hour = None if letter.at is None else letter.at - timedelta(hours=1)
            kept = sum(
                other.node == letter.node and (hour is None or other.at is None or other.at > hour)
                for other in self._db.dead_letters
            )
            if kept >= KEPT_PER_HOUR:
                self.dropped += 1
            else:
                self._db.dead_letters.append(replace(letter, body=letter.body[:BODY_BYTES]))

    async def list(self, *, limit: int = 50) -> Sequence[DeadLetter]:
        return self._db.dead_letters[::-1][:limit]

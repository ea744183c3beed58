"""The audit routes: the record, one entry, its proof, and a file that somebody else can prove."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from litestar.response import Stream

from corral.domain.errors import Invalid
from corral.runtime.clock import iso
from corral.server.application.access.room import AccessRoom
from corral.server.application.audit.proof import AuditProof, Progress, Verdict
from corral.server.application.ports.access import AuditEntry, AuditFilter, Caller
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.moments import moment
from corral.server.interface.rest.route import Route
from corral.server.interface.rest.sse import SseEvent, json_event, sse

TAGS: Final = ("audit",)
_ENCODER = msgspec.json.Encoder()


class AuditView(msgspec.Struct, kw_only=True):
    """`credential` is the id of the token or session it was done with; `job` the one it made or is about."""

    id: int
    at: str | None
    actor: str
    address: str
    action: str
    target: str
    outcome: str
    status: int
    request_id: str
    credential: str
    job: str
    duration_ms: int
    details: dict[str, Any]


async def list_audit(
    access: AccessRoom,
    caller: Caller,
    actor: str | None = None,
    action: str | None = None,
    outcome: str | None = None,
    since: str | None = None,
    until: str | None = None,
    node: str | None = None,
    job: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Envelope[list[AuditView]]:
    """Who did what, newest first. `since` and `until` are RFC 3339; `action` is a part of it; `node` takes its jobs in."""
    only = AuditFilter(
        actor=actor,
        action=action,
        outcome=outcome,
        since=moment(since, "since"),
        until=moment(until, "until"),
        node=node,
        job=job,
    )
    entries, following = await access.audit.list(caller, limit=limit, cursor=cursor, only=only)
    return ok([_view(number, entry) for number, entry in entries], next=following)


async def show_audit(access: AccessRoom, caller: Caller, entry: str) -> Envelope[AuditView]:
    """One entry."""
    if not (entry.isascii() and entry.isdigit() and len(entry) <= 18):
        raise Invalid(
            f"cannot use {entry[:40]!r} as an entry: expected a number", element="entry", hint="corral audit list"
        )
    return ok(_view(int(entry), await access.audit.get(caller, int(entry))))


async def verify(audit: AuditProof, caller: Caller) -> Stream:
    """Server-Sent Events: `progress` now and then, one `verdict`: the first entry that is wrong and how, or none."""
    return sse(_events(audit.verify(caller)))


async def export(audit: AuditProof, caller: Caller, since: str | None = None, until: str | None = None) -> Stream:
    """JSON lines: our public keys, every sealed entry with its hashes, the signed heads. Anybody can prove it offline."""
    begin, end = moment(since, "since"), moment(until, "until")
    return Stream(_lines(audit.export(caller, since=begin, until=end)), media_type="application/x-ndjson")


async def _events(said: AsyncGenerator[Progress | Verdict, None]) -> AsyncGenerator[SseEvent, None]:
    async with aclosing(said):
        async for part in said:
            if isinstance(part, Progress):
                yield json_event("progress", {"checked": part.checked, "total": part.total})
            else:
                yield json_event("verdict", verdict(part))


def verdict(part: Verdict) -> dict[str, Any]:
    found = part.found
    return {
        "ok": found is None,
        "checked": part.checked,
        "first": part.first,
        "last": part.last,
        "head": part.head,
        "key": part.key,
        "signed_at": None if part.signed_at_ms is None else iso(datetime.fromtimestamp(part.signed_at_ms / 1000, UTC)),
        "unsealed": part.unsealed,
        "fault": None if found is None else found.fault.value,
        "sequence": None if found is None else found.sequence,
        "entry": None if found is None else found.entry,
        "why": None if found is None else found.why,
    }


async def _lines(lines: AsyncGenerator[Mapping[str, Any], None]) -> AsyncGenerator[bytes, None]:
    """Some hundred lines at once: a chunk for each would cost more than the line."""
    waiting = bytearray()
    async with aclosing(lines):
        async for line in lines:
            waiting += _ENCODER.encode(line) + b"\n"
            if len(waiting) > 1 << 16:
                yield bytes(waiting)
                waiting.clear()
    yield bytes(waiting)


def _view(number: int, entry: AuditEntry) -> AuditView:
    return AuditView(
        id=number,
        at=iso(entry.at),
        actor=entry.actor,
        address=entry.address,
        action=entry.action,
        target=entry.target,
        outcome=entry.outcome,
        status=entry.status,
        request_id=entry.request_id,
        credential=entry.credential,
        job=entry.job,
        duration_ms=entry.duration_ms,
        details=dict(entry.details),
    )


def _route(path: str, handler: Any, summary: str, *, raw: bool = False) -> Route:
    return Route(
        method="GET",
        path=path,
        permission="audit.read",
        handler=handler,
        summary=summary,
        audit=True,
        raw=raw,
        tags=TAGS,
    )


ROUTES: Final[tuple[Route, ...]] = (
    _route("/audit", list_audit, "Read the audit record"),
    _route("/audit/verify", verify, "Prove the audit record", raw=True),
    _route("/audit/export", export, "The sealed record as JSON lines", raw=True),
    _route("/audit/entries/{entry:str}", show_audit, "One entry of the audit record"),
)

"""Which requests are recorded, and as what: every write, every refusal, every read of output, secrets or the audit record itself.

Entries name things, never carry secrets: of a body only the fields below, of an answer only the id of what was made, of a
submission its spec redacted and its hash (application/audit/about.py), refused ones included.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from corral.domain.audit import redacted
from corral.domain.ids import OBJECT_ID
from corral.runtime.clock import Clock
from corral.server.application.audit.about import SENSITIVE
from corral.server.application.ports.access import AuditEntry, Caller
from corral.server.interface.rest.route import Route

_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_KEPT_FIELDS: Final = (
    "name",
    "target",
    "selector",
    "node",
    "nodes",
    "labels",
    "groups",
    "reason",
    "uses",
    "ttl_seconds",
    "node_id",
    "permissions",
    "offline",
    "kind",
    "source_path",
    "keep",
    "unused",
    "role",
    "subject",
    "note",
    "kinds",
    "min_nodes",
    "roles",
    "disabled",
)
_MADE_FIELDS: Final = ("job", "id", "node_id", "name")
_ROUTINE: Final = frozenset({"/enroll/challenge", "/refresh", "/artifacts/uploads/{upload:str}"})
"""Writes that change nothing by themselves and come often: only their refusals are recorded."""
_FIELD_MAX: Final = 500
_PARSE_MAX_BYTES: Final = 256 << 10
_STRANGERS_MAX: Final = 2000
_REFUSALS_PER_MINUTE: Final = 60


class AuditHook:
    """Makes entries. A flood of 401s from one address is recorded 60 times a minute, then counted into the next entry."""

    def __init__(self, *, record: Callable[[AuditEntry], Awaitable[None]], clock: Clock) -> None:
        self._record = record
        self._clock = clock
        self._strangers: OrderedDict[str, list[float]] = OrderedDict()

    async def note(
        self,
        *,
        route: Route | None,
        method: str,
        path: str,
        caller: Caller,
        status: int,
        body: bytes,
        answer: bytes,
        started: float,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Record the request if it is one of the recorded kinds. `about`: what the use case added."""
        refused = status in (401, 403)
        question = route is not None and route.asks and route.method in _WRITES and not refused
        told = {} if about is None or question else dict(about)
        if not (refused or SENSITIVE in told or (route is not None and (route.audit or _is_write(route)))):
            return
        if method == "GET" and status < 400 and not caller.name:
            return  # a page that anybody may read: strangers must not fill the record
        details: dict[str, Any] = {}
        if status == 401:
            counted = self._damped(caller.address)
            if counted is None:
                return
            if counted:
                details["not_recorded"] = counted
        if route is not None and not refused:
            details |= _kept(body) | _made(answer, status)
        if status == 403:
            details |= _kept(body) | _made(answer, status)
        details |= told
        await self._record(
            AuditEntry(
                at=self._clock.now(),
                actor=caller.name[:128],
                address=caller.address[:64],
                action=f"{method} {route.template if route is not None else '?'}"[:64],
                target=path[:_FIELD_MAX],
                outcome=_outcome(status),
                status=status,
                request_id=caller.request_id,
                duration_ms=max(0, int((self._clock.monotonic() - started) * 1000)),
                details=details,
                credential=caller.credential[:64],
                job=_job(path, details),
            )
        )

    def _damped(self, address: str) -> int | None:
        """None = only count this one; else how many were only counted before it."""
        now = self._clock.monotonic()
        window = self._strangers.pop(address, [now, 0.0])
        begun, count = window
        if now - begun > 60:
            begun, count, left = now, 0.0, max(0, int(count) - _REFUSALS_PER_MINUTE)
        else:
            left = 0
        count += 1
        self._strangers[address] = [begun, count]
        if len(self._strangers) > _STRANGERS_MAX:
            self._strangers.popitem(last=False)
        return None if count > _REFUSALS_PER_MINUTE else left


def _job(path: str, details: Mapping[str, Any]) -> str:
    """The job that was made, or that the path is about."""
    for word in (str(details.get("made", "")), *path.split("/")):
        if word.startswith("J") and OBJECT_ID.match(word):
            return word
    return ""


def _is_write(route: Route) -> bool:
    if route.method not in _WRITES or route.path in _ROUTINE:
        return False
    return not route.asks


def _outcome(status: int) -> str:
    if status < 400:
        return "ok"
    return {401: "unauthenticated", 403: "denied"}.get(status, "failed")


def _kept(body: bytes) -> dict[str, Any]:
    given = _object(body)
    kept = {name: given[name] for name in _KEPT_FIELDS if given.get(name) not in (None, "", [], {})}
    return {name: _short(value) for name, value in redacted(kept).items()}


def _made(answer: bytes, status: int) -> dict[str, Any]:
    if status >= 400:
        found = _object(answer)
        return {"error": _short(found["message"])} if "message" in found else {}
    data = _object(answer).get("data")
    if not isinstance(data, dict):
        return {}
    made = next((data[name] for name in _MADE_FIELDS if isinstance(data.get(name), str)), None)
    return {} if made is None else {"made": _short(made)}


def _object(text: bytes) -> dict[str, Any]:
    if not text or len(text) > _PARSE_MAX_BYTES:
        return {}
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _short(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _FIELD_MAX else f"{text[:_FIELD_MAX]}..."

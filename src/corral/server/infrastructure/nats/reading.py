"""What a node reported, taken apart with suspicion: types, sizes, the states a node may decide, numbers a database can hold.

A report that breaks a rule is poison: it goes to the dead letters and is acknowledged, so it never comes again. The node id comes
from the subject, which the engine's permissions pin; nothing in the body can name another node.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from corral.domain.ids import NODE_ID, OBJECT_ID
from corral.domain.task import NODE_DECIDES, Outcome, Reason
from corral.protocol.codec import BadMessage, too_deep
from corral.protocol.messages import VERSION, ReportMessage
from corral.protocol.subjects import node_of
from corral.server.application.ports.jobs import Reported

DETAIL_CHARS_MAX: Final = 4096
MAP_BYTES_MAX: Final = 64 << 10
REPORT_BYTES_MAX: Final = 256 << 10
INT32: Final = 2**31 - 1
INT63: Final = 2**63 - 1
_TOKEN: Final = re.compile(r"[0-9a-f]{32}\Z")
_DECODER: Final = msgspec.json.Decoder(ReportMessage)
_STATES: Final = {state.value: state for state in NODE_DECIDES}
_REASONS: Final = {reason.value: reason for reason in Reason}


@dataclass(frozen=True, slots=True)
class ReadReport:
    """A report fit for SQL, and the token its receipt has to echo."""

    token: str
    reported: Reported


def read_report(subject: str, data: bytes) -> ReadReport:
    """Raises BadMessage saying what is wrong."""
    node = node_of(subject)
    if NODE_ID.match(node) is None:
        raise BadMessage(f"cannot read a report: {node[:80]!r} is no node id", element="subject")
    if len(data) > REPORT_BYTES_MAX:
        raise BadMessage(f"cannot read a report of {len(data)} bytes: at most {REPORT_BYTES_MAX}", element="size")
    try:
        message = _DECODER.decode(data)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"cannot read a report: {error}"[:300]) from None
    return ReadReport(message.token, Reported(node=node, outcome=_outcome(message)))


def _outcome(message: ReportMessage) -> Outcome:
    state = _STATES.get(message.state)
    if message.v > VERSION:
        raise BadMessage(f"cannot read a report of version {message.v}: this server speaks {VERSION}", element="v")
    if state is None:
        raise BadMessage(f"cannot accept state {message.state[:40]!r} from a node", element="state")
    if _TOKEN.match(message.token) is None:
        raise BadMessage("cannot accept a report without a token of 32 hex digits", element="token")
    if OBJECT_ID.match(message.job) is None:
        raise BadMessage(f"cannot accept {message.job[:40]!r} as a job id", element="job")
    if not (1 <= message.attempt <= INT32 and 0 <= message.seq <= INT32):
        raise BadMessage("cannot accept a report whose attempt or seq is out of range", element="seq")
    reason = _REASONS.get(message.reason)
    detail = message.detail
    if reason is None:
        # A newer node may know more reasons than we do: keep the word, not the report out.
        reason, detail = Reason.NONE, f"{message.reason[:80]}: {detail}" if detail else message.reason[:80]
    return Outcome(
        job=message.job,
        attempt=message.attempt,
        seq=message.seq,
        state=state,
        reason=reason,
        detail=detail if len(detail) <= DETAIL_CHARS_MAX else detail[: DETAIL_CHARS_MAX - 1] + "…",
        exit_code=_within(message.exit_code, INT32),
        signal=_within(message.signal, INT32),
        delivered_at=message.delivered_at,
        started_at=message.started_at,
        finished_at=message.finished_at,
        stdout_bytes=max(0, min(message.stdout_bytes, INT63)),
        stderr_bytes=max(0, min(message.stderr_bytes, INT63)),
        truncated=message.truncated,
        cancel=_small(message.cancel),
        result=_small(message.result),
    )


def _within(value: int | None, limit: int) -> int | None:
    return None if value is None else max(-limit, min(limit, value))


def _small(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """`value` unless it is too large to be kept beside the task."""
    if not value:
        return {}
    if too_deep(value):
        return {"left_out": "it nests too deeply"}
    size = len(json.dumps(value))
    return value if size <= MAP_BYTES_MAX else {"left_out_bytes": size}

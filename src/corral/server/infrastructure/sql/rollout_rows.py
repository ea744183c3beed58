"""Rows of rollouts ↔ the domain's Rollout and the room's Changes. The column list and its order live here, once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from corral.domain import kinds
from corral.domain.rollout import needs_attention
from corral.domain.rollout_state import Hold, Rollout, RolloutState, Settings, Stage
from corral.server.application.ports.rollouts import Change, Changes
from corral.server.infrastructure.sql.values import at, clean, moment, seconds, stamp

COLUMNS: Final = (
    "id",
    "name",
    "target",
    "kind",
    "line",
    "strategy",
    "settings",
    "stages",
    "pinned",
    "previous",
    "created_at",
    "created_by",
    "state",
    "hold",
    "reason",
    "approved",
    "back",
    "rollback_asked_at",
    "finished_at",
    "resource_version",
)
SELECT: Final = ", ".join(COLUMNS)
NAME_CHARS: Final = 200
_STAGES: Final = msgspec.json.Decoder(tuple[Stage, ...])
_SETTINGS: Final = msgspec.json.Decoder(Settings)


def to_rollout(row: Sequence[Any]) -> Rollout:
    """From a result row that holds COLUMNS in order."""
    (id_, name, target, kind, line, strategy, settings, stages, pinned, previous) = row[:10]
    (created_at, created_by, state, hold, reason, approved, back, asked_at, finished_at, version) = row[10:20]
    return Rollout(
        id=id_,
        name=name,
        target=target,
        kind=kind,
        line=line,
        strategy=strategy,
        settings=_SETTINGS.decode(settings),
        stages=_STAGES.decode(stages),
        pinned=pinned,
        previous=previous,
        created_at=at(created_at),
        created_by=created_by,
        state=RolloutState(state),
        hold=Hold(hold),
        reason=reason,
        approved=approved,
        back=_STAGES.decode(back),
        rollback_asked_at=moment(asked_at),
        finished_at=moment(finished_at),
        resource_version=version,
    )


def fixed_values(rollout: Rollout) -> dict[str, Any]:
    """What never changes."""
    return {
        "name": clean(rollout.name)[:NAME_CHARS],
        "target": clean(rollout.target),
        "kind": rollout.kind,
        "line": clean(rollout.line),
        "strategy": clean(rollout.strategy),
        "pinned": rollout.pinned,
        "previous": rollout.previous,
        "created_at": seconds(rollout.created_at),
        "created_by": clean(rollout.created_by)[:128],
    }


def moving_values(rollout: Rollout) -> dict[str, Any]:
    return {
        "id": rollout.id,
        "settings": _json(rollout.settings),
        "stages": _json(rollout.stages),
        "state": rollout.state.value,
        "attention": needs_attention(rollout),
        "hold": rollout.hold.value,
        "reason": clean(rollout.reason),
        "approved": rollout.approved,
        "back": _json(rollout.back),
        "rollback_asked_at": stamp(rollout.rollback_asked_at),
        "finished_at": stamp(rollout.finished_at),
    }


def _json(value: Any) -> str:
    # JSON escapes what is no text but for lone surrogates, which a node's words in a reason may hold.
    return clean(json.dumps(msgspec.to_builtins(value), separators=(",", ":"), ensure_ascii=False))


def changes_text(changes: Changes) -> str:
    parts = {"forward": changes.forward, "back": changes.back}
    return json.dumps({name: change_data(part) for name, part in parts.items() if part is not None})


def change_data(change: Change) -> dict[str, Any]:
    return {
        "kind": kinds.kind_name(change.spec),
        "spec": kinds.as_mapping(change.spec),
        "concurrency": change.concurrency,
        "retries": change.retries,
    }


def to_changes(text: str) -> Changes:
    data = json.loads(text)
    return Changes(
        forward=_change(data["forward"]), back=_change(data["back"]) if data.get("back") is not None else None
    )


def _change(data: dict[str, Any]) -> Change:
    return Change(
        spec=kinds.from_mapping(data["kind"], data["spec"]), concurrency=data["concurrency"], retries=data["retries"]
    )

"""The public Python client: `corral.connect()` and what it returns. Everything not listed in __all__ may change."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from corral.sdk.context import Context, find_context
    from corral.sdk.events import Ended, JobChanged, JobEvent, Output, Snapshot, TasksChanged
    from corral.sdk.files import FileTask
    from corral.sdk.fleet import Fleet, connect
    from corral.sdk.jobs import JobHandle, Run, Submission
    from corral.sdk.models import ApiToken, Job, JoinToken, Line, Node, Preview, Revision, Task, Why
    from corral.sdk.rollouts import NewRollout, Rollout, RolloutWhy, Stage
    from corral.sdk.sql import SqlFinding, SqlReview, SqlStatement
    from corral.sdk.sync import SyncFleet, connect_sync

__all__ = [
    "ApiToken",
    "Context",
    "Ended",
    "FileTask",
    "Fleet",
    "Job",
    "JobChanged",
    "JobEvent",
    "JobHandle",
    "JoinToken",
    "Line",
    "NewRollout",
    "Node",
    "Output",
    "Preview",
    "Revision",
    "Rollout",
    "RolloutWhy",
    "Run",
    "Snapshot",
    "SqlFinding",
    "SqlReview",
    "SqlStatement",
    "Stage",
    "Submission",
    "SyncFleet",
    "Task",
    "TasksChanged",
    "Why",
    "connect",
    "connect_sync",
    "find_context",
]

_HOME: Final = {
    "context": ("Context", "find_context"),
    "events": ("Ended", "JobChanged", "JobEvent", "Output", "Snapshot", "TasksChanged"),
    "files": ("FileTask",),
    "fleet": ("Fleet", "connect"),
    "jobs": ("JobHandle", "Run", "Submission"),
    "models": ("ApiToken", "Job", "JoinToken", "Line", "Node", "Preview", "Revision", "Task", "Why"),
    "rollouts": ("NewRollout", "Rollout", "RolloutWhy", "Stage"),
    "sql": ("SqlFinding", "SqlReview", "SqlStatement"),
    "sync": ("SyncFleet", "connect_sync"),
}
_MODULE: Final = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    """Names load their module when first used: `corral config show` needs no HTTP client."""
    if name not in _MODULE:
        raise AttributeError(f"module 'corral.sdk' has no attribute {name!r}")
    return getattr(importlib.import_module(f"corral.sdk.{_MODULE[name]}"), name)

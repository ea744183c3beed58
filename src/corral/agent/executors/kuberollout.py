"""Whether a workload is rolled out, by its own status: the rules of `kubectl rollout status`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def trouble_of(workload: Mapping[str, Any]) -> str:
    """What is still missing; empty when it is rolled out."""
    spec, status = workload.get("spec") or {}, workload.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int((workload.get("metadata") or {}).get("generation") or 0):
        return "its controller has not seen the change yet"
    if workload.get("kind") == "DaemonSet":
        wanted = int(status.get("desiredNumberScheduled") or 0)
        return _of(status, wanted, updatedNumberScheduled="updated", numberAvailable="available")
    wanted = int(spec.get("replicas", 1))
    if workload.get("kind") == "StatefulSet":
        if wanted and status.get("updateRevision") != status.get("currentRevision"):
            return f"{status.get('updatedReplicas') or 0} of {wanted} updated"
        return _of(status, wanted, readyReplicas="ready")
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return "it made no progress within its own deadline"
    trouble = _of(status, wanted, updatedReplicas="updated")
    old = int(status.get("replicas") or 0) - int(status.get("updatedReplicas") or 0)
    return (
        trouble or (f"{old} old still there" if old > 0 else "") or _of(status, wanted, availableReplicas="available")
    )


def _of(status: Mapping[str, Any], wanted: int, **fields: str) -> str:
    for field, word in fields.items():
        found = int(status.get(field) or 0)
        if found < wanted:
            return f"{found} of {wanted} {word}"
    return ""

"""Nodes as people read them: rows of the list, the page of one node, the story of its presence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from corral.cli.output.terminal import cell
from corral.cli.output.units import show_ago, show_duration, show_size, show_time
from corral.sdk.models import Node

HEADERS = ("NODE", "STATE", "SINCE", "LABELS", "GROUPS")
STRETCH_HEADERS = ("SINCE", "LASTED", "STATE", "WHY")
WIDE_HEADERS = ("NODE", "STATE", "SINCE", "WHY", "WORKER", "VERSION", "OS", "CPU", "MEMORY", "LABELS", "GROUPS")


def state(node: Node) -> str:
    """`online`, `offline`, `never seen`, `revoked`; a missing worker shows beside it."""
    if node.revoked:
        return "revoked"
    if node.presence == "unknown":
        return "never seen"
    return "online, worker down" if node.presence == "online" and node.worker == "down" else node.presence


def labels_text(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def rows(nodes: Sequence[Node], now: datetime, *, wide: bool) -> list[list[object]]:
    out: list[list[object]] = []
    for node in nodes:
        since = show_ago(node.presence_since, now)
        tail: list[object] = [labels_text(node.labels), ",".join(sorted(node.groups))]
        if not wide:
            out.append([node.id, state(node), since, *tail])
            continue
        facts = node.facts
        memory = facts.get("mem_total")
        out.append(
            [
                node.id,
                state(node),
                since,
                node.presence_reason or node.revoked_reason,
                node.worker,
                node.version,
                facts.get("os"),
                facts.get("cpus") or facts.get("cpu_count"),
                show_size(memory) if isinstance(memory, (int, float)) else None,
                *tail,
            ]
        )
    return out


def presence_story(node: Node, now: datetime) -> list[str]:
    """Where the node stands, since when, why, and what to do about it."""
    lines = [f"{node.id}: {state(node)}"]
    if node.presence_since is not None:
        lines.append(f"  since    {show_time(node.presence_since)} ({show_ago(node.presence_since, now)})")
    if node.presence_reason:
        lines.append(f"  why      {cell(node.presence_reason)}")
    if node.revoked:
        lines.append(f"  revoked  {cell(node.revoked_reason)}")
    if node.last_seen is not None:
        lines.append(f"  seen     {show_time(node.last_seen)} ({show_ago(node.last_seen, now)})")
    if node.presence == "offline" and not node.revoked:
        lines.append("  look     on the node: corral agent status; systemctl status corral-daemon")
    elif node.worker == "down":
        lines.append("  look     on the node: corral agent status (the daemon restarts its worker by itself)")
    return lines


def stretch_rows(stretches: Sequence[Mapping[str, Any]], now: datetime) -> list[list[object]]:
    """When a node was there, as the API says it; what goes on still has lasted until now."""
    out: list[list[object]] = []
    for entry in stretches:
        since = datetime.fromisoformat(entry["since"])
        until = datetime.fromisoformat(entry["until"]) if entry["until"] else now
        lasted = show_duration(int((until - since).total_seconds()))
        said = "online, worker down" if entry["worker"] == "down" else entry["presence"]
        out.append([show_time(since), lasted if entry["until"] else f"{lasted} so far", said, entry["reason"]])
    return out


def page(node: Node, now: datetime) -> str:
    lines = presence_story(node, now)
    lines += [
        f"  labels   {cell(labels_text(node.labels)) or '-'}",
        f"  groups   {cell(','.join(sorted(node.groups))) or '-'}",
        f"  agent    {cell(node.version) or '-'}, worker {node.worker}",
        f"  enrolled {show_time(node.enrolled_at)}",
    ]
    if warning := str(node.raw.get("warning") or ""):
        lines.append(f"  WARNING  {cell(warning)}")
    if node.facts:
        lines.append("  facts")
        wide = max(len(cell(key)) for key in node.facts)
        lines += [f"    {cell(key):<{wide}}  {fact(key, value)}" for key, value in sorted(node.facts.items())]
    return "\n".join(lines)


def fact(key: str, value: object) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if key.endswith(("_total", "_bytes")) and value >= 1024:
            return f"{show_size(value)} ({value})"
        if key.startswith("uptime"):
            return show_duration(float(value))
    return scalar(value)


def scalar(value: object) -> str:
    """Any JSON value on one line: `a, b` for lists, `k=v k=v` for objects, yes and no."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{cell(key)}={scalar(item)}" for key, item in value.items())
    if isinstance(value, list):
        return (
            "; ".join(scalar(item) for item in value)
            if any(isinstance(i, Mapping) for i in value)
            else ", ".join(scalar(item) for item in value)
        )
    return cell(value)

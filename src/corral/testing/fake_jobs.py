"""What a fake server knows: nodes, jobs with their event log, and what a command does on a node (`Act`)."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from corral.runtime.lifecycle import TaskSet

START: Final = datetime(2026, 11, 20, 10, 0, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Act:
    """What one node does with a command: after `seconds`, these bytes and this end. `forever`: it never ends by itself."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int | None = 0
    state: str = "succeeded"
    seconds: float = 0.0
    forever: bool = False
    reason: str = ""
    reason_text: str = ""
    signal: int | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    twice: bool = False
    """Every chunk arrives two times, the second part first."""


def default_act(node: str, body: Mapping[str, Any]) -> Act:
    """`echo …`, `false`, `sleep`; anything else succeeds silently."""
    argv = list(body.get("argv") or ())
    if argv[:1] == ["echo"]:
        return Act(stdout=" ".join(argv[1:]).encode() + b"\n")
    if argv[:1] == ["hostname"]:
        return Act(stdout=node.encode() + b"\n")
    if argv[:1] == ["false"]:
        return Act(exit_code=1, state="failed")
    if argv[:1] == ["sleep"]:
        return Act(forever=True)
    return Act()


def node(id: str, presence: str = "online", **labels: str) -> dict[str, Any]:
    """A Node as REST shows it."""
    return {
        "id": id,
        "presence": presence,
        "presence_since": iso_text(START),
        "presence_reason": "" if presence == "online" else "connection closed",
        "worker": "up" if presence == "online" else "unknown",
        "labels": labels,
        "groups": [],
        "facts": {"hostname": id, "os": "Debian GNU/Linux 12", "mem_total": 2 << 30, "cpus": 2, "kernel": "6.1.0"},
        "last_seen": iso_text(START),
        "enrolled_at": iso_text(START),
        "version": "0.1.0",
        "revoked": False,
        "revoked_reason": "",
        "resource_version": 1,
    }


@dataclass
class FakeJob:
    data: dict[str, Any]
    body: dict[str, Any]
    tasks: dict[str, dict[str, Any]]
    log: list[tuple[str, Any]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    busy: int = 0
    """Commands that will end by themselves."""

    def emit(self, event: str, data: Any) -> None:
        self.log.append((event, json.loads(json.dumps(data))))
        self.changed.set()
        self.changed = asyncio.Event()

    def output(self, name: str, stream: str) -> bytes:
        parts: dict[int, bytes] = {}
        for event, data in self.log:
            if event == "output" and (data["node"], data["stream"]) == (name, stream):
                parts[data["offset"]] = base64.b64decode(data["data"])
        return b"".join(parts[at] for at in sorted(parts))

    def with_tasks(self, query: Mapping[str, str]) -> dict[str, Any]:
        states = query["states"].split(",") if "states" in query else None
        tasks = [dict(task) for task in self.tasks.values() if states is None or task["state"] in states]
        if "with_output" in query:
            for task in tasks:
                for stream in ("stdout", "stderr"):
                    task[stream] = self.output(task["node"], stream)[: 64 << 10].decode(errors="replace")
        return {**self.data, "tasks": tasks}

    def start(self, owner: TaskSet, act: Callable[[str, Mapping[str, Any]], Act]) -> None:
        for name, task in self.tasks.items():
            if task["state"] == "queued" and task["reason"] != "offline":
                self.busy += 1
                owner.start(self._perform(task, act(name, self.body)), name=name)

    async def _perform(self, task: dict[str, Any], act: Act) -> None:
        try:
            await self._act(task, act)
        finally:
            self.busy -= 1

    async def _act(self, task: dict[str, Any], act: Act) -> None:
        task.update(state="running", reason="", started_at=iso_text(START))
        self.emit("task", {"tasks": [task]})
        for stream, data in (("stdout", act.stdout), ("stderr", act.stderr)):
            half = len(data) // 2 if act.twice else 0
            chunks = [(half, data[half:]), (0, data[:half]), (half, data[half:])] if act.twice else [(0, data)]
            for offset, chunk in chunks if data else ():
                text = base64.b64encode(chunk).decode()
                row = {"node": task["node"], "attempt": task["attempt"], "stream": stream, "offset": offset}
                self.emit("output", {**row, "data": text, "skipped": 0})
        if act.forever:
            return
        await asyncio.sleep(act.seconds)
        if task["state"] != "running":
            return
        task.update(
            state=act.state,
            exit_code=act.exit_code,
            signal=act.signal,
            reason=act.reason,
            reason_text=act.reason_text,
            finished_at=iso_text(START + timedelta(seconds=act.seconds)),
            stdout_bytes=len(act.stdout),
            stderr_bytes=len(act.stderr),
            result=dict(act.result),
        )
        self.emit("task", {"tasks": [task]})
        self.count()

    def count(self) -> None:
        counts: dict[str, int] = {}
        for task in self.tasks.values():
            counts[task["state"]] = counts.get(task["state"], 0) + 1
        self.data["counts"] = counts
        if not counts.keys() & {"queued", "delivered", "running"}:
            cancelled = self.data["cancel_asked"] and counts.keys() <= {"succeeded", "cancelled"}
            good = "succeeded" if counts.keys() == {"succeeded"} else "cancelled" if cancelled else "failed"
            self.data.update(state=good, finished_at=iso_text(START + timedelta(seconds=1)))
        self.emit("job", self.data)

    def cancel(self, nodes: list[str] | None) -> dict[str, Any]:
        self.data["cancel_asked"] = True
        for name, task in self.tasks.items():
            if task["state"] in ("queued", "running") and (not nodes or name in nodes):
                reason = "killed" if task["state"] == "running" else "withdrawn"
                task.update(state="cancelled", reason=reason, finished_at=iso_text(START))
                self.emit("task", {"tasks": [task]})
        self.count()
        return self.with_tasks({})

    def retry(
        self, nodes: list[str] | None, owner: TaskSet, act: Callable[[str, Mapping[str, Any]], Act]
    ) -> dict[str, Any]:
        for name, task in self.tasks.items():
            if task["state"] not in ("queued", "running", "succeeded") and (not nodes or name in nodes):
                task.update(new_task(name, online=True), attempt=task["attempt"] + 1)
        self.data.update(state="open", finished_at=None)
        accepted = self.with_tasks({})
        self.start(owner, act)
        return accepted


def new_task(name: str, *, online: bool) -> dict[str, Any]:
    return {
        "node": name,
        "state": "queued",
        "reason": "dispatched" if online else "offline",
        "reason_text": "" if online else "the node is offline; it gets the task when it connects",
        "detail": "",
        "exit_code": None,
        "signal": None,
        "attempt": 1,
        "queued_at": iso_text(START),
        "delivered_at": None,
        "started_at": None,
        "finished_at": None,
        "stdout": None,
        "stderr": None,
        "stdout_bytes": 0,
        "stderr_bytes": 0,
        "truncated": False,
        "unreachable": False,
        "cancel_asked": False,
        "cancel": {},
        "result": {},
        "late": {},
    }


def iso_text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Rollouts: create them, look at them, follow and steer them."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Self

from corral.domain.errors import Invalid
from corral.sdk.api import Api, part
from corral.sdk.models import Answer

OVER: Final = ("succeeded", "failed", "rolled_back")


@dataclass(frozen=True, kw_only=True)
class Stage(Answer):
    """One stage; `index` counts from 1. `counts`: task state → number of nodes, empty while it has not started."""

    index: int = 0
    name: str = ""
    nodes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    gate: str = "pending"
    why: str = ""
    job: str | None = None
    started_at: datetime | None = None
    deadline_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Rollout(Answer):
    """A rollout. `offline`, `labels` and `comparison` (with the last one of the same name) come with its creation only."""

    rollout: str = ""
    name: str = ""
    state: str = ""
    stage: int = 0
    stages: tuple[Stage, ...] = ()
    pinned: str = ""
    rollback: tuple[Stage, ...] = ()
    hold: str = ""
    reason: str = ""
    target: str = ""
    change: str = ""
    strategy: str = ""
    nodes: int = 0
    created_at: datetime | None = None
    created_by: str = ""
    finished_at: datetime | None = None
    offline: tuple[str, ...] = ()
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    comparison: Mapping[str, Any] | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        stages = {key: tuple(Stage.from_json(stage) for stage in data.get(key) or ()) for key in ("stages", "rollback")}
        plain = {key: value for key, value in data.items() if key not in stages}
        made = super().from_json(plain)
        return cls(**{**vars(made), **stages, "raw": data})

    @property
    def over(self) -> bool:
        return self.state in OVER

    @property
    def succeeded(self) -> bool:
        return self.state == "succeeded"


@dataclass(frozen=True, kw_only=True)
class NewRollout:
    """What to bring where, in which stages. None = the server's default. Times are seconds.

    `strategy`: `percentage:10,30,100`, `count:2,5,0`, `groups:LABEL`, or a list of selectors, one for each stage. `change`: the parts
    of a job (argv, shell, script, file …). `gates`: as REST takes them; `gate()` makes one of a text.
    """

    name: str
    target: str
    strategy: str | Sequence[str]
    change: Mapping[str, Any]
    timeout: float | None = None
    stage_deadline: float | None = None
    max_failed: str | int | None = None
    max_unreachable: str | int | None = None
    gates: Sequence[Mapping[str, Any]] = ()
    on_failure: str | None = None
    auto_advance: bool = False
    advance_interval: float | None = None
    rollback_command: Mapping[str, Any] | None = None
    pinned: str | None = None

    def body(self) -> dict[str, Any]:
        given = {key: value for key, value in vars(self).items() if value is not None}
        return {
            **given,
            "strategy": strategy(self.strategy),
            "gates": [dict(gate) for gate in self.gates],
            "change": dict(self.change),
        }


def strategy(given: str | Sequence[str]) -> dict[str, Any]:
    """The REST form; raises Invalid."""
    if not isinstance(given, str):
        return {"kind": "selectors", "values": list(given)}
    kind, colon, values = given.partition(":")
    if not colon or kind not in ("percentage", "count", "groups"):
        raise Invalid(
            f"cannot use {given[:60]!r} as a strategy: expected percentage:…, count:… or groups:LABEL",
            element="strategy",
            hint="for example percentage:10,30,60,100 or count:2,5,10,0 or groups:rack",
        )
    return {"kind": kind, "values": [value.strip() for value in values.split(",")]}


def _task_gate(text: str) -> dict[str, Any] | None:
    kind, _, params = text.partition(":")
    try:
        found = json.loads(params or "{}")
    except ValueError:
        return None
    return {"kind": "task", "task": kind, "params": found} if kind and isinstance(found, dict) else None


def gate(text: str) -> dict[str, Any]:
    """`exit`, `online`, `command:LINE` (a line for /bin/sh), `task:KIND:{params}`, an http(s) URL → the REST form; raises Invalid."""
    if text in ("exit", "online"):
        return {"kind": text}
    if text.startswith(("http://", "https://")):
        return {"kind": "http", "url": text}
    word, colon, line = text.partition(":")
    if word == "command" and colon and line.strip():
        return {"kind": "command", "shell": line}
    if word == "task" and (gated := _task_gate(line)) is not None:
        return gated
    raise Invalid(
        f"cannot use {text[:60]!r} as a gate: expected exit, online, command:LINE, task:KIND:{{params}} or an http(s) URL",
        element="gate",
        hint="--gate online --gate 'command:systemctl is-active app' --gate https://app.example/healthz",
    )


@dataclass(frozen=True, kw_only=True)
class RolloutWhy(Answer):
    """Why a rollout stands where it stands, in lines for people."""

    rollout: str = ""
    state: str = ""
    lines: tuple[str, ...] = ()


class Rollouts:
    """`fleet.rollouts`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def create(self, new: NewRollout) -> Rollout:
        """Accepted = committed: when this returns the rollout is on disk at the server, and its first stage about to start."""
        return Rollout.from_json(await self._api.call("POST", "/rollouts", body=new.body()))

    async def preview(self, new: NewRollout) -> Rollout:
        """What `create` would make; nothing starts."""
        return Rollout.from_json(await self._api.call("POST", "/rollouts", body={**new.body(), "dry_run": True}))

    async def get(self, rollout: str) -> Rollout:
        return Rollout.from_json(await self._api.call("GET", f"/rollouts/{part(rollout)}"))

    async def list(self, *, limit: int | None = 50, states: Sequence[str] = ()) -> list[Rollout]:
        """Newest first, without counts."""
        rows = await self._api.pages("/rollouts", query={"states": tuple(states) or None}, limit=limit)
        return [Rollout.from_json(row) for row in rows]

    async def advance(self, rollout: str) -> Rollout:
        """Let the next stage start. Raises WrongState while the gate of the one before has not passed."""
        return await self._steer(rollout, "advance")

    async def pause(self, rollout: str) -> Rollout:
        return await self._steer(rollout, "pause")

    async def resume(self, rollout: str) -> Rollout:
        return await self._steer(rollout, "resume")

    async def abort(self, rollout: str) -> Rollout:
        """Stop for good: no new stage, the tasks of the current one are cancelled. What was done stays; roll_back takes it back."""
        return await self._steer(rollout, "abort")

    async def roll_back(self, rollout: str, command: Mapping[str, Any] | None = None) -> Rollout:
        """`command`: {"argv": […]} or {"shell": "…"}, what undoes it on each node."""
        return await self._steer(rollout, "rollback", {} if command is None else {"command": dict(command)})

    async def _steer(self, rollout: str, verb: str, body: Mapping[str, Any] | None = None) -> Rollout:
        return Rollout.from_json(await self._api.call("POST", f"/rollouts/{part(rollout)}/{verb}", body=body or {}))

    async def why(self, rollout: str) -> RolloutWhy:
        return RolloutWhy.from_json(await self._api.call("GET", f"/rollouts/{part(rollout)}/why"))

    async def follow(self, rollout: str) -> AsyncGenerator[Rollout, None]:
        """As it is now, then each time something changes, until it is over."""
        async with aclosing(self._api.stream(f"/rollouts/{part(rollout)}/events")) as stream:
            async for event in stream:
                if event.event in ("rollout", "end"):
                    yield Rollout.from_json(json.loads(event.data))

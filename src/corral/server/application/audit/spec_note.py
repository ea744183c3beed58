"""The guard that refuses nothing: it writes down what is going to be submitted, before any other guard has a say.

Of a request it becomes part of the entry, whatever comes of it. What the server submits by itself in somebody's name (the stages of
a rollout) gets an entry of its own, once, with the outcome `asked`: the job carries the stage's name.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from corral.domain.approval import spec_hash
from corral.domain.audit import redacted
from corral.domain.job import JobSpec, pinned_hash
from corral.domain.kinds import as_mapping, kind_name
from corral.runtime.clock import Clock
from corral.server.application.audit import about
from corral.server.application.ports.access import AuditEntry, Caller
from corral.server.application.ports.guards import Hold

TEXT_CHARS: Final = 16 << 10
"""Of a longer spec the beginning is kept; its hash is of all of it."""
ASKED: Final = "asked"
_NOTED_MAX: Final = 1000


class SpecNote:
    """First of the guards, so that a refused attempt says what it was about too."""

    def __init__(self, *, record: Callable[[AuditEntry], Awaitable[None]], clock: Clock) -> None:
        self._record = record
        self._clock = clock
        self._noted: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def check(self, caller: Caller, spec: JobSpec, nodes: Sequence[str]) -> Hold | None:
        details = {
            "kind": kind_name(spec.command),
            "spec_hash": spec_hash(spec.command),
            "spec": shown(as_mapping(spec.command)),
            "node_count": len(nodes),
            "pinned": pinned_hash(nodes),
        }
        if about.serving():
            about.add(**details)
        else:
            await self._alone(caller, spec, details)
        return None

    async def _alone(self, caller: Caller, spec: JobSpec, details: Mapping[str, Any]) -> None:
        key = (spec.name, f"{details['pinned']} {details['spec_hash']}")
        if key in self._noted:
            return
        await self._record(
            AuditEntry(
                at=self._clock.now(),
                actor=caller.name,
                address="",
                action=f"{caller.kind} submits",
                target=spec.name,
                outcome=ASKED,
                status=0,
                details={"target": spec.target, **details},
            )
        )
        self._noted[key] = None
        if len(self._noted) > _NOTED_MAX:
            self._noted.popitem(last=False)


def shown(data: Mapping[str, Any]) -> str:
    """The spec as JSON, redacted; a long one is cut."""
    text = json.dumps(redacted({k: v for k, v in data.items() if v not in (None, "", [], {}, ())}), default=str)
    return text if len(text) <= TEXT_CHARS else f"{text[:TEXT_CHARS]}... ({len(text)} characters)"

"""The guard that refuses nothing: it writes down what was going to be submitted, before any other guard has a say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from corral.domain.approval import spec_hash
from corral.domain.audit import redacted
from corral.domain.job import JobSpec, pinned_hash
from corral.domain.kinds import as_mapping, kind_name
from corral.server.application.audit import about
from corral.server.application.ports.access import Caller
from corral.server.application.ports.guards import Hold

TEXT_CHARS: Final = 16 << 10
"""Of a longer spec the beginning is kept; its hash is of all of it."""


class SpecNote:
    """First of the guards, so that a refused attempt says what it was about too."""

    async def check(self, caller: Caller, spec: JobSpec, nodes: Sequence[str]) -> Hold | None:
        data = as_mapping(spec.command)
        about.add(
            kind=kind_name(spec.command),
            spec_hash=spec_hash(spec.command),
            spec=shown(data),
            node_count=len(nodes),
            pinned=pinned_hash(nodes),
        )
        return None


def shown(data: Mapping[str, Any]) -> str:
    """The spec as JSON, redacted; what is at its default or long is cut."""
    text = json.dumps(redacted({k: v for k, v in data.items() if v not in (None, "", [], {}, ())}), default=str)
    return text if len(text) <= TEXT_CHARS else f"{text[:TEXT_CHARS]}... ({len(text)} characters)"

"""The nodes room as one value: what REST handlers receive under the name `nodes`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from corral.server.application.nodes.enrolment import Enrolment
from corral.server.application.nodes.labels import Labelling
from corral.server.application.nodes.presence import PresenceKeeper
from corral.server.application.nodes.registry import Registry
from corral.server.application.nodes.removal import Removal
from corral.server.application.nodes.samples import Samples
from corral.server.application.nodes.sight import NodeSight
from corral.server.application.nodes.timeline import Timeline
from corral.server.application.nodes.tokens import JoinTokens
from corral.server.application.ports.access import Caller
from corral.server.application.ports.nodes import NodeRpc


@dataclass(frozen=True, kw_only=True)
class NodeRoom:
    fleet: Registry
    enrolment: Enrolment
    labels: Labelling
    removal: Removal
    samples: Samples
    tokens: JoinTokens
    presence: PresenceKeeper
    timeline: Timeline
    rpc: NodeRpc

    @property
    def sight(self) -> NodeSight:
        """The fleet as one caller sees it."""
        return NodeSight(self.fleet)

    async def status(self, caller: Caller, node: str) -> Mapping[str, Any]:
        """What the node itself says now. Raises NotFound, Unavailable."""
        self.sight.get(caller, node)
        answer = await self.rpc.call(node, "status", {})
        return answer if isinstance(answer, dict) else {"status": answer}

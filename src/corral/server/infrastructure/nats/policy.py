"""The policy on its way down: signed for one node when it is sent, on its own or inside the answer of a sync."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from corral.bus.port import Wire
from corral.domain.policy_rules import FleetPolicy
from corral.protocol import codec, subjects
from corral.protocol.messages import PolicyMessage
from corral.protocol.signing import Signer, seal
from corral.runtime.clock import Clock

VALID_SECONDS: Final = 86400.0
Rules = Sequence[Mapping[str, Any]]
Lacking = Callable[[str, int], Awaitable[tuple[FleetPolicy, Rules] | None]]
"""Node and its revision → what it lacks."""


class NatsPolicyDown:
    """Implements ports.policies.PolicyDown."""

    def __init__(self, *, wire: Wire, signer: Signer, clock: Clock) -> None:
        self._wire = wire
        self._signer = signer
        self._clock = clock

    async def push(self, rules: Mapping[str, Rules], *, revision: int, mode: str) -> None:
        for node, of_node in rules.items():
            wire = self.sealed(node, of_node, revision=revision, mode=mode)
            await self._wire.publish(subjects.down(node, "policy"), wire)

    def sealed(self, node: str, rules: Rules, *, revision: int, mode: str) -> bytes:
        now = self._clock.wall()
        message = PolicyMessage(
            kid=self._signer.key_id,
            node=node,
            revision=revision,
            issued=now,
            not_after=now + VALID_SECONDS,
            rules=[dict(rule) for rule in rules],
            mode=mode,
        )
        return seal(self._signer, "policy", codec.encode(message))

    def for_sync(self, lacking: Lacking) -> Callable[[str, int], Awaitable[str | None]]:
        """What the answer of a sync carries."""

        async def found(node: str, revision: int) -> str | None:
            lacks = await lacking(node, revision)
            if lacks is None:
                return None
            policy, rules = lacks
            return self.sealed(node, rules, revision=policy.revision, mode=policy.mode.value).decode()

        return found

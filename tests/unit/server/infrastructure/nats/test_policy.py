"""The policy on its way down: each node's own message, signed, and the same in the answer of a sync."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from corral.bus.memory import MemoryBus
from corral.domain.policy import Mode
from corral.domain.policy_rules import FleetPolicy
from corral.protocol.codec import from_mapping
from corral.protocol.messages import PolicyMessage
from corral.protocol.signing import open_sealed
from corral.runtime.crypto import ed25519_verify
from corral.server.infrastructure.nats.policy import VALID_SECONDS, NatsPolicyDown
from corral.testing.clock import FakeClock

RULES = [{"id": "a", "effect": "deny", "match": {"program": ["x"]}}]


class Key:
    key_id = "T1"

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


def opened(wire: bytes, key: Key) -> PolicyMessage:
    body = open_sealed(wire, "policy", {key.key_id: key.public}, lambda body: json.loads(body)["kid"], ed25519_verify)
    return from_mapping(PolicyMessage, json.loads(body))


async def test_each_node_gets_its_own_signed_message() -> None:
    bus, key, clock = MemoryBus(), Key(), FakeClock()
    heard: list[tuple[str, bytes]] = []
    bus.hear("corral.down.>", lambda subject, data: heard.append((subject, data)))
    down = NatsPolicyDown(wire=bus.wire, signer=key, clock=clock)
    await down.push({"web-1": RULES, "db-1": []}, revision=7, mode="allow-list")
    assert [subject for subject, _ in heard] == ["corral.down.web-1.policy", "corral.down.db-1.policy"]
    first, second = (opened(data, key) for _, data in heard)
    assert (first.node, first.revision, first.mode, first.rules) == ("web-1", 7, "allow-list", RULES)
    assert (second.node, second.rules) == ("db-1", [])
    assert first.not_after == clock.wall() + VALID_SECONDS


async def test_the_answer_of_a_sync_carries_it_only_when_the_node_lacks_it() -> None:
    key = Key()
    down = NatsPolicyDown(wire=MemoryBus().wire, signer=key, clock=FakeClock())

    async def lacking(node: str, revision: int) -> tuple[FleetPolicy, Sequence[Mapping[str, Any]]] | None:
        return None if revision >= 3 else (FleetPolicy(revision=3, mode=Mode.DENY_LIST), RULES)

    found = down.for_sync(lacking)
    assert await found("web-1", 3) is None
    wire = await found("web-1", 2)
    assert wire is not None
    message = opened(wire.encode(), key)
    assert (message.node, message.revision, message.mode) == ("web-1", 3, "deny-list")

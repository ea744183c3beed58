"""Questions to a live node: what it is sent is what it verifies; every failure is Unavailable and says why."""

from __future__ import annotations

import json

import pytest

from corral.bus.memory import MemoryBus
from corral.domain.errors import Invalid, Unavailable
from corral.protocol.codec import decode
from corral.protocol.messages import RpcRequest
from corral.protocol.signing import open_sealed
from corral.runtime.crypto import ed25519_verify
from corral.server.infrastructure.nats.rpc import KIND, SignedRpc
from corral.server.infrastructure.pki.signing import KeyRing
from corral.testing.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_a_node_verifies_the_question_and_its_answer_comes_back(clock: FakeClock) -> None:
    bus, ring = MemoryBus(clock=clock), KeyRing.create(clock)
    asked: list[RpcRequest] = []

    def serve(subject: str, wire: bytes) -> bytes:
        body = open_sealed(wire, KIND, ring.public(), lambda raw: str(json.loads(raw)["kid"]), ed25519_verify)
        asked.append(decode(RpcRequest, body))
        return b'{"result": {"worker": "up"}}'

    bus.answer("corral.rpc.web-1.status", serve)
    rpc = SignedRpc(wire=bus.wire, signer=ring, clock=clock)
    assert await rpc.call("web-1", "status", {"full": True}) == {"worker": "up"}
    request = asked[0]
    assert (request.node, request.method, request.params) == ("web-1", "status", {"full": True})
    assert request.not_after == clock.wall() + 30


@pytest.mark.parametrize("answer", [b"", b"[]", b"{}", b'{"error": "no such file"}', b"\xff"])
async def test_an_answer_that_is_none_is_unavailable(clock: FakeClock, answer: bytes) -> None:
    bus = MemoryBus(clock=clock)
    bus.answer("corral.rpc.web-1.>", lambda subject, wire: answer)
    rpc = SignedRpc(wire=bus.wire, signer=KeyRing.create(clock), clock=clock)
    with pytest.raises(Unavailable, match="web-1"):
        await rpc.call("web-1", "status", {})


async def test_a_node_that_is_not_there_is_said_so_and_unknown_methods_are_invalid(clock: FakeClock) -> None:
    rpc = SignedRpc(wire=MemoryBus(clock=clock).wire, signer=KeyRing.create(clock), clock=clock)
    with pytest.raises(Unavailable, match="not connected"):
        await rpc.call("web-1", "status", {})
    with pytest.raises(Invalid):
        await rpc.call("web-1", "reboot", {})

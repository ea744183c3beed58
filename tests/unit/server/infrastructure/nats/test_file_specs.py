"""File specs on the way down: the blob is put in there and nowhere else, labels go along where they are asked for."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from corral.bus.memory import MemoryBus
from corral.domain.artifact import Blob, FileOp, FileSpec, from_mapping
from corral.protocol import codec
from corral.protocol.messages import TaskMessage
from corral.server.application.ports.jobs import Delivery
from corral.server.infrastructure.nats.down import NatsDown
from corral.server.infrastructure.nats.specs import PLACED_SECONDS, WireSpecs
from corral.testing.clock import FakeClock

SPEC = FileSpec(op=FileOp.APPLY, source="a", revision=1, digest="a" * 64, size=5, dest="/etc/a", owner="www")


class Key:
    key_id = "T1"

    def sign(self, data):
        return b"s" * 64


class Places:
    def __init__(self):
        self.nuid = "N1"
        self.asked = 0

    async def place(self, digest, size):
        self.asked += 1
        return Blob(nuid=self.nuid, key=b"k" * 32, chunks=1)


@pytest.fixture
def places():
    return Places()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def down(clock, places):
    bus, key = MemoryBus(), Key()
    specs = WireSpecs(objects=bus.objects, signer=key, place=places.place, clock=clock)
    labels = {"n1": {"role": 'we"b'}}
    return NatsDown(wire=bus.wire, specs=specs, signer=key, clock=clock, labels=lambda node: labels.get(node, {}))


def delivery(clock, spec=SPEC, **fields):
    base = {
        "job": "J" + "0" * 18,
        "node": "n1",
        "attempt": 1,
        "kind": "file",
        "not_after": clock.now() + timedelta(hours=1),
    }
    return Delivery(spec=spec, **{**base, **fields})


async def sent(down, task):
    body = (await down.sealed(task)).partition(b"\n")[2]
    return codec.decode(TaskMessage, body)


async def test_the_task_says_where_the_bytes_are_and_what_must_be_understood(down, clock):
    message = await sent(down, delivery(clock))
    assert message.kind == "file"
    assert from_mapping(message.spec) == replace(SPEC, blob=Blob(nuid="N1", key=b"k" * 32, chunks=1))
    assert {"spec.blob", "spec.owner", "spec.digest"} <= set(message.must)
    assert message.labels == {} and "labels" not in message.must


async def test_labels_travel_when_the_destination_asks_for_one(down, clock):
    spec = replace(SPEC, dest="/srv/{{ labels.role }}/a")
    message = await sent(down, delivery(clock, spec))
    assert message.labels == {"role": 'we"b'}
    assert "labels" in message.must
    assert (await sent(down, delivery(clock, spec, node="n2"))).labels == {}


async def test_a_thousand_tasks_look_the_place_up_once_and_a_later_one_again(down, clock, places):
    for number in range(1000):
        await down.sealed(delivery(clock, node=f"n{number}"))
    assert places.asked == 1
    places.nuid = "N2"
    await clock.advance(PLACED_SECONDS)
    assert (await sent(down, delivery(clock))).spec["blob"]["nuid"] == "N2"


async def test_only_an_apply_needs_bytes(down, clock, places):
    message = await sent(down, delivery(clock, FileSpec(op=FileOp.DELETE, dest="/x")))
    assert "blob" not in message.spec
    assert places.asked == 0
    assert json.loads(json.dumps(message.spec))["op"] == "delete"

import base64
import hashlib
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from corral.bus.memory import MemoryBus
from corral.domain.job import CommandSpec, as_mapping, from_mapping
from corral.protocol import codec
from corral.protocol.messages import CancelMessage, ReceiptMessage, TaskMessage
from corral.protocol.signing import open_sealed
from corral.protocol.subjects import ARTIFACTS
from corral.runtime.crypto import ed25519_verify
from corral.server.application.ports.jobs import Delivery
from corral.server.infrastructure.nats.down import NatsDown
from corral.server.infrastructure.nats.specs import WireSpecs
from corral.testing.clock import FakeClock

JOB = "J" + "0" * 18


class Key:
    key_id = "T1"

    def __init__(self):
        self._key = Ed25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, data):
        return self._key.sign(data)


@pytest.fixture
def key():
    return Key()


@pytest.fixture
def bus():
    return MemoryBus()


@pytest.fixture
def heard(bus):
    messages = []
    bus.hear("corral.down.>", lambda subject, data: messages.append((subject, data)))
    return messages


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def down(bus, key, clock):
    return NatsDown(wire=bus.wire, specs=WireSpecs(objects=bus.objects, signer=key), signer=key, clock=clock)


def delivery(spec=None, **changes):
    given = {
        "job": JOB,
        "node": "web-1",
        "attempt": 1,
        "kind": "exec",
        "spec": spec or CommandSpec(argv=("echo", 'a "quoted" é\n')),
        "not_after": datetime(2030, 1, 1, tzinfo=UTC),
    }
    return Delivery(**{**given, **changes})


def opened(wire, kind, key, message):
    body = open_sealed(wire, kind, {key.key_id: key.public}, lambda b: json.loads(b)["kid"], ed25519_verify)
    return codec.decode(message, body)


async def test_a_pushed_task_is_signed_for_its_node_and_holds_the_whole_spec(down, heard, key, clock):
    spec = CommandSpec(argv=("echo", 'é\u2028"\\'), user="app", env={"A": "1"}, stdin=b"\0\xff")
    await down.push([delivery(spec)])
    [(subject, wire)] = heard
    task = opened(wire, "task", key, TaskMessage)
    assert subject == "corral.down.web-1.task"
    assert (task.v, task.node, task.job, task.attempt, task.kind) == (1, "web-1", JOB, 1, "exec")
    assert from_mapping(task.spec) == spec
    assert {"spec.user", "spec.env", "spec.stdin", "spec.argv", "spec.timeout"} <= set(task.must)
    assert "spec.cwd" not in task.must
    assert (task.issued, task.not_after) == (clock.wall(), datetime(2030, 1, 1, tzinfo=UTC).timestamp())


async def test_what_a_spec_only_names_goes_into_the_message_alone_and_the_node_has_to_know_it(bus, heard, key, clock):
    asked = []

    async def private(spec):
        asked.append(spec)
        return {"secrets": {"PW": 'k"9'}}

    down = NatsDown(
        wire=bus.wire, specs=WireSpecs(objects=bus.objects, signer=key), signer=key, clock=clock, private=private
    )
    named = CommandSpec(argv=("cat",), stdin=b"{{ secret.PW }}")
    await down.push([delivery(named), delivery(node="web-2", job="J" + "1" * (len(JOB) - 1))])
    first, second = (opened(wire, "task", key, TaskMessage) for _, wire in heard)
    assert first.private == {"secrets": {"PW": 'k"9'}}
    assert "private" in first.must
    assert 'k"9' not in str(first.spec)
    assert (second.private, "private" in second.must, asked) == ({}, False, [named])


async def test_a_cancel_stays_valid_long_after_the_task_could_have_been_delivered(down, heard, key, clock):
    await down.push([delivery(cancel=True, not_after=clock.now())])
    [(subject, wire)] = heard
    cancel = opened(wire, "cancel", key, CancelMessage)
    assert subject == "corral.down.web-1.cancel"
    assert cancel.not_after > clock.wall() + 3600


async def test_a_large_spec_travels_as_one_sealed_object_for_all_its_tasks(down, heard, key, bus):
    spec = CommandSpec(argv=("cat",), stdin=b"\1" * 300_000)
    await down.push([delivery(spec, node=f"n{i}") for i in range(3)])
    tasks = [opened(wire, "task", key, TaskMessage) for _, wire in heard]
    sealed = tasks[0].spec["sealed"]
    assert all(task.spec["sealed"] == sealed for task in tasks)
    assert all(len(wire) < 2000 for _, wire in heard)
    [(name, (nuid, stored))] = bus.blobs.items()
    assert name[0] == ARTIFACTS and JOB not in name[1]
    assert (sealed["nuid"], sealed["size"], sealed["sha256"]) == (nuid, len(stored), hashlib.sha256(stored).hexdigest())
    plain = AESGCM(base64.b64decode(sealed["key"])).decrypt(base64.b64decode(sealed["nonce"]), stored, None)
    assert json.loads(plain) == as_mapping(spec)
    assert "spec.stdin" in tasks[0].must


async def test_a_restarted_server_finds_the_sealed_spec_of_before(down, heard, key, bus, clock):
    spec = CommandSpec(script="#" * 300_000)
    await down.push([delivery(spec)])
    again = NatsDown(wire=bus.wire, specs=WireSpecs(objects=bus.objects, signer=key), signer=key, clock=clock)
    await again.push([delivery(spec)])
    first, second = (opened(wire, "task", key, TaskMessage).spec for _, wire in heard)
    assert first == second
    assert len(bus.blobs) == 1


async def test_dropping_a_job_removes_its_sealed_spec(bus, key):
    specs = WireSpecs(objects=bus.objects, signer=key)
    await specs.get(JOB, CommandSpec(script="#" * 300_000))
    await specs.drop(JOB)
    assert bus.blobs == {}
    assert specs.cached(JOB) is None


async def test_receipts_of_a_node_travel_together(down, heard):
    await down.receipt({"web-1": ["a", "b"], "web-2": ["c"]})
    receipts = {subject: codec.decode(ReceiptMessage, data).tokens for subject, data in heard}
    assert receipts == {"corral.down.web-1.receipt": ["a", "b"], "corral.down.web-2.receipt": ["c"]}


async def test_a_poke_is_an_empty_sync(down, heard):
    await down.poke(["web-1"])
    assert heard == [("corral.down.web-1.sync", b"")]

"""Memory and speed of a worker while files arrive, as it runs: from the zipapp, over TLS, from a real engine (design section 6)."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corral.bus.jetstream import JetStreamEngine
from corral.protocol import subjects
from corral.protocol.codec import encode
from corral.protocol.messages import TaskMessage
from corral.protocol.signing import seal
from corral.runtime.clock import SystemClock
from corral.runtime.crypto import ed25519_public, ed25519_sign
from corral.testing.blobs import SealedBlob
from corral.testing.node_machine import NodeMachine, tls_engine

pytestmark = pytest.mark.engine
WORKER_BYTES = 50_000_000
SEED = b"T" * 32
SECONDS = 30.0


class Signer:
    key_id = "k1"

    def sign(self, data: bytes) -> bytes:
        return ed25519_sign(SEED, data)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[NodeMachine]:
    machine = NodeMachine(tmp_path)
    yield machine
    machine.close()


async def send(server: JetStreamEngine, node: str, job: str, **spec: Any) -> None:
    now = SystemClock(0).wall()
    message = TaskMessage(
        kid=Signer.key_id,
        node=node,
        job=job,
        attempt=1,
        kind="file",
        spec={"timeout": 60.0, "grace": 1.0, "max_output": 1 << 20, **spec},
        issued=now,
        not_after=now + 300,
    )
    await server.wire.publish(subjects.down(node, "task"), seal(Signer(), "task", encode(message)))


async def until_there(*paths: Path) -> None:
    async with asyncio.timeout(SECONDS):
        while not all(path.exists() for path in paths):  # another process makes them
            await asyncio.sleep(0.005)


def peak(pid: int) -> int:
    """The most memory the process ever had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


async def test_a_worker_stays_within_its_budget_while_large_files_come_and_go(
    machine: NodeMachine, tmp_path: Path
) -> None:
    async with tls_engine(tmp_path) as (engine, ca_pem):
        server = await engine.connect()
        machine.enrol(engine, ca_pem=ca_pem, keys={Signer.key_id: ed25519_public(SEED)})
        blob = await SealedBlob.of(os.urandom(64 << 20)).put(server.objects)
        child = machine.start("worker")
        await machine.until("worker", lambda status: status["linked"])

        clock = SystemClock(0)
        began = clock.monotonic()
        await send(server, machine.node_id, "J1", op="apply", source="x", dest=str(tmp_path / "one"), **blob.spec())
        await until_there(tmp_path / "one")
        seconds = clock.monotonic() - began
        assert hashlib.sha256((tmp_path / "one").read_bytes()).hexdigest() == blob.digest
        assert peak(child.pid) < WORKER_BYTES, f"one file: {peak(child.pid) / 1e6:.1f} MB"
        # the goal is 100 MB/s on an idle machine; the machine of the tests is not
        assert blob.size / seconds > 20e6, f"{blob.size / seconds / 1e6:.0f} MB/s"

        # from the cache, hashed again; two others on their way at once; and the first sent back up
        others = [await SealedBlob.of(os.urandom(16 << 20)).put(server.objects) for _ in range(2)]
        await send(server, machine.node_id, "J2", op="apply", source="x", dest=str(tmp_path / "two"), **blob.spec())
        for number, other in enumerate(others):
            dest = str(tmp_path / f"other{number}")
            await send(server, machine.node_id, f"K{number}", op="apply", source="x", dest=dest, **other.spec())
        await send(server, machine.node_id, "L1", op="fetch", dest=str(tmp_path / "one"))
        await until_there(tmp_path / "two", tmp_path / "other0", tmp_path / "other1")
        await machine.until("worker", lambda status: not status["running"], seconds=SECONDS)
        assert peak(child.pid) < WORKER_BYTES, f"all at once: {peak(child.pid) / 1e6:.1f} MB"
        print(f"{blob.size / seconds / 1e6:.0f} MB/s to disk, peak {peak(child.pid) / 1e6:.1f} MB")

"""Daemon and worker as real processes: neither is the other's child, the keeper brings a killed worker back, a stop is clean."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.agent import pidfile
from corral.agent.config import load_identity
from corral.bus.jetstream import JetStreamEngine
from corral.protocol import codec, subjects
from corral.protocol.messages import BeatMessage, FactsMessage, RpcRequest
from corral.protocol.signing import seal
from corral.runtime.clock import SystemClock
from corral.runtime.crypto import ed25519_public, ed25519_sign
from corral.testing.engine import RunningEngine
from corral.testing.node_machine import NodeMachine, tls_engine

pytestmark = pytest.mark.engine


class ServerKey:
    key_id = "k1"
    seed = bytes(range(32))

    def sign(self, data: bytes) -> bytes:
        return ed25519_sign(self.seed, data)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[NodeMachine]:
    machine = NodeMachine(tmp_path)
    yield machine
    machine.close()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_the_keeper_brings_a_killed_worker_back_and_neither_dies_with_the_other(
    machine: NodeMachine, tmp_path: Path
) -> None:
    async with tls_engine(tmp_path) as (engine, ca_pem):
        await engine.connect()
        machine.enrol(engine, ca_pem=ca_pem)
        daemon = machine.start("daemon", "--beat-seconds", "0.5")
        first = await machine.until("worker", lambda status: status["linked"])
        assert parent_of(first["pid"]) != daemon.pid
        words = Path(f"/proc/{first['pid']}/cmdline").read_bytes().split(b"\0")
        assert b"agent" in words
        assert b"worker" in words

        # A killed worker is back at once: the first restart does not wait.
        before = SystemClock(0).monotonic()
        os.kill(first["pid"], signal.SIGKILL)
        second = await machine.until("worker", lambda status: status["linked"] and status["pid"] != first["pid"])
        assert SystemClock(0).monotonic() - before < 5
        seen = await machine.until("daemon", lambda status: (status["worker"] or first)["pid"] == second["pid"])
        assert seen["worker_restarts"] == 1

        # A killed daemon leaves the worker alone, and its successor finds it.
        daemon.kill()
        daemon.wait()
        assert pidfile.read(machine.state.pid("daemon")) is None
        again = machine.start("daemon", "--beat-seconds", "0.5")
        found = await machine.until("daemon", lambda status: status["linked"] and status["worker"] is not None)
        assert found["pid"] == again.pid
        assert found["worker"]["pid"] == second["pid"]
        assert found["worker_restarts"] == 0

        # A stop is clean and is the daemon's alone.
        again.terminate()
        assert again.wait(15) == 0
        assert not machine.state.socket("daemon").exists()
        assert not machine.state.pid("daemon").exists()
        worker = pidfile.read(machine.state.pid("worker"))
        assert worker is not None
        assert worker.pid == second["pid"]


async def test_beats_facts_and_live_questions_travel_over_the_engine(machine: NodeMachine, tmp_path: Path) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        machine.enrol(engine, keys={"k1": ed25519_public(ServerKey.seed)})
        machine.start("daemon", "--keep-worker", "false", "--beat-seconds", "0.2", "--metrics-seconds", "1")
        await machine.until("daemon", lambda status: status["linked"] and status["beats"] > 1)

        now = SystemClock(0).wall()
        request = RpcRequest(kid="k1", node="web-1", method="status", issued=now, not_after=now + 30)
        wire = seal(ServerKey(), "rpc", codec.encode(request))
        answer = json.loads(await server.wire.request(subjects.rpc("web-1", "status"), wire, timeout_seconds=5))
        assert answer["result"]["daemon"]["node"] == "web-1"
        assert answer["result"]["worker"] is None

        beat = await _last(server, subjects.BEATS, subjects.up("web-1", "beat"))
        assert codec.decode(BeatMessage, beat).worker == "down"
        facts = await _last(server, subjects.FACTS, subjects.up("web-1", "facts"))
        assert codec.decode(FactsMessage, facts).facts["kernel"] == os.uname().release


async def test_after_the_engine_died_the_daemon_is_back_by_itself(machine: NodeMachine, tmp_path: Path) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        await engine.connect()
        machine.enrol(engine)
        machine.start("daemon", "--keep-worker", "false", "--beat-seconds", "0.2")
        await machine.until("daemon", lambda status: status["linked"])
        starts = engine.embedded.starts
        engine.kill()
        await engine.until_restarted(starts)
        status = await machine.until("daemon", lambda status: status["linked"] and status["reconnects"] >= 1)
        await machine.until("daemon", lambda later: later["beats"] > status["beats"])


async def test_a_second_daemon_on_the_same_state_is_told_who_has_it(machine: NodeMachine, tmp_path: Path) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        machine.enrol(engine)
        first = machine.start("daemon", "--keep-worker", "false")
        await machine.until("daemon", lambda status: status["linked"])
        done = subprocess.run(
            [sys.executable, "-S", "-E", str(machine.bundle), "agent", "daemon", "--state", str(machine.state.root)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 1
        assert f"held by pid {first.pid}" in done.stderr

        shown = subprocess.run(
            [sys.executable, "-S", "-E", str(machine.bundle), "agent", "status", "--state", str(machine.state.root)],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert shown.returncode == 1, "the worker does not run"
        assert f"pid {first.pid}" in shown.stdout
        assert "does not answer" in shown.stdout


async def test_a_node_whose_engine_shows_another_ca_says_nothing_and_keeps_trying(
    machine: NodeMachine, tmp_path: Path
) -> None:
    async with tls_engine(tmp_path) as (engine, _):
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        async with tls_engine(stranger) as (_, other_pem):
            machine.enrol(engine, ca_pem=other_pem)
            machine.start("daemon", "--keep-worker", "false")
            status = await machine.until("daemon", lambda status: "CERTIFICATE_VERIFY_FAILED" in machine.log("daemon"))
            assert not status["linked"]
            assert load_identity(machine.state).daemon_seed not in machine.log("daemon")


async def _last(server: JetStreamEngine, stream: str, subject: str) -> bytes:
    messages = await server.streams.latest(stream, 0)
    return [message.data for message in messages if message.subject == subject][-1]

"""Threats around a node's identity: stolen credentials, stolen tokens, another user on the same machine."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import pwd
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nats import errors

from corral.agent.config import StateDir, load_identity
from corral.agent.enroll import Enrolment, enroll
from corral.domain.errors import CorralError
from corral.protocol import subjects
from corral.runtime.clock import SystemClock
from corral.testing.engine import NodeCredential
from corral.testing.raw_node import RawNode
from corral.testing.real_node import RealNode
from corral.testing.sim.identities import FleetFile, make
from corral.testing.sim.main import register
from corral.testing.stack import Stack

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    async with Stack.temporary() as stack:
        yield stack


async def thief(stack: Stack, file: FleetFile, index: int = 0) -> RawNode:
    identity = file.nodes[index]
    credential = NodeCredential(
        node=identity.node_id,
        jwt=identity.jwt,
        seed=identity.seed,
        public=identity.public,
        inbox=subjects.node_inbox(identity.node_id),
    )
    return await RawNode.connect(f"nats://127.0.0.1:{stack.engine_port}", credential)


async def gone_within(node: RawNode, seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while node.connected and time.monotonic() < ends:
        await asyncio.sleep(0.01)
    return not node.connected


async def test_a_credential_without_its_seed_opens_nothing(stack: Stack) -> None:
    """Signing with another key than the one the credential names."""
    file = await register(stack.fleet, make(2, prefix="seedless"))
    stolen, own = file.nodes
    mixed = dataclasses.replace(file, nodes=[dataclasses.replace(stolen, seed=own.seed)])
    with pytest.raises((errors.Error, OSError, asyncio.TimeoutError)):
        await thief(stack, mixed)


async def test_a_stolen_credential_is_out_within_two_seconds_of_its_revocation_and_stays_out(stack: Stack) -> None:
    file = await register(stack.fleet, make(2, prefix="stolen"))
    links = [await thief(stack, file), await thief(stack, file)]
    other = await thief(stack, file, 1)
    began = time.monotonic()
    await stack.fleet.call("POST", "/nodes/stolen-00001/revoke", {"reason": "seen elsewhere"})
    for link in links:
        assert await gone_within(link, 2)
    assert time.monotonic() - began < 2
    assert other.connected
    with pytest.raises((errors.Error, OSError, asyncio.TimeoutError)):
        await thief(stack, file)
    shown = await stack.fleet.call("GET", "/nodes/stolen-00001")
    assert (shown["revoked"], shown["revoked_reason"]) == (True, "seen elsewhere")

    # the engine starts anew with accounts rendered from SQL: what is revoked must not come back
    await stack.stop_server()
    await stack.start_server()
    with pytest.raises((errors.Error, OSError, asyncio.TimeoutError)):
        await thief(stack, file)
    again = await thief(stack, file, 1)
    assert again.connected
    for link in (*links, other, again):
        await link.close()


async def test_one_token_let_in_one_of_fifty_that_race_for_it(stack: Stack, tmp_path: Path) -> None:
    token = (await stack.fleet.call("POST", "/tokens", {"uses": 1}))["token"]

    def join(number: int) -> str:
        try:
            return enroll(
                Enrolment(server=stack.url, token=token, state_dir=tmp_path / str(number), node_id=f"racer-{number}"),
                SystemClock(0),
            ).identity.node_id
        except CorralError as error:
            return f"refused: {error.message}"

    found = await asyncio.gather(*(asyncio.to_thread(join, number) for number in range(50)))
    winners = [text for text in found if not text.startswith("refused")]
    assert len(winners) == 1, found
    nodes = await stack.fleet.call("GET", "/nodes?selector=racer-*")
    assert [node["id"] for node in nodes] == winners


async def test_an_expired_revoked_or_altered_token_lets_nobody_in(stack: Stack, tmp_path: Path) -> None:
    short = await stack.fleet.call("POST", "/tokens", {"uses": 1, "ttl_seconds": 1})
    revoked = await stack.fleet.call("POST", "/tokens", {"uses": 1})
    bound = await stack.fleet.call("POST", "/tokens", {"uses": 1, "node_id": "only-me"})
    await stack.fleet.call("DELETE", f"/tokens/{revoked['id']}")
    await asyncio.sleep(1.2)
    # a wrong pin needs TLS to be seen: test_operations_tls
    _, name, secret, pin = bound["token"].split(".")
    for number, (token, node) in enumerate(
        [
            (short["token"], "late"),
            (revoked["token"], "barred"),
            (bound["token"], "somebody-else"),
            (f"cj1.{name}.{secret[::-1]}.{pin}", "only-me"),
            (f"cj1.{name}x.{secret}.{pin}", "only-me"),
        ]
    ):
        asked = Enrolment(server=stack.url, token=token, state_dir=tmp_path / f"t{number}", node_id=node)
        with pytest.raises(CorralError) as refused:
            await asyncio.to_thread(enroll, asked, SystemClock(0))
        assert secret not in refused.value.message
        assert not StateDir(tmp_path / f"t{number}").identity.exists()
    asked = Enrolment(server=stack.url, token=bound["token"], state_dir=tmp_path / "right", node_id="only-me")
    assert (await asyncio.to_thread(enroll, asked, SystemClock(0))).identity.node_id == "only-me"


async def test_another_user_of_the_machine_cannot_talk_to_daemon_or_worker_nor_read_what_they_keep(
    stack: Stack,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("not root: nobody to become")
    nobody = pwd.getpwnam("nobody")
    async with RealNode.enrolled(stack, "guarded") as node:
        await stack.online(1, selector="guarded and online")
        state = node.state
        assert load_identity(state).node_id == "guarded"
        # the worst case first: whoever made the folders wide open has only the socket's own lock left
        for folder in (stack.folder, state.root):
            folder.chmod(0o755)
        for role in ("daemon", "worker"):
            for wide in (False, True):
                if wide:
                    os.chmod(state.socket(role), 0o777)
                said = await asyncio.to_thread(as_user, nobody.pw_uid, state.socket(role))
                assert "result" not in said, (role, wide, said)
                assert "pid" not in said, (role, wide, said)
                assert said, "the child said nothing: it did not even try"
            mine = await asyncio.to_thread(as_user, 0, state.socket(role))
            assert "result" in mine, "the control: root is answered"
        for path in (state.identity, state.journal, state.log("worker")):
            if path.exists():
                assert path.stat().st_mode & 0o077 == 0, path


_CHILD = """
import os, socket, sys
os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
s = socket.socket(socket.AF_UNIX); s.settimeout(5)
try:
    s.connect(sys.argv[2])
    s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"status"}\\n')
    print("answer:", s.recv(4000))
except OSError as error:
    print("refused:", error)
"""


def as_user(uid: int, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-c", _CHILD, str(uid), str(path)], capture_output=True, text=True, timeout=20, cwd="/"
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout

"""What a hostile node with valid credentials can do at the engine: as itself its own kinds, and nothing else.

Every row runs against a real engine, for daemon, worker and simulator credentials and for both acknowledgement formats. What a
node CAN do to others (make the engine deliver bytes on their down, rpc and inbox subjects by naming them as reply) is why
everything sent down is signed; the nodes' side of that is tested with the worker.
"""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nats import errors

from corral.bus.claims import KeyPair, encode
from corral.bus.engine_config import EngineSettings
from corral.bus.jetstream import JetStreamEngine
from corral.bus.realm import Realm
from corral.protocol import subjects, topology
from corral.testing.engine import NodeCredential, RunningEngine
from corral.testing.raw_node import RawNode

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

ROLES = ("daemon", "worker", "sim")
ME, OTHER = "web-1", "db-1"
SECRET = b"sealed bytes of nobody's business"


@dataclass
class Scene:
    """One engine, a server, a victim, and an attacker with each kind of credential."""

    engine: RunningEngine
    server: JetStreamEngine
    attackers: dict[str, RawNode]
    victim: RawNode

    async def stored(self) -> set[str]:
        """Every subject with a message in any stream."""
        found = set()
        for spec in topology.streams():
            messages = await self.server.streams.read(spec.name, ">", limit=100_000)
            found |= {message.subject for message in messages}
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[False, True], ids=["ack-v1", "ack-v2"])
async def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    settings = EngineSettings(port=0, ack_format_v2=request.param)
    async with RunningEngine(tmp_path_factory.mktemp("hostile") / "engine", settings=settings) as engine:
        server = await engine.connect()
        attackers = {role: await RawNode.connect(engine.url, engine.node(ME, role)) for role in ROLES}
        victim = await RawNode.connect(engine.url, engine.node(OTHER, "sim"))
        for subject in (subjects.down(OTHER, ">"), subjects.rpc(OTHER, ">"), f"{subjects.node_inbox(OTHER)}.>"):
            await victim.hear(subject)

        async def bytes_of_object() -> AsyncIterator[bytes]:
            yield SECRET

        await server.objects.put("artifacts", "opaque-name", bytes_of_object())
        await server.objects.put("archive", "archived-output", bytes_of_object())
        yield Scene(engine=engine, server=server, attackers=attackers, victim=victim)
        for node in (*attackers.values(), victim):
            await node.close()


# -- what each credential may do


@pytest.mark.parametrize(
    ("role", "kinds"),
    [
        ("daemon", subjects.DAEMON_UP),
        ("worker", subjects.WORKER_UP),
        ("sim", (*subjects.DAEMON_UP, *subjects.WORKER_UP)),
    ],
)
async def test_each_credential_may_send_its_own_kinds_and_no_other(
    scene: Scene, role: str, kinds: tuple[str, ...]
) -> None:
    node = scene.attackers[role]
    for kind in subjects.UP_KINDS:
        subject = subjects.output(ME, "J1", 1) if kind == "output" else subjects.up(ME, kind)
        if kind in kinds:
            answer = await node.send(subject, b"mine")
            assert "error" not in answer, (kind, answer)
        else:
            assert await node.is_denied(node.publish(subject, b"x")), kind


@pytest.mark.parametrize("role", ROLES)
async def test_each_credential_hears_and_answers_as_its_node(scene: Scene, role: str) -> None:
    node = scene.attackers[role]
    await node.hear(subjects.down(ME, f"{role}.>"))
    await scene.server.wire.publish(subjects.down(ME, f"{role}.x"), b"for you")
    await scene.server.wire.flush()

    async def pong(_message: object) -> bytes:
        return b"pong"

    await node.answer(subjects.rpc(ME, role), pong)
    assert await scene.server.wire.request(subjects.rpc(ME, role), b"", timeout_seconds=2) == b"pong"
    await eventually(lambda: (subjects.down(ME, f"{role}.x"), b"for you") in node.heard)


async def test_asking_an_absent_node_fails_at_once(scene: Scene) -> None:
    began = time.monotonic()
    with pytest.raises(Exception, match="nobody listens"):
        await scene.server.wire.request(subjects.rpc("nobody", "status"), b"", timeout_seconds=10)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("role", ["worker", "sim"])
async def test_an_object_is_read_by_its_nuid_in_batches_and_resumed_by_sequence(scene: Scene, role: str) -> None:
    data = bytes(range(256)) * 4096

    async def pieces() -> AsyncIterator[bytes]:
        yield data

    nuid = await scene.server.objects.put("artifacts", "big", pieces())
    got, sequence = b"", 1
    while len(got) < len(data):
        body = {"seq": sequence, "next_by_subj": topology.object_chunks("artifacts", nuid), "batch": 3}
        for sequence_of, payload in await direct_get(scene.attackers[role], subjects.OBJECT_READ, body):
            got, sequence = got + payload, sequence_of + 1
    assert got == data
    await scene.server.objects.delete("artifacts", "big")


# -- what nobody may do

PUBLISH_DENIED = [
    # as somebody else, or as the server
    *(subjects.up(OTHER, kind) for kind in subjects.UP_KINDS if kind != "output"),
    subjects.output(OTHER, "J1", 1),
    *(subjects.down(node, kind) for node in (ME, OTHER) for kind in subjects.DOWN_KINDS),
    *(subjects.rpc(node, method) for node in (ME, OTHER) for method in subjects.RPC_METHODS),
    f"{subjects.node_inbox(OTHER)}.x",
    f"{subjects.node_inbox(ME)}.x",
    f"{subjects.SERVER_INBOX}.x",
    f"{subjects.SYSTEM_INBOX}.x",
    "_R_.abc.def",
    # kinds that do not exist
    f"corral.up.{ME}",
    f"corral.up.{ME}.evil",
    f"corral.up.{ME}.report.more",
    f"corral.up.{ME}.beat.more",
    # JetStream's verbs
    "$JS.API.INFO",
    "$JS.API.ACCOUNT.PURGE.x",
    "$JS.API.META.LEADER.STEPDOWN",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.STREAM.INFO.reports",
    "$JS.API.STREAM.CREATE.evil",
    "$JS.API.STREAM.UPDATE.reports",
    "$JS.API.STREAM.DELETE.reports",
    "$JS.API.STREAM.PURGE.reports",
    "$JS.API.STREAM.SNAPSHOT.reports",
    "$JS.API.STREAM.RESTORE.reports",
    "$JS.API.STREAM.MSG.GET.reports",
    "$JS.API.STREAM.MSG.DELETE.reports",
    "$JS.API.CONSUMER.CREATE.reports",
    "$JS.API.CONSUMER.CREATE.reports.evil",
    "$JS.API.CONSUMER.CREATE.reports.evil.corral.up.web-1.report",
    "$JS.API.CONSUMER.DURABLE.CREATE.reports.evil",
    "$JS.API.CONSUMER.DELETE.reports.ingest",
    "$JS.API.CONSUMER.INFO.reports.ingest",
    "$JS.API.CONSUMER.NAMES.reports",
    "$JS.API.CONSUMER.LIST.reports",
    "$JS.API.CONSUMER.PAUSE.reports.ingest",
    "$JS.API.CONSUMER.UNPIN.reports.ingest",
    "$JS.API.CONSUMER.MSG.NEXT.reports.ingest",
    "$JS.API.DIRECT.GET.reports",
    f"$JS.API.DIRECT.GET.reports.corral.up.{OTHER}.report",
    f"$JS.API.DIRECT.GET.output.corral.up.{OTHER}.output.J1.1",
    "$JS.API.DIRECT.GET.OBJ_archive",
    "$JS.API.DIRECT.GET.OBJ_artifacts.$O.artifacts.M.b3BhcXVlLW5hbWU=",
    "$JS.ACK.reports.ingest.1.1.1.1.0",
    "$JS.ACK.corral.CTL.reports.ingest.1.1.1.1.0",
    "$JS.FC.reports.ingest.x",
    # buckets are written by servers
    "$O.artifacts.C.x",
    "$O.artifacts.M.x",
    "$O.archive.C.x",
    # what earlier designs had, and must not come back by accident
    "$KV.facts.web-1.os",
    "$KV.desired.web-1.app",
    "$JS.API.DIRECT.GET.KV_desired",
    "$JS.API.CONSUMER.MSG.NEXT.TASKS.a-web-1",
    f"corral.task.{ME}.x",
    f"corral.res.{ME}.x",
    f"corral.log.{ME}.x",
    f"corral.hb.{ME}",
    f"corral.api.{ME}.renew",
    # the engine itself
    "$SYS.REQ.USER.INFO",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.CLAIMS.UPDATE",
]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("subject", PUBLISH_DENIED)
async def test_publishing_is_denied(scene: Scene, role: str, subject: str) -> None:
    node = scene.attackers[role]
    assert await node.is_denied(node.publish(subject, b"{}", reply=f"{subjects.node_inbox(ME)}.answer"))


async def test_the_daemons_credential_reads_no_objects(scene: Scene) -> None:
    node = scene.attackers["daemon"]
    assert await node.is_denied(node.publish(subjects.OBJECT_READ, b'{"seq":1}', reply=f"{subjects.node_inbox(ME)}.x"))


SUBSCRIBE_DENIED = [
    (">", ""),
    ("*", ""),
    ("corral.>", ""),
    ("corral.down.>", ""),
    ("corral.down.*.task", ""),
    (f"corral.*.{OTHER}.>", ""),
    (f"corral.down.{OTHER}.>", ""),
    (f"corral.down.{OTHER}.>", "queue"),
    (f"corral.rpc.{OTHER}.>", ""),
    ("corral.rpc.*.*", ""),
    (f"corral.up.{ME}.sync", ""),
    ("corral.up.*.sync", "servers"),
    ("corral.up.*.beat", ""),
    (f"{subjects.node_inbox(OTHER)}.>", ""),
    ("_INBOX_n.>", ""),
    ("_INBOX_n.*.x", ""),
    (f"{subjects.SERVER_INBOX}.>", ""),
    (f"{subjects.SYSTEM_INBOX}.>", ""),
    ("_INBOX.>", ""),
    ("_R_.>", ""),
    ("$SYS.>", ""),
    ("$JS.>", ""),
    ("$JS.EVENT.ADVISORY.>", ""),
    ("$O.artifacts.>", ""),
    ("$KV.>", ""),
]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("subject", "queue"), SUBSCRIBE_DENIED)
async def test_listening_is_denied(scene: Scene, role: str, subject: str, queue: str) -> None:
    node = scene.attackers[role]

    async def ignore(_message: object) -> None: ...

    assert await node.is_denied(node.client.subscribe(subject, queue=queue, cb=ignore))


async def test_a_node_may_not_hold_more_than_its_subscriptions(scene: Scene) -> None:
    node = await RawNode.connect(scene.engine.url, scene.engine.node("greedy", "worker"))
    complaints: list[str] = []

    async def on_error(error: Exception) -> None:
        complaints.append(str(error))

    node.client._error_cb = on_error
    for number in range(80):
        try:
            await node.hear(f"{subjects.node_inbox('greedy')}.{number}")
        except errors.Error:
            break
    last = node.client.last_error
    assert any("subscriptions" in text for text in (*complaints, str(last)))
    await node.close()


# -- the confused deputy: answers of the engine aimed at somebody else

REPLIES = [
    *(subjects.up(OTHER, kind) for kind in ("report", "sync", "beat", "facts", "metrics")),
    subjects.output(OTHER, "J1", 1),
    subjects.down(OTHER, "task"),
    subjects.down(OTHER, "cancel"),
    subjects.down(OTHER, "receipt"),
    subjects.down(ME, "task"),
    subjects.rpc(OTHER, "tail"),
    f"{subjects.node_inbox(OTHER)}.guess",
    "$JS.API.STREAM.DELETE.reports",
    "$JS.API.STREAM.PURGE.reports",
    "$O.artifacts.C.evil",
    f"{subjects.SERVER_INBOX}.guess",
]


@pytest.mark.parametrize("role", ROLES)
async def test_an_answer_aimed_at_another_subject_enters_no_stream_as_another_node(scene: Scene, role: str) -> None:
    node = scene.attackers[role]
    requests: list[tuple[str, bytes]] = []
    if role in ("daemon", "sim"):
        requests += [(subjects.up(ME, kind), b"x") for kind in subjects.DAEMON_UP]
    if role in ("worker", "sim"):
        requests += [(subjects.up(ME, kind), b"x") for kind in ("sync", "report")]
        requests += [(subjects.output(ME, "J1", 1), b"x")]
        requests += [(subjects.OBJECT_READ, b'{"seq":1,"next_by_subj":"$O.artifacts.C.>","batch":3}')]
        requests += [(subjects.OBJECT_READ, b'{"last_by_subj":"$O.artifacts.M.b3BhcXVlLW5hbWU="}')]
    before = await scene.stored()
    for reply in REPLIES:
        for subject, body in requests:
            # The client's library refuses some of these replies; a hostile one would not ask it.
            await node.client._send_publish(subject, reply, body, len(body), None)
    await node.flush()
    await scene.server.wire.flush()
    await asyncio.sleep(0.2)  # nothing to wait for: what must not come would come within a round trip
    new = await scene.stored() - before
    assert not [subject for subject in new if OTHER in subject or "evil" in subject], new
    usage = await scene.server.streams.usage()
    assert usage["reports"]["max_bytes"] > 0
    assert usage["OBJ_artifacts"]["messages"] == 2
    await drain_reports(scene)


@pytest.mark.parametrize("kind", ["report", "sync", "facts"])
async def test_an_answer_aimed_at_ones_own_stream_does_not_amplify(scene: Scene, kind: str) -> None:
    node, subject, stream = scene.attackers["sim"], subjects.up(ME, kind), {"report": "reports"}.get(kind, kind)
    before = await scene.server.streams.last_sequence(stream)
    await node.publish(subject, b"loop", reply=subject)
    await node.flush()
    await asyncio.sleep(0.5)  # long enough for ten thousand rounds, were there a loop
    assert await scene.server.streams.last_sequence(stream) - before <= 2
    await drain_reports(scene)


# -- headers that command a stream


@pytest.mark.parametrize(
    "headers",
    [
        {"Nats-Rollup": "all"},
        {"Nats-Rollup": "sub"},
        {"Nats-TTL": "1s"},
        {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": f"corral.up.{OTHER}.report"},
        {"Nats-Incr": "+1"},
        {"Nats-Batch-Id": "x", "Nats-Batch-Sequence": "1"},
    ],
    ids=lambda headers: next(iter(headers)) + "-" + next(iter(headers.values())).strip("@+"),
)
async def test_headers_that_command_a_stream_are_refused(scene: Scene, headers: dict[str, str]) -> None:
    await scene.victim.send(subjects.up(OTHER, "report"), b"mine")
    before = (await scene.server.streams.usage())["reports"]
    answer = await scene.attackers["worker"].send(subjects.up(ME, "report"), b"x", headers)
    assert "error" in answer, answer
    after = (await scene.server.streams.usage())["reports"]
    assert after["messages"] == before["messages"]
    await drain_reports(scene)


async def test_a_stolen_message_id_hides_nobodys_report(scene: Scene) -> None:
    """Nodes send no message id, so the only window left is the engine's shortest, for who would send one."""
    await scene.attackers["worker"].send(subjects.up(ME, "report"), b"thief", {"Nats-Msg-Id": "stolen"})
    plain = await scene.victim.send(subjects.up(OTHER, "report"), b"real")
    assert not plain.get("duplicate")
    await asyncio.sleep(topology.DUPLICATE_WINDOW_NS / 1e9 * 3)
    answer = await scene.victim.send(subjects.up(OTHER, "report"), b"real", {"Nats-Msg-Id": "stolen"})
    assert not answer.get("duplicate")
    await drain_reports(scene)


# -- floods


async def test_a_flood_of_reports_is_refused_and_others_are_served(scene: Scene) -> None:
    flooder = scene.attackers["worker"]
    for _ in range(2000):
        await flooder.publish(subjects.up(ME, "report"), b"x" * 300)
    assert (await flooder.send(subjects.up(ME, "report"), b"x"))["error"]["err_code"] == 10077
    assert "error" not in await scene.victim.send(subjects.up(OTHER, "report"), b"mine")
    assert (await scene.server.streams.usage())["reports"]["messages"] <= 257
    await drain_reports(scene)
    assert "error" not in await flooder.send(subjects.up(ME, "report"), b"again")
    await drain_reports(scene)


async def test_a_flood_of_output_pushes_old_output_out_and_never_blocks(scene: Scene) -> None:
    flooder = scene.attackers["worker"]
    for _ in range(100):
        await flooder.publish(subjects.output(ME, "J9", 1), b"z" * 65536)
    await flooder.flush()
    assert "error" not in await scene.victim.send(subjects.output(OTHER, "J1", 1), b"mine")
    assert "error" in await flooder.send(subjects.output(ME, "J9", 1), b"z" * (topology.CHUNK_BYTES_MAX + 5000))
    await scene.server.streams.purge("output", ">")


async def test_requests_that_nobody_answers_do_not_fill_the_engines_memory(scene: Scene) -> None:
    pid = scene.engine.embedded.pid
    assert pid is not None
    before = resident_mib(pid)
    node = scene.attackers["sim"]
    for number in range(30_000):
        await node.publish(subjects.up(ME, "beat"), b"", reply=f"{subjects.node_inbox(ME)}.{number}")
        if number % 2000 == 0:
            await node.flush()
    await node.flush()
    assert resident_mib(pid) - before < 60
    assert (await scene.server.streams.usage())["beats"]["messages"] <= 2


async def test_more_answers_than_allowed_to_one_question_are_dropped(scene: Scene) -> None:
    node = scene.attackers["daemon"]

    async def babble(message: Any) -> bytes:
        for _ in range(500):
            await message.respond(b"x")
        return b"last"

    await node.answer(subjects.rpc(ME, "babble"), babble)
    connection = scene.server.wire._connection
    inbox, got = connection.new_inbox(), []
    subscription = await connection.subscribe(inbox, got.append)
    await connection.publish(subjects.rpc(ME, "babble"), b"", reply=inbox)
    await connection.flush()
    await eventually(lambda: len(got) > 0)
    await node.flush()
    await connection.flush()
    await subscription.close()
    assert len(got) <= 64


# -- the bucket


@pytest.mark.parametrize("role", ["worker", "sim"])
async def test_listing_the_bucket_shows_opaque_names_and_sealed_bytes_and_nothing_else(scene: Scene, role: str) -> None:
    node = scene.attackers[role]
    everything = await direct_get(node, subjects.OBJECT_READ, {"seq": 1, "next_by_subj": ">", "batch": 100})
    meta = [json.loads(payload) for _, payload in everything if payload.startswith(b"{")]
    assert [payload for _, payload in everything if not payload.startswith(b"{")] == [SECRET]
    assert [row["name"] for row in meta] == ["opaque-name"]
    assert set(meta[0]) == {"name", "bucket", "nuid", "size", "chunks", "digest", "options"}
    for filter_ in ("$O.archive.>", "corral.>", f"corral.up.{OTHER}.report"):
        assert await direct_get(node, subjects.OBJECT_READ, {"seq": 1, "next_by_subj": filter_, "batch": 9}) == []


# -- credentials


def forged(scene: Scene, **change: Any) -> NodeCredential:
    """A token an attacker makes: signed by a key of his own unless told otherwise."""
    key, signer = KeyPair("U"), change.pop("signer", KeyPair("A"))
    account = scene.engine.realm.nodes_account
    nats = {"type": "user", "version": 2, "issuer_account": account, "pub": {}, "sub": {}, **change.pop("nats", {})}
    claims = {"sub": key.public, "name": ME, "exp": int(time.time()) + 600, "nats": nats, **change}
    jwt = encode(claims, signer, issued_at=int(time.time()))
    return NodeCredential(node=ME, jwt=jwt, seed=key.seed, public=key.public, inbox=subjects.node_inbox(ME))


def borrowed(scene: Scene, **change: Any) -> NodeCredential:
    """Signed by the realm's own worker key, as if a bug in the signer had let it through."""
    return forged(scene, signer=scene.engine.realm._keys["worker_signing"], **change)


def tampered(scene: Scene) -> NodeCredential:
    real = scene.engine.node(ME, "worker")
    head, payload, signature = real.jwt.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["name"] = OTHER
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return NodeCredential(
        node=OTHER, jwt=f"{head}.{payload}.{signature}", seed=real.seed, public=real.public, inbox=real.inbox
    )


def of_another_realm(scene: Scene) -> NodeCredential:
    key = KeyPair("U")
    jwt = Realm.create().user_worker(ME, key.public, time.time() + 600)
    return NodeCredential(node=ME, jwt=jwt, seed=key.seed, public=key.public, inbox=subjects.node_inbox(ME))


def with_anothers_token(scene: Scene) -> NodeCredential:
    real = scene.engine.node(OTHER, "worker")
    mine = KeyPair("U")
    return NodeCredential(node=OTHER, jwt=real.jwt, seed=mine.seed, public=mine.public, inbox=real.inbox)


@pytest.mark.parametrize(
    "make",
    [
        forged,
        tampered,
        of_another_realm,
        with_anothers_token,
        lambda scene: borrowed(scene, exp=int(time.time()) - 5),
        lambda scene: borrowed(scene, nats={"pub": {"allow": [">"]}, "sub": {"allow": [">"]}}),
    ],
    ids=["self-signed", "renamed", "another-realm", "stolen-token", "expired", "rights-inside"],
)
async def test_a_credential_that_is_not_ours_is_refused(scene: Scene, make: Callable[[Scene], NodeCredential]) -> None:
    with pytest.raises(errors.Error):
        await RawNode.connect(scene.engine.url, make(scene))


async def test_a_credential_that_expires_is_disconnected(scene: Scene) -> None:
    node = await RawNode.connect(scene.engine.url, scene.engine.node("brief", "worker", ttl_seconds=1))
    await eventually(lambda: not node.connected, 4)
    await node.close()


async def test_without_a_credential_nobody_connects(scene: Scene) -> None:
    from nats.aio.client import Client

    client = Client()

    async def quiet(_error: Exception) -> None: ...

    with pytest.raises(errors.Error):
        await client.connect(scene.engine.url, allow_reconnect=False, max_reconnect_attempts=1, error_cb=quiet)
    await client.close()


SYSTEM_DENIED = [
    f"corral.down.{OTHER}.task",
    f"corral.up.{OTHER}.report",
    "$JS.API.STREAM.LIST",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.SERVER.PING.VARZ",
    "$SYS.REQ.SERVER.PING.PROFILEZ",
    "$SYS.REQ.SERVER.x.RELOAD",
    "$SYS.REQ.SERVER.x.KICK",
    "$SYS.REQ.CLAIMS.DELETE",
    "$SYS.REQ.CLAIMS.PACK",
    "$SYS.REQ.ACCOUNT.x.CLAIMS.LOOKUP",
]


async def test_our_user_in_the_system_account_has_three_verbs(scene: Scene) -> None:
    credential = scene.engine.realm.system_credential()
    user = NodeCredential(
        node="system",
        jwt=credential.jwt,
        seed=credential.key.seed,
        public=credential.key.public,
        inbox=subjects.SYSTEM_INBOX,
    )
    node = await RawNode.connect(scene.engine.url, user)
    for subject in SYSTEM_DENIED:
        assert await node.is_denied(node.publish(subject, b"")), subject

    async def ignore(_message: object) -> None: ...

    for subject in (
        ">",
        "$SYS.>",
        "$SYS.SERVER.>",
        "_INBOX_s.>",
        f"$SYS.ACCOUNT.{scene.engine.realm.server_account}.>",
    ):
        assert await node.is_denied(node.client.subscribe(subject, cb=ignore)), subject
    await node.close()


# -- revocation


@pytest.mark.asyncio(loop_scope="function")
async def test_a_revoked_node_goes_at_once_and_stays_out_over_a_kill_and_a_wiped_resolver(tmp_path: Path) -> None:
    async with RunningEngine(tmp_path / "engine") as engine:
        server = await engine.connect()
        bad, good = engine.node(ME, "worker"), engine.node(OTHER, "worker")
        bad_link, good_link = [await RawNode.connect(engine.url, credential) for credential in (bad, good)]
        began = time.monotonic()
        await engine.revoke(server, bad.public)
        await eventually(lambda: not bad_link.connected, 2)
        assert time.monotonic() - began < 2
        await good_link.flush()
        assert good_link.connected
        for wipe in (False, True):
            before = engine.embedded.starts
            engine.kill()
            if wipe:
                shutil.rmtree(tmp_path / "engine" / "accounts")
            await engine.until_restarted(before)
            with pytest.raises(errors.Error):
                await RawNode.connect(engine.url, bad)
            again = await RawNode.connect(engine.url, good)
            await again.close()
        for link in (bad_link, good_link):
            await link.close()


# -- small things


async def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.005)


async def drain_reports(scene: Scene) -> None:
    await scene.server.streams.purge("reports", ">")


async def direct_get(node: RawNode, subject: str, body: dict[str, Any]) -> list[tuple[int, bytes]]:
    """(sequence, payload) of every message a batched read answers."""
    inbox = node.client.new_inbox()
    subscription = await node.client.subscribe(inbox)
    await node.publish(subject, json.dumps(body).encode(), reply=inbox)
    found = []
    while True:
        message = await subscription.next_msg(timeout=3)
        headers = message.headers or {}
        if "Status" in headers:
            break
        found.append((int(headers["Nats-Sequence"]), message.data))
    await subscription.unsubscribe()
    return found


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / (1 << 20)

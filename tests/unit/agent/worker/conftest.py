"""A control plane in a few lines, for one worker: it signs, answers syncs, stores reports and output, and sends receipts.

`ControlPlane` is what the worker sees of server and engine. `rig` runs a real Worker on it in this process; `child` runs one
in a process of its own (child_worker.py) that a test may kill.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from corral.agent.config import AgentSettings, StateDir
from corral.agent.link.port import LinkDown, LinkMessage
from corral.agent.worker.worker import Worker
from corral.protocol import subjects
from corral.protocol.codec import encode
from corral.protocol.messages import CancelMessage, ReceiptMessage, SyncAnswer, TaskMessage
from corral.protocol.signing import seal
from corral.runtime.clock import SystemClock
from corral.runtime.crypto import ed25519_public, ed25519_sign
from corral.runtime.lifecycle import TaskSet
from corral.testing.blobs import MemoryBlobs

NODE = "n1"
DEADLINE = 15.0
TERMINAL = {"succeeded", "failed", "timed_out", "cancelled", "rejected", "expired", "interrupted"}


class Signer:
    def __init__(self, key_id="k1", seed=b"T" * 32):
        self.key_id, self.seed = key_id, seed
        self.public = ed25519_public(seed)

    def sign(self, data):
        return ed25519_sign(self.seed, data)


class FakeLink:
    """agent.link.port.Link whose other end is a ControlPlane in this process."""

    def __init__(self, plane):
        self.plane, self.connected, self.hooks, self.handlers = plane, False, [], []
        self.resubscribed, self.deaf = 0, False

    def on_connect(self, hook):
        self.hooks.append(hook)

    def subscribe(self, subject, handler):
        self.handlers.append((subject.removesuffix(">"), handler))

    def resubscribe(self):
        self.resubscribed += 1
        self.deaf = False

    async def publish(self, subject, data, *, reply="", headers=None):
        if not self.connected:
            raise LinkDown("cannot publish: no link")
        await self.plane.receive(subject, data, headers or {})

    async def request(self, subject, data, *, timeout_seconds=5.0, headers=None):
        if not self.connected:
            raise LinkDown("cannot request: no link")
        await asyncio.sleep(0)
        answer = await self.plane.receive(subject, data, headers or {})
        if not self.connected:
            raise LinkDown("cannot request: the link broke")
        return LinkMessage("inbox", answer)

    async def request_many(self, subject, data, *, timeout_seconds=10.0):
        if not self.connected:
            raise LinkDown("cannot request: no link")
        await asyncio.sleep(0)
        if self.plane.object_hook is not None:
            await self.plane.object_hook(json.loads(data))
        return self.plane.objects_for(json.loads(data))

    async def flush(self):
        pass

    def deliver(self, subject, data):
        if self.deaf:
            return
        for prefix, handler in self.handlers:
            if subject.startswith(prefix):
                handler(LinkMessage(subject, data))

    async def connect(self):
        self.connected = True
        for hook in self.hooks:
            await hook()

    def drop(self):
        self.connected = False


class ControlPlane:
    def __init__(self):
        self.signer = Signer()
        self.clock = SystemClock(0.0)
        self.offset = 0.0
        self.receipts = True
        self.answers = True
        self.refuse_reports = False
        self.reports = []
        self.syncs = []
        self.chunks = defaultdict(list)
        self.pending = []
        self.cancels = []
        self.forget = []
        self.extra = {}
        self.objects = {}
        self.blobs = MemoryBlobs()
        self.object_hook = None
        self.deliver = None
        self.chunk_hook = None

    def now(self):
        return self.clock.wall() + self.offset

    # what the node says

    async def receive(self, subject, data, headers):
        kind = subjects.kind_of(subject)
        if kind == "report":
            if self.refuse_reports:
                return b'{"error":{"code":503,"err_code":10077,"description":"maximum messages per subject exceeded"}}'
            report = json.loads(data)
            self.reports.append(report)
            if self.receipts:
                asyncio.get_running_loop().call_soon(self.receipt, report["token"])
        elif kind == "sync":
            self.syncs.append(json.loads(data))
            if self.answers:
                asyncio.get_running_loop().call_soon(self.answer_sync, json.loads(data))
        elif kind == "output":
            if self.chunk_hook is not None:
                await self.chunk_hook()
            job = subjects.parse_output(subject)
            key = (job.job, job.attempt, headers["Corral-Stream"])
            self.chunks[key].append((int(headers["Corral-Offset"]), int(headers.get("Corral-Skipped", 0)), data))
        return b'{"stream":"x","seq":1}'

    def objects_for(self, ask):
        nuid = ask["next_by_subj"].rsplit(".", 1)[1]
        if nuid not in self.objects:
            return self.blobs.answers(ask)
        out = []
        for number, part in enumerate(self.objects.get(nuid, []), 1):
            if number >= ask["seq"]:
                out.append(LinkMessage("i", part, headers={"Nats-Sequence": str(number)}))
        return [*out[: ask["batch"]], LinkMessage("i", b"", headers={"Status": "204"})]

    # what the server says

    def push(self, kind, wire):
        self.deliver(subjects.down(NODE, kind), wire)

    def receipt(self, *tokens):
        self.push("receipt", encode(ReceiptMessage(tokens=list(tokens))))

    def answer_sync(self, request, **changes):
        now = self.now()
        body = SyncAnswer(
            **{
                "kid": self.signer.key_id,
                "node": NODE,
                "nonce": request["nonce"],
                "issued": now,
                "not_after": now + 60,
                "cancels": [w.decode() for w in self.cancels],
                "tasks": [w.decode() for w in self.pending],
                "forget": self.forget,
                **self.extra,
                **changes,
            }
        )
        self.push("sync", seal(self.signer, "sync", encode(body)))

    def task(
        self,
        job="J1",
        attempt=1,
        *,
        node=NODE,
        signer=None,
        not_after=None,
        kind="exec",
        must=(),
        issued=None,
        labels=None,
        private=None,
        **spec,
    ):
        now = self.now()
        spec = {"timeout": 60.0, "grace": 1.0, "max_output": 1 << 20, **spec}
        message = TaskMessage(
            kid=(signer or self.signer).key_id,
            node=node,
            job=job,
            attempt=attempt,
            kind=kind,
            spec=spec,
            issued=now if issued is None else issued,
            not_after=now + 3600 if not_after is None else not_after,
            must=list(must),
            labels=labels or {},
            private=private or {},
        )
        return seal(signer or self.signer, "task", encode(message))

    def file(self, op="apply", *, job="J1", attempt=1, blob=None, **spec):
        """A file task; `blob` is stored (a SealedBlob) and named in it."""
        if blob is not None:
            self.blobs.add(blob)
            spec = {**blob.spec(), "source": "it", "revision": 1, **spec}
        self.push("task", self.task(job, attempt, kind="file", op=op, **spec))

    def cancel(self, job="J1", attempt=1, *, signer=None, grace=None, node=NODE):
        now = self.now()
        message = CancelMessage(
            kid=(signer or self.signer).key_id,
            node=node,
            job=job,
            attempt=attempt,
            issued=now,
            not_after=now + 3600,
            grace=grace,
        )
        return seal(signer or self.signer, "cancel", encode(message))

    # what a test asks

    def ends(self, job="J1", attempt=1):
        return [r for r in self.reports if (r["job"], r["attempt"]) == (job, attempt) and r["state"] in TERMINAL]

    async def until(self, condition, what="the condition"):
        async with asyncio.timeout(DEADLINE):
            while not condition():
                await asyncio.sleep(0.005)
        return condition()

    async def end(self, job="J1", attempt=1):
        return (await self.until(lambda: self.ends(job, attempt)))[0]

    def stream(self, job="J1", attempt=1, stream="stdout"):
        """(bytes as a reader that drops duplicates by offset has them, bytes skipped); fails on a gap that nobody announced."""
        out, position, skipped = bytearray(), 0, 0
        for offset, jump, data in sorted(self.chunks[(job, attempt, stream)], key=lambda c: (c[0], -c[1])):
            if offset + len(data) <= position:
                continue
            if offset > position:
                assert jump == offset - position, f"gap of {offset - position} bytes at {position}, announced {jump}"
                skipped += jump
                position = offset
            out += data[position - offset :]
            position = offset + len(data)
        return bytes(out), skipped


class Rig:
    """One real Worker in this process on a ControlPlane."""

    def __init__(self, root, **settings):
        self.plane = ControlPlane()
        self.state = StateDir(Path(root))
        self.settings = AgentSettings(state_dir=Path(root), **{"warm_wrappers": 1, **settings})
        self.options = {}
        self.clock = SystemClock(0.0)
        self.tasks = TaskSet("test")
        self.worker = None

    async def start(self, *, connect=True, **options):
        self.link = FakeLink(self.plane)
        self.plane.deliver = self.link.deliver
        self.worker = Worker(
            node_id=NODE,
            state=self.state,
            link=self.link,
            settings=self.settings,
            clock=self.clock,
            keys={"k1": self.plane.signer.public},
            **{**self.options, **options},
        )
        ready = asyncio.Event()
        self.running = self.tasks.start(self.worker.run(ready.set), name="worker")
        await asyncio.wait([self.running, asyncio.ensure_future(ready.wait())], return_when=asyncio.FIRST_COMPLETED)
        assert not self.running.done(), self.running.exception()
        if connect:
            await self.link.connect()
        return self

    async def synced(self):
        await self.plane.until(lambda: self.worker.status()["syncs"] > 0)
        return self

    async def stop(self):
        if self.worker is not None:
            self.link.drop()
            self.running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.running
            self.worker = None

    async def restart(self, **options):
        await self.stop()
        return await self.start(**options)

    def run(self, *argv, job="J1", attempt=1, **more):
        if argv:
            more["argv"] = list(argv)
        self.plane.push("task", self.plane.task(job, attempt, **more))

    def folder(self, job="J1", attempt=1, suffix=""):
        return self.state.spool / f"{job}.{attempt}{suffix}"


@pytest.fixture
async def make_rig(tmp_path):
    rigs = []

    def make(name="state", **settings):
        rig = Rig(tmp_path / name, **settings)
        rigs.append(rig)
        return rig

    yield make
    for rig in rigs:
        await rig.stop()
        await rig.tasks.close()


@pytest.fixture
async def rig(make_rig):
    rig = make_rig()
    await rig.start()
    return await rig.synced()


class Child:
    """A Worker in a process of its own, on the same ControlPlane over a unix socket."""

    def __init__(self, root, socket_path, plane):
        self.root, self.socket_path, self.plane = root, socket_path, plane
        self.process, self.writer, self.server = None, None, None
        self.connects = 0
        self.prefix = []

    async def listen(self):
        self.server = await asyncio.start_unix_server(self._serve, self.socket_path, limit=1 << 20)
        self.plane.deliver = self._deliver

    def _deliver(self, subject, data):
        if self.writer is not None:
            line = {"subject": subject, "data": base64.b64encode(data).decode()}
            self.writer.write(json.dumps(line).encode() + b"\n")

    async def _serve(self, reader, writer):
        self.writer = writer
        self.connects += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := await reader.readline():
                ask = json.loads(line)
                if ask.get("many"):
                    question = json.loads(base64.b64decode(ask["data"]))
                    if self.plane.object_hook is not None:
                        await self.plane.object_hook(question)
                    many = [[base64.b64encode(m.data).decode(), m.headers] for m in self.plane.objects_for(question)]
                    writer.write(json.dumps({"id": ask["id"], "many": many}).encode() + b"\n")
                    continue
                answer = await self.plane.receive(ask["subject"], base64.b64decode(ask["data"]), ask["headers"])
                reply = {"id": ask["id"], "data": base64.b64encode(answer).decode()}
                writer.write(json.dumps(reply).encode() + b"\n")
        if self.writer is writer:
            self.writer = None
        writer.close()

    async def start(self, **environment):
        before, syncs = self.connects, len(self.plane.syncs)
        await self.spawn(**environment)
        ready = lambda: self.connects > before and len(self.plane.syncs) > syncs  # noqa: E731  # reads best in one line
        await self.plane.until(lambda: ready() or self.process.poll() is not None)

    async def spawn(self, **environment):
        script = Path(__file__).with_name("child_worker.py")
        key = base64.b64encode(self.plane.signer.public).decode()
        self.process = subprocess.Popen(
            [*self.prefix, sys.executable, str(script), str(self.root), str(self.socket_path), key],
            env={**os.environ, **{k: str(v) for k, v in environment.items()}},
        )

    def kill(self):
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    async def close(self):
        self.kill()
        if self.writer is not None:
            self.writer.close()
        if self.server is not None:
            self.server.close()


@pytest.fixture
async def child(tmp_path):
    child = Child(tmp_path / "state", tmp_path / "s", ControlPlane())
    await child.listen()
    yield child
    await child.close()

"""Run as a script: one Worker whose link is a unix socket of lines to the test that started it (see conftest.Child)."""

import asyncio
import base64
import importlib
import json
import os
import signal
import sys
from pathlib import Path

from corral.agent.config import AgentSettings, StateDir
from corral.agent.link.port import LinkDown, LinkMessage
from corral.agent.worker.worker import Worker
from corral.runtime.clock import SystemClock


class SocketLink:
    def __init__(self, path):
        self.path, self.connected, self.hooks, self.handlers, self.waiting, self.serial = path, False, [], [], {}, 0

    def on_connect(self, hook):
        self.hooks.append(hook)

    def subscribe(self, subject, handler):
        self.handlers.append((subject.removesuffix(">"), handler))

    def resubscribe(self):
        pass

    async def request(self, subject, data, *, timeout_seconds=5.0, headers=None):
        if not self.connected:
            raise LinkDown("no link")
        self.serial += 1
        future = self.waiting[self.serial] = asyncio.get_running_loop().create_future()
        ask = {"id": self.serial, "subject": subject, "data": base64.b64encode(data).decode(), "headers": headers or {}}
        self.writer.write(json.dumps(ask).encode() + b"\n")
        return LinkMessage("inbox", await future)

    async def request_many(self, subject, data, *, timeout_seconds=10.0):
        if not self.connected:
            raise LinkDown("no link")
        self.serial += 1
        future = self.waiting[self.serial] = asyncio.get_running_loop().create_future()
        ask = {"id": self.serial, "many": True, "data": base64.b64encode(data).decode()}
        self.writer.write(json.dumps(ask).encode() + b"\n")
        return [LinkMessage("inbox", base64.b64decode(part), headers=headers) for part, headers in await future]

    async def run(self):
        reader, self.writer = await asyncio.open_unix_connection(self.path, limit=1 << 24)
        self.connected = True
        for hook in self.hooks:
            await hook()
        while line := await reader.readline():
            message = json.loads(line)
            if "many" in message:
                future = self.waiting.pop(message["id"])
                if not future.done():  # whoever asked may have been stopped meanwhile
                    future.set_result(message["many"])
                continue
            data = base64.b64decode(message["data"])
            if "id" in message:
                self.waiting.pop(message["id"]).set_result(data)
            else:
                for prefix, handler in self.handlers:
                    if message["subject"].startswith(prefix):
                        handler(LinkMessage(message["subject"], data))


def crash_at(point):
    """`module:Class.method:before|after` (or `module:function:…`): die by SIGKILL there, the first time it is reached."""
    module_name, path, when = point.split(":")
    owner = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, name)

    def dies(*args, **kwargs):
        if when == "after":
            original(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(owner, name, dies)


async def main(root, path, key):
    if os.environ.get("TEST_CRASH"):
        crash_at(os.environ["TEST_CRASH"])
    link = SocketLink(path)
    worker = Worker(
        node_id="n1",
        state=StateDir(Path(root)),
        link=link,
        settings=AgentSettings(state_dir=Path(root), slots=int(os.environ.get("TEST_SLOTS", "10"))),
        clock=SystemClock(),
        keys={"k1": base64.b64decode(key)},
        boot=os.environ.get("TEST_BOOT_ID"),
    )
    ready = asyncio.Event()
    work = asyncio.ensure_future(worker.run(ready.set))
    await ready.wait()
    await asyncio.wait([work, asyncio.ensure_future(link.run())], return_when=asyncio.FIRST_COMPLETED)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

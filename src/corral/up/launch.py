"""The order of the steps, and why it is this order.

1 lock the folder (a second `corral up` on the same data says who holds it)      5 stop nodes an earlier run left, enrol new ones
2 end the server an earlier, killed run left behind                              6 start their daemons and workers
3 start the server, which starts the engine; wait until it is ready              7 say what can be tried, then keep all running
4 write the local context, so that the CLI works from here without login         8 on Ctrl-C: nodes, then server, then anything left
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from corral.agent.bundle import build_bundle
from corral.agent.config import StateDir
from corral.domain.errors import Unavailable
from corral.domain.node import parse_labels
from corral.runtime import logs
from corral.runtime.clock import Clock, SystemClock
from corral.runtime.files import DirectoryLock, private_dir, write_atomic
from corral.runtime.lifecycle import Component, Lifecycle
from corral.up import banner, nodes
from corral.up.api import Api
from corral.up.child import Child
from corral.up.options import UpOptions
from corral.up.place import Place, Ports, choose_ports, record_pid, stop_lock_holder, stop_recorded
from corral.up.reaper import Reaper, become_subreaper, end_all

log = logging.getLogger("corral.up")
_START_SECONDS = 30.0
T = TypeVar("T")


async def launch(options: UpOptions) -> int:
    """Run until Ctrl-C or TERM; returns the exit status. Raises CorralError when a part cannot be started."""
    logs.configure(level="info" if options.verbose else "warning")
    clock = SystemClock()
    place = Place(options.data_dir)
    place.prepare()
    lock = DirectoryLock(place.root, name="up.lock", what="the data in")
    lock.acquire()
    become_subreaper()
    context = Path.cwd() / ".corral" / "local.json"
    try:
        return await _run(options, place, context, clock)
    finally:
        ended = await end_all(clock)
        if ended:
            log.info("ended %d processes that were still running", ended)
        if options.ephemeral:
            _forget_context(context, place)
        lock.release()


async def _run(options: UpOptions, place: Place, context: Path, clock: Clock) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(sig, stop.set)
    await stop_recorded(place, "server", clock)
    await stop_lock_holder(place, clock)
    ports = choose_ports(place, options.port)
    if options.port is None and ports.http != 8080:
        print(f"port 8080 is taken; using {ports.http}", file=sys.stderr)
    server = _server(place, ports, clock)
    parts: list[Child] = [server]
    life = Lifecycle([server, Reaper(waited_for=lambda: {part.pid for part in parts if part.pid}, clock=clock)])
    running = loop.create_task(life.run(signals=()), name="up/server")
    bundle = loop.create_task(asyncio.to_thread(build_bundle, place.bundle), name="up/bundle")
    fleet: asyncio.Task[None] | None = None
    fleet_life: Lifecycle | None = None
    try:
        await _unless(stop, running, life.started.wait())
        record_pid(place, "server", server.pid or 0)
        api = await _unless(stop, running, _ready(place, ports, clock))
        if api is None:
            return 130
        _write_context(context, api)
        await bundle
        children = await _unless(stop, running, _nodes(options, place, api, clock))
        if children is None:
            return 130
        parts += children
        fleet_life = Lifecycle(_components(options, place, api, children, clock))
        fleet = loop.create_task(fleet_life.run(signals=()), name="up/nodes")
        online = await _unless(stop, running, _online(api, options.nodes, clock))
        if online is not None:
            print(await banner.text(api, options=options, online=online, data_dir=place.root), flush=True)
        await _unless(stop, running, stop.wait())
        if running.done():
            running.result()
        return 0
    finally:
        print("stopping …", file=sys.stderr, flush=True)
        for life_, task in ((fleet_life, fleet), (life, running)):
            if life_ is not None and task is not None:
                life_.stop()
                await asyncio.wait([task])


async def _unless(stop: asyncio.Event, running: asyncio.Task[None], work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None when a stop was asked for meanwhile; raises what the server part died of."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work, name="up/step")
    stopper = loop.create_task(stop.wait(), name="up/stop")
    try:
        await asyncio.wait([task, stopper, running], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if running.done() and not stop.is_set():
            running.result()
        return None
    finally:
        task.cancel()
        stopper.cancel()


def _server(place: Place, ports: Ports, clock: Clock) -> Child:
    settings = {
        "CORRAL__SERVER__DATA_DIR": str(place.server),
        "CORRAL__SERVER__PORT": str(ports.http),
        "CORRAL__ENGINE__PORT": str(ports.engine),
    }
    return Child(
        name="server",
        argv=[sys.executable, "-m", "corral", "server"],
        log_file=place.server_log,
        clock=clock,
        env={**os.environ, **settings},
    )


async def _ready(place: Place, ports: Ports, clock: Clock) -> Api:
    """Wait for the server; raises Unavailable with the end of its log when it does not come."""
    api = Api(f"http://127.0.0.1:{ports.http}")
    deadline = clock.monotonic() + _START_SECONDS
    while not await api.answers("/readyz"):
        if clock.monotonic() > deadline:
            tail = place.server_log.read_text(errors="replace")[-1500:]
            raise Unavailable(f"cannot start the server: not ready after {_START_SECONDS:g} s; its log ends:\n{tail}")
        await clock.sleep(0.05)
    api.token = place.admin_token.read_text().strip()
    return api


def _write_context(path: Path, api: Api) -> None:
    private_dir(path.parent)
    write_atomic(path, json.dumps({"url": api.url, "token": api.token, "ca": None}).encode(), durable=False)


def _forget_context(path: Path, place: Place) -> None:
    """Remove the context, unless another `corral up` has put its own there meanwhile."""
    try:
        token = place.admin_token.read_text().strip()
        if json.loads(path.read_bytes())["token"] == token:
            path.unlink()
    except (OSError, ValueError, KeyError):
        pass


async def _nodes(options: UpOptions, place: Place, api: Api, clock: Clock) -> list[Child]:
    await nodes.stop_leftovers(place.known_nodes(), clock)
    states = [place.node(number) for number in range(1, options.nodes + 1)]
    new = [state for state in states if not nodes.enrolled_at(state, api.url)]
    for state in states:
        nodes.prepare(state)
    numbered = [(number, state) for number, state in enumerate(states, start=1) if state in new]
    await asyncio.gather(*(_join(api, place, state, labels=nodes.labels_of(number)) for number, state in numbered))
    return [child for state in states for child in nodes.children(place.bundle, state, clock=clock)]


async def _join(api: Api, place: Place, state: StateDir, *, labels: str) -> None:
    merge, _ = parse_labels(labels)
    node_id = state.root.name
    token = await api.post(
        "/api/v1/tokens", {"uses": 1, "ttl_seconds": 300, "labels": merge, "groups": ["demo"], "node_id": node_id}
    )
    await nodes.enrol(place.bundle, state, node_id=node_id, server_url=api.url, token=token["token"])


def _components(options: UpOptions, place: Place, api: Api, children: Sequence[Child], clock: Clock) -> list[Component]:
    parts: list[Component] = list(children)
    if options.sim:
        # The token travels by the context file in the working directory, never on a command line.
        parts.append(
            Child(
                name="simulator",
                argv=[sys.executable, "-m", "corral", "sim", str(options.sim), "--serve"],
                log_file=place.root / "sim.log",
                clock=clock,
            )
        )
    return parts


async def _online(api: Api, wanted: int, clock: Clock, *, patience_seconds: float = 15.0) -> int:
    """How many nodes are online once all demo nodes are, with their workers, or after `patience_seconds`."""
    deadline = clock.monotonic() + patience_seconds
    while True:
        online = await api.get("/api/v1/nodes?presence=online")
        if sum(node["worker"] == "up" for node in online) >= wanted or clock.monotonic() > deadline:
            return len(online)
        await clock.sleep(0.1)

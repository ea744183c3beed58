"""F14: reports are not taken in for a while although output pours, and a browser asks for it all and never reads.

Expected: the engine and every node's link stay, memory stays bounded, tasks that end meanwhile are kept and settled when ingest goes
on, and the one who does not read holds up nobody else; the server lets go of him after a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import urlsplit

from corral.sdk import Output, Submission
from corral.testing.chaos.field import Field
from corral.testing.chaos.ground import Fault, Ground, Outcome
from corral.testing.chaos.processes import memory_peak_mb

SERVER_MB = 600.0
DROPPED_SECONDS = 90.0


async def run(ground: Ground) -> Outcome:
    seconds, nodes = ground.pick(8, 120), ground.pick(10, 20)
    problems: list[str] = []
    with ground.folder() as folder:
        hold = Path(folder) / "hold"
        async with ground.field(nodes, env={"CORRAL_FAILPOINT": f"before_ingest:hold={hold}"}) as field:
            engine = field.stack.engine_pid
            hold.touch()
            began = ground.clock.monotonic()
            # each node prints about 1 MB/s for as long as nothing is taken in
            script = (
                f'echo "$CORRAL_TASK" >>{field.log}; i=0; while [ $i -lt {seconds * 5} ]; do '
                "head -c 204800 /dev/zero | tr '\\0' x; i=$((i+1)); sleep 0.2; done"
            )
            job = (await field.fleet.jobs.submit(Submission(target="all", shell=script, max_output=512 << 20))).id
            async with _never_reads(field, job) as client:
                async with field.load(every=0.3, seconds=0.2):
                    await ground.clock.sleep(seconds)
                    waiting = (await field.fleet.jobs.get(job)).counts
                hold.unlink()
                released = ground.clock.monotonic()
                if await field.quiet(seconds=60) is None:
                    problems.append("not everything ended within 60 s of ingest going on")
                settled = ground.clock.monotonic() - released
                read = await _read_all(field, job)
                dropped = await _dropped(client, ground.pick(0, 1) * DROPPED_SECONDS)
            if read != nodes * seconds * 5 * 204800:
                problems.append(f"a reader who reads got {read} bytes of {nodes * seconds * 5 * 204800}")
            if field.stack.engine_pid != engine:
                problems.append("the engine was started anew")
            assert field.stack.server is not None
            memory = {
                "server": round(memory_peak_mb(field.stack.server.pid)),
                "engine": round(memory_peak_mb(engine)),
                "workers": [round(memory_peak_mb(host.pid)) for host in field.stack.hosts],
            }
            if memory["server"] > SERVER_MB:  # type: ignore[operator]  # a number, the list is another key's
                problems.append(f"the server took {memory['server']} MB")
            if ground.scale == "full" and not dropped:
                problems.append(f"who never reads was not let go of within {DROPPED_SECONDS:g} s")
            judged = await field.judge()
    figures = {
        "held_s": seconds,
        "held_job": dict(waiting),
        "settled_s": round(settled, 2),
        "output_mb": round(read / 1e6),
        "peak_mb": memory,
        "dropped": dropped,
        "seconds": round(ground.clock.monotonic() - began, 1),
        "tasks": judged.counts,
        "nodes": nodes,
    }
    return Outcome(ran=1, problems=[*problems, *judged.problems], figures=figures)


@contextlib.asynccontextmanager
async def _never_reads(field: Field, job: str) -> AsyncGenerator[socket.socket, None]:
    """A client with a small window that asks for all events of the job."""
    address = urlsplit(field.stack.url)
    token = (field.stack.data / "admin.token").read_text().strip()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(client, (address.hostname, address.port))
        request = (
            f"GET /api/v1/jobs/{job}/events?output=1 HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"Authorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
        )
        await asyncio.get_running_loop().sock_sendall(client, request.encode())
        yield client
    finally:
        client.close()


async def _dropped(client: socket.socket, seconds: float) -> bool:
    """Whether the server ends the connection: what its buffers hold can still be read, then comes the end."""
    if seconds == 0:
        return False
    await asyncio.sleep(seconds)
    try:
        async with asyncio.timeout(10):
            while await asyncio.get_running_loop().sock_recv(client, 1 << 20):
                pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


async def _read_all(field: Field, job: str) -> int:
    total = 0
    async with aclosing(field.fleet.jobs.output(job)) as events:
        async for event in events:
            assert isinstance(event, Output)
            total += len(event.data)
    return total


FAULT = Fault(name="F14", title="ingest held, a reader who never reads", asked="10 min at 10 MB/s", run=run)

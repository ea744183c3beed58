"""`corral sim N`: a fleet of simulated nodes against a running server."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corral.domain.errors import CorralError, NothingMatched, Unavailable
from corral.runtime.clock import Clock, SystemClock
from corral.runtime.files import private_dir
from corral.sdk import Fleet, connect
from corral.testing.sim.identities import BATCH, FleetFile, SimulatedIdentity, make
from corral.testing.sim.spread import host_argv, processes_for

_EXAMPLES = """\
examples:
  corral sim 200                     200 nodes that run real commands here, until Ctrl-C
  corral sim 10000 --no-exec         ten thousand that only pretend to run them
  corral sim 1000 --json             print what is on, as JSON, once all are online

The nodes belong to the server of your context (see: corral config show) and are removed at the end unless --keep is given.
"""


def parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="corral sim",
        description="Simulate a fleet: real identities, links, journals and runners, many in one process.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("nodes", type=int, metavar="N", help="how many nodes")
    parser.add_argument("--no-exec", action="store_true", help="report success without starting a process")
    parser.add_argument(
        "--processes",
        type=int,
        metavar="P",
        help="processes to spread over (default: 2, more where open files are limited)",
    )
    parser.add_argument("--prefix", default="sim", help="node ids are PREFIX-00001 and so on")
    parser.add_argument("--spool", type=Path, metavar="DIR", help="journals and spools (default: a tmpfs folder)")
    parser.add_argument("--keep", action="store_true", help="leave the nodes enrolled and the spool in place")
    parser.add_argument("--serve", action="store_true", help="run until stopped (the default; kept for scripts)")
    parser.add_argument("--json", action="store_true", help="one line of JSON on standard output once all are online")
    options = parser.parse_args(words)
    if not 1 <= options.nodes <= 50_000:
        parser.error(f"N is {options.nodes}: expected 1 to 50000")
    options.processes = options.processes or processes_for(options.nodes)
    return options


def main(words: Sequence[str]) -> int:
    options = parse(words)
    try:
        return asyncio.run(_run(options))
    except CorralError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130


async def register(fleet: Fleet, nodes: Sequence[SimulatedIdentity]) -> FleetFile:
    """Have the server sign one credential for each node, in batches."""
    signed: list[SimulatedIdentity] = []
    answer: dict[str, Any] = {}
    for start in range(0, len(nodes), BATCH):
        part = nodes[start : start + BATCH]
        body = {"nodes": [{"id": node.node_id, "key": node.public} for node in part]}
        answer = await fleet.call("POST", "/sim/nodes", body)
        signed += [
            SimulatedIdentity(node_id=node.node_id, seed=node.seed, jwt=jwt)
            for node, jwt in zip(part, answer["credentials"], strict=True)
        ]
    return FleetFile(
        engine_urls=answer["engine_urls"],
        engine_ca=answer["engine_ca"],
        signing_keys=answer["signing_keys"],
        nodes=signed,
    )


def spool_folder() -> Path:
    """N nodes have N disks and this machine has one: a tmpfs stands in for them where there is one."""
    shared = Path("/dev/shm")  # noqa: S108  # a folder with a random name is made inside, mode 0700
    return Path(tempfile.mkdtemp(prefix="corral-sim-", dir=shared if shared.is_dir() else None))


async def start_hosts(
    fleet_file: Path, count: int, *, processes: int, spool: Path, flags: Sequence[str]
) -> list[asyncio.subprocess.Process]:
    return [
        await asyncio.create_subprocess_exec(*argv, *flags, stdout=sys.stderr)
        for argv in host_argv(fleet_file, count, processes, spool)
    ]


async def _online(fleet: Fleet, prefix: str, wanted: int, clock: Clock, *, patience_seconds: float) -> int:
    deadline = clock.monotonic() + patience_seconds
    while True:
        try:
            online = len((await fleet.call("POST", "/nodes/resolve", {"selector": f"{prefix}-* and online"}))["nodes"])
        except NothingMatched:
            online = 0
        if online >= wanted or clock.monotonic() > deadline:
            return online
        await clock.sleep(0.1)


async def _run(options: argparse.Namespace) -> int:
    clock = SystemClock()
    stop = asyncio.Event()
    for sig in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sig, stop.set)
    spool = options.spool or spool_folder()
    private_dir(spool)
    hosts: list[asyncio.subprocess.Process] = []
    async with connect() as fleet:
        try:
            file = await register(fleet, make(options.nodes, prefix=options.prefix))
            file.save(spool / "fleet.json")
            began = clock.monotonic()
            flags = ["--no-exec"] if options.no_exec else []
            hosts = await start_hosts(
                spool / "fleet.json", options.nodes, processes=options.processes, spool=spool, flags=flags
            )
            online = await _online(
                fleet, options.prefix, options.nodes, clock, patience_seconds=30 + options.nodes / 50
            )
            _say(options, file, online, clock.monotonic() - began)
            if online < options.nodes:
                raise Unavailable(
                    f"cannot bring all nodes online: {online} of {options.nodes}", hint="see: corral doctor"
                )
            await stop.wait()
            return 0
        finally:
            await _stop(hosts)
            if not options.keep:
                await fleet.call("POST", "/sim/nodes/remove", {"prefix": options.prefix})
                shutil.rmtree(spool, ignore_errors=True)


def _say(options: argparse.Namespace, file: FleetFile, online: int, seconds: float) -> None:
    if not options.json:
        print(
            f"{online} of {options.nodes} simulated nodes online after {seconds:.1f} s; Ctrl-C removes them", flush=True
        )
        return
    tls = all(url.startswith("tls://") for url in file.engine_urls)
    on = {"tls": tls, "signatures": True, "journal": True, "policy": True, "audit": True, "exec": not options.no_exec}
    print(
        json.dumps({"nodes": online, "processes": options.processes, "online_s": round(seconds, 3), **on}), flush=True
    )


async def _stop(hosts: Sequence[asyncio.subprocess.Process]) -> None:
    for host in hosts:
        if host.returncode is None:
            host.terminate()
    for host in hosts:
        try:
            await asyncio.wait_for(host.wait(), 15)
        except TimeoutError:
            host.kill()
            await host.wait()

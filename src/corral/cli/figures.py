"""`corral doctor`'s judgement of what the server measured (GET /system): figures in, findings out. Pure.

A figure that is missing is not judged: an older server does not send it, and that is said by the version.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from corral.cli.finding import Finding, Status
from corral.cli.output.units import show_ago, show_duration, show_size
from corral.sdk.models import parse_time

DISK_WARN: Final = 0.10
DISK_FAIL: Final = 0.02
STREAM_WARN: Final = 0.80
STREAM_FAIL: Final = 0.97
FULL_BY_DESIGN: Final = frozenset({"output", "beats", "sync", "metrics", "facts"})
"""These drop their oldest when they are full; the others refuse what is new."""
FILES_SPARE: Final = 1000
CERTIFICATE_WARN_DAYS: Final = 30
CERTIFICATE_FAIL_DAYS: Final = 3
BACKUP_WARN: Final = timedelta(days=8)
SEAL_FAIL: Final = timedelta(minutes=2)


def judge(system: Mapping[str, Any], now: datetime) -> Iterator[Finding]:
    """Every figure in the order in which a person would ask."""
    yield from _streams(_part(_part(system, "engine"), "streams"))
    yield from _sickness(_part(system, "engine"))
    yield from _disk(_part(system, "disk"))
    yield from _files(_part(system, "files"))
    yield from _certificates(system.get("certificates"))
    yield from _permissions(_part(system, "permissions"))
    yield from _retention(_part(system, "retention"), now)
    yield from _audit(_part(system, "audit"), now)
    yield from _letters(_part(system, "dead_letters"))
    yield from _backup(system, now)


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return found if isinstance(found, Mapping) else {}


def _sickness(engine: Mapping[str, Any]) -> Iterator[Finding]:
    if engine.get("sickness"):
        yield Finding(
            "FAIL", "engine", f"is unwell: {engine['sickness']}", "free space on its disk; the server's log says more"
        )


def _streams(streams: Mapping[str, Any]) -> Iterator[Finding]:
    shares = {
        name: usage["bytes"] / usage["max_bytes"]
        for name, usage in streams.items()
        if isinstance(usage, Mapping) and usage.get("max_bytes", 0) > 0
    }
    if not shares:
        return
    full = {name: share for name, share in shares.items() if share >= STREAM_WARN and name not in FULL_BY_DESIGN}
    if not full:
        name, share = max(shares.items(), key=lambda pair: pair[1])
        size = show_size(streams[name]["bytes"])
        yield Finding("OK", "streams", f"{len(shares)} within their limits; fullest: {name}, {share:.0%} ({size})")
        return
    for name, share in sorted(full.items()):
        status: Status = "FAIL" if share >= STREAM_FAIL else "WARN"
        limit = show_size(streams[name]["max_bytes"])
        yield Finding(
            status,
            "streams",
            f"{name} is {share:.0%} full of {limit}",
            "raise engine.store_max_bytes and restart the server",
        )


def _disk(disk: Mapping[str, Any]) -> Iterator[Finding]:
    total, free = disk.get("total_bytes"), disk.get("free_bytes")
    if not total or free is None:
        return
    share = free / total
    status: Status = "FAIL" if share < DISK_FAIL else "WARN" if share < DISK_WARN else "OK"
    text = f"{show_size(free)} free ({share:.0%}) under {disk.get('path')} on the server"
    yield Finding(
        status, "disk", text, "" if status == "OK" else "free some space; the engine stops when its disk is full"
    )


def _files(files: Mapping[str, Any]) -> Iterator[Finding]:
    if not files.get("engine_is_ours") or "hard" not in files:
        return
    limit, need = files["hard"], files.get("connections_needed", 0) + FILES_SPARE
    if limit is None or limit >= need:
        shown = "any number of" if limit is None else limit
        yield Finding("OK", "nofile", f"{shown} open files allowed to the server, {need} needed")
    else:
        text = f"{limit} open files allowed to the server, its nodes need {need}"
        yield Finding(
            "FAIL", "nofile", text, f"LimitNOFILE={2 * need} in its unit, or ulimit -n {2 * need}; then restart it"
        )


def _certificates(certificates: Any) -> Iterator[Finding]:
    for row in certificates if isinstance(certificates, list) else []:
        days, name = row.get("days_left"), row.get("name")
        if days is None:
            yield Finding("FAIL", "tls", f"cannot read the {name} certificate {row.get('path')}", "corral system init")
        elif days < CERTIFICATE_WARN_DAYS:
            status: Status = "FAIL" if days < CERTIFICATE_FAIL_DAYS else "WARN"
            remedy = (
                "restart the server: it renews its own certificates" if name != "ca" else "docs/operations.md, a new CA"
            )
            ends = "has expired" if days < 0 else f"ends in {days} days"
            yield Finding(status, "tls", f"the {name} certificate {ends}", remedy)
        else:
            yield Finding("OK", "tls", f"the {name} certificate is good for {days} days")


def _permissions(permissions: Mapping[str, Any]) -> Iterator[Finding]:
    if not permissions:
        return
    too_open = permissions.get("too_open") or []
    if too_open:
        yield Finding(
            "WARN",
            "secrets",
            f"others can read {', '.join(too_open[:4])}",
            f"chmod -R go= {permissions.get('data_dir')}",
        )
    else:
        yield Finding("OK", "secrets", "the data directory is readable by its owner alone")


def _retention(retention: Mapping[str, Any], now: datetime) -> Iterator[Finding]:
    for kind in ("jobs", "audit"):
        row = _part(retention, kind)
        if not row:
            continue
        goes = parse_time(row.get("oldest_goes_at"))
        if goes is None:
            yield Finding("OK", "kept", f"{kind} for {row.get('keep_days')} days; none yet")
        elif goes < now - timedelta(days=2):
            late = show_duration((now - goes).total_seconds())
            text = f"{kind} should be kept {row.get('keep_days')} days, the oldest is overdue by {late}"
            yield Finding("WARN", "kept", text, "look for 'sweep' in the server's log")
        else:
            left = show_duration(max(0.0, (goes - now).total_seconds()))
            yield Finding("OK", "kept", f"{kind} for {row.get('keep_days')} days; the oldest goes in {left}")


def _audit(audit: Mapping[str, Any], now: datetime) -> Iterator[Finding]:
    """Sealing takes a second; that it stands still means that the chain is not the one that was signed, or that nobody leads."""
    if "sealed" not in audit:
        return
    since = parse_time(audit.get("waiting_since"))
    if since is not None and now - since > SEAL_FAIL:
        text = f"{audit.get('waiting')} entries wait for their seal, the first was made {show_ago(since, now)}"
        yield Finding("FAIL", "audit", text, "corral audit verify; the server's log says why sealing stopped")
    else:
        yield Finding(
            "OK", "audit", f"sealed up to entry {audit['sealed']} of the chain; corral audit verify proves it"
        )


def _letters(letters: Mapping[str, Any]) -> Iterator[Finding]:
    count = letters.get("last_day")
    if count is None:
        return
    if count:
        shown = f"{count} or more" if count == letters.get("at_most") else str(count)
        text = f"{shown} messages of the last day could not be understood; newest: {letters.get('newest')}"
        yield Finding(
            "WARN", "letters", text, "GET /api/v1/dead-letters shows them; are agents and server of one release?"
        )
    else:
        yield Finding("OK", "letters", "every message of the last day was understood")


def _backup(system: Mapping[str, Any], now: datetime) -> Iterator[Finding]:
    backup = _part(system, "backup")
    if not backup:
        return
    last = backup.get("last_at")
    if not isinstance(last, (int, float)):
        yield Finding("WARN", "backup", "this server knows of none", "corral system backup FILE, from a timer")
        return
    made = datetime.fromtimestamp(last, now.tzinfo)
    text = f"the last one was made {show_ago(made, now)}"
    if not backup.get("covers_sql", True):
        text += ", without the database (PostgreSQL is dumped beside)"
    if now - made > BACKUP_WARN:
        yield Finding("WARN", "backup", text, "corral system backup FILE, from a timer")
    else:
        yield Finding("OK", "backup", text)

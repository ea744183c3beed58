"""What this machine says of itself. The node's own claim: no grant, approval or secret may depend on a fact."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Final

import corral
from corral.agent.daemon import proc
from corral.agent.pidfile import boot_id

VOLATILE: Final = frozenset({"uptime", "load1", "load5", "load15"})
"""Facts that always differ: they travel with the others and are no reason to send."""


def read(path: str) -> str:
    """A small file of /proc, /sys or /etc; empty when it is missing or hidden."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def collect() -> dict[str, Any]:
    """All facts, empty ones left out. Takes a few milliseconds and starts no process."""
    system = os.uname()
    release = proc.os_release(read("/etc/os-release") or read("/usr/lib/os-release"))
    memory = proc.meminfo(read("/proc/meminfo"))
    cpuinfo = read("/proc/cpuinfo")
    load = proc.loadavg(read("/proc/loadavg"))
    facts: dict[str, Any] = {
        "hostname": system.nodename,
        "os": release.get("ID", "linux"),
        "os_version": release.get("VERSION_ID", ""),
        "os_name": release.get("PRETTY_NAME", ""),
        "arch": system.machine,
        "kernel": system.release,
        "boot_id": boot_id(),
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "agent_version": corral.__version__,
        "cpu_count": os.cpu_count(),
        "cpu_model": proc.cpu_model(cpuinfo),
        "mem_total": memory.get("MemTotal"),
        "swap_total": memory.get("SwapTotal"),
        "ips": proc.ipv4_addresses(read("/proc/net/fib_trie")) + proc.ipv6_addresses(read("/proc/net/if_inet6")),
        "mounts": mounted(),
        "timezone": timezone(),
        "virtualization": proc.virtualization(
            read("/sys/class/dmi/id/sys_vendor").strip(),
            read("/sys/class/dmi/id/product_name").strip(),
            guest=proc.hypervisor(cpuinfo),
        ),
        "container": container(),
        "init": read("/proc/1/comm").strip(),
        "uptime": proc.uptime(read("/proc/uptime")),
    }
    if load is not None:
        facts["load1"], facts["load5"], facts["load15"] = load
    return {name: value for name, value in facts.items() if value not in (None, "", [])}


def mounted() -> list[dict[str, Any]]:
    """The local disks with their sizes in bytes."""
    found = []
    for mount in proc.mounts(read("/proc/self/mounts")):
        try:
            size = os.statvfs(mount.path)
        except OSError:
            continue
        if size.f_blocks:
            found.append({"path": mount.path, "fs": mount.kind, "size": size.f_blocks * size.f_frsize})
    return found


def timezone() -> str:
    """Such as Europe/Berlin, or the abbreviation when the machine does not name its zone."""
    try:
        target = os.readlink("/etc/localtime")
    except OSError:
        target = ""
    _, found, zone = target.partition("/zoneinfo/")
    return zone if found else read("/etc/timezone").strip() or time.tzname[0]


def container() -> str:
    """Which container we are in, "" when none shows."""
    for path, name in (("/run/.containerenv", "podman"), ("/.dockerenv", "docker")):
        if os.path.exists(path):
            return name
    for entry in read("/proc/1/environ").split("\0"):
        if entry.startswith("container="):
            return entry.removeprefix("container=")[:40] or "container"
    return ""


def steady(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts whose change is worth a message."""
    return {name: value for name, value in facts.items() if name not in VOLATILE}

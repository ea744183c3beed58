"""Pure parsers of what Linux says of itself: text in, numbers out. No file is opened here; golden samples are the tests.

Every parser takes what it knows and leaves out what it does not: a field a kernel or a container hides is absent, never invented.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

SECTOR_BYTES: Final = 512
_PSEUDO: Final = frozenset(
    (
        "autofs",
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "ramfs",
        "rpc_pipefs",
        "securityfs",
        "selinuxfs",
        "squashfs",
        "sysfs",
        "tmpfs",
        "tracefs",
    )
)
_REMOTE: Final = frozenset(
    (
        "9p",
        "afs",
        "ceph",
        "cifs",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
        "sshfs",
    )
)


class Mount(NamedTuple):
    device: str
    path: str
    kind: str


class CpuTimes(NamedTuple):
    """Clock ticks since boot, all processors together."""

    busy: int
    total: int


def os_release(text: str) -> dict[str, str]:
    """/etc/os-release → {"ID": "debian", …}; quotes and backslashes undone."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name.isidentifier():
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            found[name] = value.replace("\\", "")
    return found


def meminfo(text: str) -> dict[str, int]:
    """/proc/meminfo → bytes by name."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found


def cpu_times(text: str) -> CpuTimes | None:
    """The first line of /proc/stat. Guest time is inside user time already; waiting for a disk is not being busy."""
    words = text.partition("\n")[0].split()
    if len(words) < 5 or words[0] != "cpu":
        return None
    ticks = [int(word) for word in words[1:9]]
    total = sum(ticks)
    idle = ticks[3] + (ticks[4] if len(ticks) > 4 else 0)
    return CpuTimes(total - idle, total)


def cpu_percent(before: CpuTimes, after: CpuTimes) -> float:
    """How busy the processors were between two readings, 0 to 100."""
    total = after.total - before.total
    return round(min(100.0, max(0.0, 100 * (after.busy - before.busy) / total)), 2) if total > 0 else 0.0


def cpu_model(text: str) -> str:
    """The processor's name in /proc/cpuinfo: x86 says `model name`, others `Hardware`, `cpu model` or `uarch`."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return next((found[name] for name in ("model name", "Hardware", "cpu model", "uarch") if found.get(name)), "")


def hypervisor(cpuinfo: str) -> bool:
    """Whether the processor says that it is a guest's (x86 only)."""
    return any(line.startswith("flags") and " hypervisor" in line for line in cpuinfo.splitlines())


def virtualization(vendor: str, product: str, *, guest: bool) -> str:
    """What this machine runs on: "kvm", "vmware", … or "vm" when only that much is known, "" for metal."""
    text = f"{vendor} {product}".lower()
    for word, name in (
        ("firecracker", "firecracker"),
        ("vmware", "vmware"),
        ("virtualbox", "virtualbox"),
        ("innotek", "virtualbox"),
        ("microsoft corporation virtual", "hyperv"),
        ("xen", "xen"),
        ("amazon ec2", "aws"),
        ("google", "gcp"),
        ("openstack", "openstack"),
        ("alibaba", "alibaba"),
        ("tencent", "tencent"),
        ("qemu", "kvm"),
        ("kvm", "kvm"),
        ("bochs", "kvm"),
    ):
        if word in text:
            return name
    return "vm" if guest else ""


def loadavg(text: str) -> tuple[float, float, float] | None:
    words = text.split()
    try:
        return float(words[0]), float(words[1]), float(words[2])
    except (IndexError, ValueError):
        return None


def uptime(text: str) -> float | None:
    try:
        return float(text.split()[0])
    except (IndexError, ValueError):
        return None


def mounts(text: str) -> list[Mount]:
    """The local disks of /proc/self/mounts, each device once, by its shortest path.

    A network file system is left out: asking a dead one for its size blocks for minutes.
    """
    best: dict[str, Mount] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 3:
            continue
        device, path, kind = words[0], _unescape(words[1]), words[2]
        if kind in _PSEUDO or kind in _REMOTE or (kind.startswith("fuse") and kind != "fuseblk"):
            continue
        # An overlay has no device of its own: one per path; only the root is worth telling.
        key = device if device.startswith("/") else f"{kind}:{path}"
        if kind == "overlay" and path != "/":
            continue
        if key not in best or len(path) < len(best[key].path):
            best[key] = Mount(device, path, kind)
    return sorted(best.values(), key=lambda mount: mount.path)


def _unescape(path: str) -> str:
    r"""Mount paths write blanks as \040 and so on."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, char)
    return path


def disk_bytes(text: str, disks: Collection[str]) -> tuple[int, int]:
    """(read, written) bytes since boot over whole `disks` (as /sys/block lists them), from /proc/diskstats."""
    read = written = 0
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 10 and words[2] in disks and not words[2].startswith(("loop", "ram", "zram", "dm-", "md")):
            read += int(words[5]) * SECTOR_BYTES
            written += int(words[9]) * SECTOR_BYTES
    return read, written


def interface_bytes(text: str) -> dict[str, tuple[int, int]]:
    """/proc/net/dev → interface → (received, sent) bytes; without loopback and the ends of containers' cables."""
    found: dict[str, tuple[int, int]] = {}
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        words, name = rest.split(), name.strip()
        if len(words) >= 9 and name != "lo" and not name.startswith("veth"):
            found[name] = int(words[0]), int(words[8])
    return found


def ipv4_addresses(fib_trie: str) -> list[str]:
    """The machine's own addresses in /proc/net/fib_trie: each is a `|--` line followed by `/32 host LOCAL`."""
    found: dict[str, None] = {}
    last = ""
    for line in fib_trie.splitlines():
        text = line.strip()
        if text.startswith(("|-- ", "+-- ")):
            last = text[4:].split("/")[0].strip()
        elif text.startswith("/32 host LOCAL") and last and not last.startswith("127."):
            found[last] = None
    return sorted(found, key=lambda address: [int(part) for part in address.split(".")])


def ipv6_addresses(if_inet6: str) -> list[str]:
    """Global and unique-local addresses in /proc/net/if_inet6, in their short form."""
    import socket

    found = set()
    for line in if_inet6.splitlines():
        words = line.split()
        if len(words) == 6 and words[3] == "00" and words[5] != "lo":
            found.add(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(words[0])))
    return sorted(found)


def resident_bytes(statm: str, page_bytes: int) -> int:
    """RSS from /proc/<pid>/statm."""
    words = statm.split()
    return int(words[1]) * page_bytes if len(words) > 1 else 0

"""The deny list a new installation begins with, and which the demo nodes of `corral up` hold besides. A guard rail, not a wall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from corral.domain.shelltext import FORK_BOMB


def _deny(name: str, **match: Sequence[str]) -> dict[str, Any]:
    return {"id": name, "effect": "deny", "match": {key: list(value) for key, value in match.items()}}


_DEVICES: Final = (
    "/dev/sd*", "/dev/vd*", "/dev/xvd*", "/dev/nvme*", "/dev/hd*", "/dev/mmcblk*", "/dev/mapper/*", "/dev/md*", "/dev/dm-*",
    "/dev/loop*", "/dev/disk/*", "/dev/mem", "/dev/kmem", "/dev/port",
)  # fmt: skip

REMOVED: Final = (
    "/", "/bin/**", "/boot/**", "/dev/**", "/etc/*", "/home", "/lib/**", "/lib32/**", "/lib64/**", "/media", "/mnt", "/opt",
    "/proc/**", "/root", "/run", "/sbin/**", "/srv", "/sys/**", "/usr/*", "/usr/bin/**", "/usr/lib/*", "/usr/lib64/*",
    "/usr/sbin/**", "/usr/local", "/var", "/var/lib", "/var/log", "/var/spool",
    "/tmp",  # noqa: S108  # a path to guard, not a place to write to
)  # fmt: skip
CHANGED: Final = (
    "/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib32", "/lib64", "/opt", "/proc", "/root", "/run", "/sbin", "/srv",
    "/sys", "/usr/*", "/var", "/var/lib", "/etc/ssh", "/etc/pam.d", "/etc/systemd", "/etc/passwd", "/etc/shadow",
)  # fmt: skip
_DECODERS: Final = ("base64", "base32", "basenc", "xxd", "uudecode", "openssl", "rev", "tr", "gpg", "od", "hexdump")
_RUNNERS: Final = (
    "sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "rbash", "eval", "source", ".", "python*", "perl", "ruby", "node", "php", "$",
)  # fmt: skip

SHIPPED: Final[Sequence[Mapping[str, Any]]] = (
    _deny("no-power-off", program=("shutdown", "reboot", "halt", "poweroff", "kexec")),
    _deny("no-power-off-init", program=("init", "telinit"), args=("0", "1", "6", "s", "S", "q", "u")),
    _deny(
        "no-power-off-systemctl",
        program=("systemctl", "loginctl"),
        args=("reboot", "poweroff", "halt", "kexec", "soft-reboot", "suspend", "hibernate", "hybrid-sleep",
              "suspend-then-hibernate", "rescue", "emergency", "exit", "reboot.target", "poweroff.target", "halt.target",
              "rescue.target", "emergency.target"),
    ),
    _deny("no-power-off-bus", program=("busctl", "dbus-send", "gdbus"),
          args=("*Reboot*", "*PowerOff*", "*Halt*", "*KExec*", "*SoftReboot*")),
    _deny("no-sysrq", writes=("/proc/sysrq-trigger",)),
    _deny("no-mkfs", program=("mkfs", "mkfs.*", "mke2fs", "mkswap", "wipefs", "blkdiscard", "fdisk", "sfdisk", "cfdisk",
                              "sgdisk", "gdisk", "parted", "mkntfs", "mkdosfs")),
    _deny("no-volume-removal", program=("lvremove", "vgremove", "pvremove")),
    _deny("no-volume-erasure", program=("cryptsetup", "mdadm", "zpool"),
          args=("erase", "luksErase", "luksFormat", "--zero-superblock", "destroy", "labelclear")),
    _deny("no-raw-disk", writes=_DEVICES),
    _deny("no-system-removal", removes=REMOVED),
    _deny("no-system-change", changes=CHANGED),
    _deny("no-fork-bomb", program=(FORK_BOMB,)),
    _deny("no-decoded-shell", program=_RUNNERS, fed_by=_DECODERS),
)  # fmt: skip
"""Whoever changes this list changes what a new installation refuses; one that exists keeps its own."""

"""The systemd unit of the server. Pure text; the reason for each line that is not obvious stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from corral.domain.errors import Invalid

UNIT: Final = "corral-server.service"
UNIT_DIR: Final = Path("/etc/systemd/system")
FILES_MIN: Final = 65536
MARK: Final = "# Written by 'corral system install'."


@dataclass(frozen=True, kw_only=True)
class Service:
    """`low_port`: it listens below 1024, which only root may without help."""

    command: Sequence[str]
    user: str
    group: str
    data_dir: Path
    files: int = FILES_MIN
    low_port: bool = False


def unit_text(service: Service) -> str:
    capability = "CAP_NET_BIND_SERVICE" if service.low_port else ""
    return f"""\
{MARK}
[Unit]
Description=Corral server
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
User={service.user}
Group={service.group}
ExecStart={" ".join(quote(word) for word in service.command)}
Restart=always
RestartSec=2
# The server stops its engine itself; what is left after that is killed.
KillMode=mixed
TimeoutStopSec=60
# Two connections a node.
LimitNOFILE={service.files}
UMask=0077

# It writes into its data directory and nowhere else.
ProtectSystem=strict
ReadWritePaths={quote(str(service.data_dir))}
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
NoNewPrivileges=yes
CapabilityBoundingSet={capability}
AmbientCapabilities={capability}
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def quote(word: str) -> str:
    """One word for a unit file: systemd expands % and $, and splits at blanks."""
    if any(ord(char) < 32 for char in word):
        raise Invalid(f"cannot put {word!r} into a unit file: it holds a control character", element="unit")
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if any(char in word for char in " ';") else word

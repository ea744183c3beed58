"""The two systemd units of a node, and the two bare commands for a machine without systemd. Pure texts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final

ROLES: Final = ("daemon", "worker")
UNIT_DIR: Final = "/etc/systemd/system"


def unit_name(role: str) -> str:
    return f"corral-{role}.service"


def unit_text(role: str, command: Sequence[str]) -> str:
    """The unit of one role; `command` starts it in the foreground."""
    # KillMode=process: stopping the worker must leave its running tasks alone; the next worker adopts them.
    what = {
        "daemon": "presence, facts, metrics, and the keeper of the worker",
        "worker": "runs the commands of the fleet",
    }[role]
    return f"""\
[Unit]
Description=Corral {role}: {what}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={" ".join(_quote(word) for word in command)}
KillMode=process
Restart=always
RestartSec=2
TimeoutStopSec=30
UMask=0077
LimitNOFILE=65536
{"OOMScoreAdjust=-500" if role == "daemon" else "Delegate=yes"}

[Install]
WantedBy=multi-user.target
"""


def bare_command(command: Sequence[str]) -> str:
    """The same without systemd: in the background, away from the terminal."""
    return f"setsid nohup {shlex.join(command)} >/dev/null 2>&1 </dev/null &"


def _quote(word: str) -> str:
    """One word for ExecStart: systemd expands % and $, and splits at blanks."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if any(c in word for c in " \t'\";") else word

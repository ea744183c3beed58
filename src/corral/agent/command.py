"""How this very program is started again: from the zipapp it runs from, or from the installed package."""

from __future__ import annotations

import sys
from pathlib import Path

import corral


def zipapp() -> Path | None:
    """The zipapp we run from, or None when we run from a folder."""
    inside = Path(corral.__file__).absolute()
    return next((parent for parent in inside.parents if parent.is_file()), None)


def agent_argv(verb: str, state: Path, *more: str) -> list[str]:
    """argv of `corral agent <verb> --state <state>`."""
    bundle = zipapp()
    # The zipapp needs no site-packages: -S and -E keep the machine's own out, and save memory.
    start = ["-S", "-E", str(bundle)] if bundle else ["-m", "corral"]
    return [sys.executable, *start, "agent", verb, "--state", str(state.absolute()), *more]

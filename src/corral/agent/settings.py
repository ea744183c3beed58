"""The settings of daemon and worker: flag > CORRAL__AGENT__<KEY> > <state>/agent.toml > default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from corral.agent.config import DEFAULT_STATE, AgentSettings
from corral.runtime.config import load


def load_settings(flags: Mapping[str, str]) -> AgentSettings:
    """`flags` are fields of AgentSettings as texts. Raises Invalid naming the setting and where it was given."""
    where = flags.get("state_dir") or os.environ.get("CORRAL__AGENT__STATE_DIR") or DEFAULT_STATE
    return load(
        AgentSettings,
        file=Path(where) / "agent.toml",
        env=os.environ,
        flags={f"agent.{name}": value for name, value in flags.items()},
        section="agent",
    ).value

"""Where a node keeps its things, and its settings.

<state>/identity.json   who we are: node id, two nkey seeds, two credentials, pinned keys, engine addresses (0600)
<state>/policy.json     node-local command policy; can only narrow what the server allows (optional)
<state>/daemon.sock     local JSON-RPC of the daemon       <state>/daemon.pid, daemon.log
<state>/worker.sock     local JSON-RPC of the worker       <state>/worker.pid, worker.log
<state>/journal.db      what we accepted and how it stands (SQLite, WAL, synchronous=FULL)
<state>/spool/<job>.<attempt>/   claim, pid, out, err, rc, stdin, script of one attempt; progress, notify/ of a file task
<state>/blobs/          contents of files that were shipped here, by digest (agent.worker.builtin.blobs)
<state>/backups/        what file tasks replaced, with an index per path (agent.worker.builtin.backups)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from corral.domain.errors import Invalid, NotFound
from corral.domain.ids import check_node_id
from corral.runtime.files import private_dir, write_atomic

DEFAULT_STATE: Final = Path("/var/lib/corral-agent")


@dataclass(frozen=True)
class StateDir:
    """The files of one node on one machine."""

    root: Path

    @property
    def identity(self) -> Path:
        return self.root / "identity.json"

    @property
    def policy(self) -> Path:
        return self.root / "policy.json"

    @property
    def journal(self) -> Path:
        return self.root / "journal.db"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def backups(self) -> Path:
        return self.root / "backups"

    def socket(self, role: str) -> Path:
        return self.root / f"{role}.sock"

    def pid(self, role: str) -> Path:
        return self.root / f"{role}.pid"

    def log(self, role: str) -> Path:
        return self.root / f"{role}.log"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What enrolment gave this node. Seeds are nkey user seeds (S…); they never leave the machine."""

    node_id: str
    server_url: str
    engine_urls: Sequence[str]
    daemon_seed: str = field(repr=False)
    worker_seed: str = field(repr=False)
    daemon_jwt: str = field(repr=False)
    worker_jwt: str = field(repr=False)
    expires_at: float
    signing_keys: Mapping[str, str]
    ca_pem: str = ""

    def save(self, state: StateDir) -> None:
        private_dir(state.root)
        write_atomic(state.identity, json.dumps(asdict(self), indent=1).encode())


def load_identity(state: StateDir) -> Identity:
    """Raises NotFound when this machine is not enrolled, Invalid when the file is damaged."""
    try:
        data = json.loads(state.identity.read_bytes())
        identity = Identity(**data)
    except FileNotFoundError:
        raise NotFound(
            f"cannot start: {str(state.root)!r} holds no node identity",
            element=str(state.identity),
            hint="enrol this machine: corral agent enroll --server URL --token T",
        ) from None
    except (ValueError, TypeError) as error:
        raise Invalid(
            f"cannot read {str(state.identity)!r}: {error}",
            element=str(state.identity),
            hint="enrol again with --reset",
        ) from None
    check_node_id(identity.node_id)
    return identity


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """Settings of daemon and worker: flag > CORRAL__AGENT__<KEY> > <state>/agent.toml > default."""

    state_dir: Path = DEFAULT_STATE
    beat_seconds: float = 10.0
    facts_seconds: float = 300.0
    metrics_seconds: float = 60.0
    slots: int = 10
    slots_max: int = 128
    warm_wrappers: int = 1
    executors_python: str = ""
    collect_seconds: float = 0.0
    """How often plugins' collectors are asked for figures; 0 = never."""
    http_allow: str = ""
    bandwidth_bytes_per_second: int = 0
    adaptive: bool = False
    cpu_high_percent: float = 75.0
    cpu_low_percent: float = 55.0
    load_high_factor: float = 1.2
    load_low_factor: float = 0.8
    min_factor: float = 0.3
    factor_step: float = 0.1
    sample_seconds: float = 5.0
    cooldown_seconds: float = 15.0
    min_bandwidth_bytes_per_second: int = 1 << 20
    spool_max_bytes: int = 2 << 30
    spool_max_reports: int = 2000
    daemon_memory_max_bytes: int = 128 << 20
    worker_memory_max_bytes: int = 512 << 20
    keep_worker: bool = True
    log_level: str = "info"
    log_max_bytes: int = 10 << 20
    log_files: int = 5
    log_days: int = 7
    file_roots: str = ""
    blob_cache_bytes: int = 512 << 20
    backup_keep: int = 5
    backup_max_bytes: int = 2 << 30

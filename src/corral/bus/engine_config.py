"""The configuration file of the embedded engine, rendered from values. Pure text; the reasons are beside the lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GIB: Final = 1 << 30
MIB: Final = 1 << 20
RANDOM_PORT: Final = -1
"""What the engine calls port 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineTls:
    """TLS of the listener. With `client_ca` a client certificate is asked for as a second factor, and missing is refused."""

    cert: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSettings:
    """How the embedded engine listens and how much it may keep. Port 0: any free one, and then the same for its whole life."""

    host: str = "127.0.0.1"
    port: int = 4222
    tls: EngineTls | None = None
    max_file_bytes: int = 20 * GIB
    max_memory_bytes: int = 256 * MIB
    ack_format_v2: bool = False
    """The newer acknowledgement subjects; we read both, the tests run both."""


GC_PERCENT: Final = 50
"""GOGC: garbage is collected when the heap has grown by half, not when it has doubled; 10,000 links take 730 MiB, not 900."""


def memory_limit_mib(connections: int, machine_mib: int) -> int:
    """GOMEMLIMIT: a soft limit, it makes the engine collect garbage sooner after large transfers (measured 750 → 132 MiB).

    It cannot change while the engine runs, and a fleet grows: an engine that started empty with 256 MiB spent one and a half cores
    on collecting garbage at 10,000 links. So it may have an eighth of the machine, up to 2 GiB, before anybody has enrolled.
    """
    room = min(max(256, machine_mib // 8), 2048)
    return max(room, 128 + -(-connections * 128 // 1024))


def render(
    settings: EngineSettings,
    *,
    directory: Path,
    port: int,
    operator_jwt: str,
    system_account: str,
    accounts: Mapping[str, str],
    monitoring_port: int = RANDOM_PORT,
) -> str:
    """The whole file. `accounts` become `resolver_preload`: they win over whatever the resolver's folder remembers."""
    preload = "\n".join(f"  {key}: {_text(jwt)}" for key, jwt in accounts.items())
    return f"""# Written before every start; changes here are lost.
server_name: corral-engine
listen: {_text(f"{_host(settings.host)}:{port}")}
http: "127.0.0.1:{monitoring_port}"
ports_file_dir: {_text(directory)}
log_file: {_text(directory / "engine.log")}
logfile_size_limit: 16MB
logfile_max_num: 3
{_tls(settings.tls)}
operator: {_text(operator_jwt)}
system_account: {system_account}
resolver {{ type: full, dir: {_text(directory / "accounts")}, allow_delete: false, interval: "2m" }}
resolver_preload {{
{preload}
}}
jetstream {{
  store_dir: {_text(directory / "store")}
  max_file_store: {settings.max_file_bytes}
  max_memory_store: {settings.max_memory_bytes}
  sync_interval: "10s"
}}
feature_flags {{ js_ack_fc_v2: {str(settings.ack_format_v2).lower()} }}
max_payload: 1MB
# Ten thousand nodes that come back at once, or a machine short of CPU, take longer than the default two seconds to log in.
authorization {{ timeout: 15 }}
# A dead link is seen after two missed pings; nodes ping by themselves more often.
ping_interval: "20s"
ping_max: 2
# A client that does not read for this long is dropped: it must not hold messages of others in memory.
write_deadline: "10s"
"""


def _tls(tls: EngineTls | None) -> str:
    if tls is None:
        return ""
    rows = [f"cert_file: {_text(tls.cert)}", f"key_file: {_text(tls.key)}", 'min_version: "1.3"', "timeout: 10"]
    if tls.client_ca is not None:
        rows += [f"ca_file: {_text(tls.client_ca)}", "verify: true"]
    return "tls {\n  " + "\n  ".join(rows) + "\n}"


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _text(value: str | Path) -> str:
    """A quoted string; JSON's escapes are the engine's too."""
    return json.dumps(str(value))

"""The server's unit: its own account, one writable place, no capability but the one a low port needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from corral.cli.install.unit import Service, quote, unit_text
from corral.domain.errors import Invalid

SERVICE = Service(
    command=["/opt/my corral/bin/corral", "server", "--config", "/srv/100%/corral.toml"],
    user="corral",
    group="ops",
    data_dir=Path("/srv/corral"),
)


def test_words_are_quoted_as_systemd_reads_them() -> None:
    text = unit_text(SERVICE)
    assert 'ExecStart="/opt/my corral/bin/corral" server --config /srv/100%%/corral.toml\n' in text
    assert quote("a$b") == "a$$b"
    assert quote('say "x y"') == '"say \\"x y\\""'
    with pytest.raises(Invalid):
        quote("a\nExecStartPre=/bin/evil")


def test_it_runs_as_its_user_and_writes_to_its_data_alone() -> None:
    lines = unit_text(SERVICE).splitlines()
    assert {"User=corral", "Group=ops", "ReadWritePaths=/srv/corral", "ProtectSystem=strict"} <= set(lines)
    assert {"CapabilityBoundingSet=", "AmbientCapabilities="} <= set(lines)
    assert "KillMode=mixed" in lines


def test_a_low_port_brings_its_capability() -> None:
    service = Service(command=["x"], user="u", group="g", data_dir=Path("/d"), low_port=True)
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in unit_text(service).splitlines()

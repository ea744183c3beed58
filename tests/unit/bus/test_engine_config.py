"""The text of the engine's configuration, and the small decisions around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from corral.bus import engine_config, jetstream_consume
from corral.bus.engine_config import EngineSettings, EngineTls
from corral.bus.engine_process import find_program
from corral.bus.memory_stream import matches
from corral.domain.errors import Unavailable


def rendered(settings: EngineSettings) -> str:
    return engine_config.render(
        settings,
        directory=Path('/srv/with "quotes"'),
        port=4222,
        operator_jwt="op.jwt",
        system_account="ASYS",
        accounts={"ASYS": "sys.jwt", "ANODES": "nodes.jwt"},
    )


def test_monitoring_is_on_loopback_and_every_account_is_preloaded() -> None:
    text = rendered(EngineSettings(host="0.0.0.0"))
    assert 'http: "127.0.0.1:-1"' in text
    assert 'listen: "0.0.0.0:4222"' in text
    assert 'ANODES: "nodes.jwt"' in text
    assert '/srv/with \\"quotes\\"/store' in text
    assert "js_ack_fc_v2: false" in text
    assert "tls {" not in text
    for absent in ("no_auth_user", "leafnodes", "mqtt"):
        assert absent not in text


def test_a_client_certificate_is_demanded_when_a_ca_is_named() -> None:
    tls = EngineTls(cert=Path("/c"), key=Path("/k"))
    assert "verify" not in rendered(EngineSettings(tls=tls))
    both = rendered(EngineSettings(tls=EngineTls(cert=Path("/c"), key=Path("/k"), client_ca=Path("/ca"))))
    assert "verify: true" in both
    assert 'min_version: "1.3"' in both


@pytest.mark.parametrize(
    ("connections", "machine_mib", "mib"),
    [
        (0, 1024, 256),
        (2000, 1024, 378),
        (20_000, 2048, 2628),
        (0, 4096, 512),
        (1000, 24_000, 2048),
        (20_000, 64_000, 2628),
    ],
)
def test_the_memory_limit_grows_with_the_connections_and_leaves_room_for_a_fleet_to_grow(
    connections: int, machine_mib: int, mib: int
) -> None:
    assert engine_config.memory_limit_mib(connections, machine_mib) == mib


def test_a_named_program_that_is_not_there_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        find_program({"CORRAL_NATS_BIN": str(tmp_path / "missing")})
    assert "CORRAL_NATS_BIN" in str(caught.value.hint)


def test_a_named_program_wins(tmp_path: Path) -> None:
    program = tmp_path / "nats-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_program({"CORRAL_NATS_BIN": str(program)}) == program


@pytest.mark.parametrize(
    "ack",
    [
        "$JS.ACK.reports.ingest.3.41.17.1795220421308523018.5",
        "$JS.ACK._.HASH.reports.ingest.3.41.17.1795220421308523018.5",
        "$JS.ACK.hub.HASH.reports.ingest.3.41.17.1795220421308523018.5.token",
    ],
)
def test_both_formats_of_an_acknowledgement_are_read(ack: str) -> None:
    assert jetstream_consume.stream_sequence(ack) == 41
    assert jetstream_consume.consumer_sequence(ack) == 17


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("*.b", "a.b", True),
        ("a.b.c", "a.b", False),
    ],
)
def test_a_filter_matches_as_the_engine_matches(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected

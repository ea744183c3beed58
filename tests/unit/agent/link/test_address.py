"""Engine addresses: TLS everywhere but to this machine itself."""

from __future__ import annotations

import pytest

from corral.agent.link.address import Address, parse, parse_all
from corral.domain.errors import Invalid, Unsupported


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("tls://engine.example.org:4222", Address("engine.example.org", 4222, True)),
        ("tls://engine.example.org", Address("engine.example.org", 4222, True)),
        ("tls://[fd00::2]:4333", Address("fd00::2", 4333, True)),
        ("tls://fd00::2", Address("fd00::2", 4222, True)),
        ("nats://127.0.0.1:14222/", Address("127.0.0.1", 14222, False)),
        ("nats://localhost", Address("localhost", 4222, False)),
        ("nats://[::1]:1", Address("::1", 1, False)),
    ],
)
def test_an_address_is_read(url: str, address: Address) -> None:
    assert parse(url) == address
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    "url",
    [
        "",
        "engine:4222",
        "http://127.0.0.1",
        "nats://10.0.0.1:4222",
        "nats://127.0.0.1.example.org",
        "nats://localhost.example.org",
        "tls://user:pw@host:4222",
        "tls://host:0",
        "tls://host:70000",
        "tls://host:x",
        "tls://",
        "tls://host/path",
    ],
)
def test_what_is_no_safe_engine_address_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        parse(url)


def test_websockets_are_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="websockets"):
        parse("wss://engine.example.org")


def test_unusable_addresses_are_left_out_while_another_remains() -> None:
    assert parse_all(["wss://a", "tls://b"]) == (Address("b", 4222, True),)
    with pytest.raises(Invalid):
        parse_all([])
    with pytest.raises(Unsupported):
        parse_all(["wss://a"])

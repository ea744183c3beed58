"""The CA, its certificates, and the keys that sign what goes down."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from corral.domain.errors import Conflict, Invalid, NotFound, WrongState
from corral.protocol.signing import open_sealed, seal
from corral.runtime.clock import SystemClock
from corral.runtime.crypto import ed25519_verify
from corral.server.infrastructure.pki.ca import Authority, fingerprint
from corral.server.infrastructure.pki.signing import KeyRing
from corral.testing.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_client_that_trusts_the_ca_speaks_tls_1_3_with_its_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki", SystemClock(0))
    authority.create()
    files = authority.server_certificate("server", ["localhost", "127.0.0.1", "::1"])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    server.load_cert_chain(files.certificate, files.key)
    client = ssl.create_default_context(cadata=authority.pem().decode())
    left, right = socket.socketpair()

    def serve() -> None:
        with server.wrap_socket(right, server_side=True) as tls:
            tls.sendall(b"hello")

    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(left, server_hostname="127.0.0.1") as tls:
        assert tls.recv(5) == b"hello"
        assert tls.version() == "TLSv1.3"
    thread.join(5)
    assert mode(files.key) == mode(tmp_path / "pki" / "ca.key") == 0o600


def test_the_fingerprint_is_of_the_der(tmp_path: Path, clock: FakeClock) -> None:
    authority = Authority(tmp_path, clock)
    authority.create()
    assert authority.fingerprint() == fingerprint(authority.pem())
    assert len(authority.fingerprint()) == 64


async def test_a_good_certificate_is_kept_and_renewed_in_time_or_for_other_names(
    tmp_path: Path, clock: FakeClock
) -> None:
    authority = Authority(tmp_path, clock)
    authority.create()

    def serial(*hosts: str) -> int:
        files = authority.server_certificate("server", list(hosts))
        return x509.load_pem_x509_certificate(files.certificate.read_bytes()).serial_number

    first = serial("a.example", "10.0.0.1")
    assert serial("10.0.0.1", "a.example") == first
    await clock.advance(timedelta(days=250).total_seconds())
    assert serial("a.example", "10.0.0.1") == first
    await clock.advance(timedelta(days=30).total_seconds())
    second = serial("a.example", "10.0.0.1")
    assert second != first
    assert serial("b.example") != second
    certificate = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["b.example"]
    (tmp_path / "server.pem").write_text("damaged")
    assert serial("10.1.1.1")
    certificate = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.1.1.1")]


def test_a_second_ca_is_a_conflict_a_missing_one_is_said_and_bad_names_are_invalid(
    tmp_path: Path, clock: FakeClock
) -> None:
    authority = Authority(tmp_path, clock)
    with pytest.raises(NotFound, match="there is none"):
        authority.server_certificate("server", ["a"])
    authority.create()
    before = authority.fingerprint()
    with pytest.raises(Conflict):
        authority.create()
    for hosts in ([], ["a" * 300 + ".example"]):
        with pytest.raises(Invalid):
            authority.server_certificate("server", hosts)
    authority.create(force=True)
    assert authority.fingerprint() != before
    (tmp_path / "ca.key").unlink()
    with pytest.raises(NotFound, match=r"ca\.key"):
        authority.server_certificate("other", ["a"])


def test_what_the_ring_signs_a_node_verifies_with_the_pinned_keys(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "keys" / "signing.json"
    ring = KeyRing.load_or_create(path, clock)
    wire = seal(ring, "task", b"body")
    again = KeyRing.load_or_create(path, clock)
    assert again.key_id == ring.key_id
    assert open_sealed(wire, "task", again.public(), lambda body: again.key_id, ed25519_verify) == b"body"
    assert mode(path) == 0o600
    assert set(again.announced()) == {ring.key_id}


async def test_a_new_key_is_announced_for_seven_days_before_it_signs(tmp_path: Path, clock: FakeClock) -> None:
    ring = KeyRing.create(clock)
    old = ring.key_id
    new = ring.rotate(clock)
    assert set(ring.public()) == {old, new} and ring.key_id == old
    with pytest.raises(WrongState, match=r"7\.0 days"):
        ring.activate(new, clock)
    with pytest.raises(Conflict):
        ring.drop(old)
    await clock.advance(7 * 86400)
    ring.activate(new, clock)
    ring.drop(old)
    ring.save(tmp_path / "signing.json")
    loaded = KeyRing.load(tmp_path / "signing.json")
    assert (loaded.key_id, set(loaded.public())) == (new, {new})
    with pytest.raises(Invalid):
        ring.activate("nosuch", clock)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"active":"a","keys":{}}', '{"active":"a","keys":{"a":{"seed":"AA==","made_at":1}}}']
)
def test_a_damaged_key_file_is_invalid_and_never_replaced(tmp_path: Path, clock: FakeClock, text: str) -> None:
    path = tmp_path / "signing.json"
    path.write_text(text)
    with pytest.raises(Invalid, match="cannot read the signing keys") as caught:
        KeyRing.load_or_create(path, clock)
    assert "backup" in (caught.value.hint or "")
    assert path.read_text() == text

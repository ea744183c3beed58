"""Fingerprints, loopback and contexts: nothing older than TLS 1.3, nobody trusted but the pinned CA."""

from __future__ import annotations

import hashlib
import ssl

import pytest
import trustme

from corral.domain.errors import Invalid
from corral.runtime.tls import client_context, fingerprint_of_pem, is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_itself_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "10.0.0.1", "0.0.0.0", "::", "localhost.example.org", "127.0.0.1.example.org", "1"]
)
def test_anything_else_is_not(host: str) -> None:
    assert not is_loopback(host)


def test_the_fingerprint_is_of_the_first_certificate() -> None:
    first, second = (trustme.CA().cert_pem.bytes().decode() for _ in range(2))
    der = ssl.PEM_cert_to_DER_cert(first)
    assert fingerprint_of_pem(f"# a comment\n{first}{second}") == hashlib.sha256(der).hexdigest()
    for text in ("", "nonsense", "-----BEGIN CERTIFICATE-----"):
        with pytest.raises(Invalid):
            fingerprint_of_pem(text)


def test_a_client_context_trusts_one_ca_speaks_tls_13_and_checks_the_name() -> None:
    context = client_context(trustme.CA().cert_pem.bytes().decode())
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.cert_store_stats()["x509_ca"] == 1
    with pytest.raises(Invalid):
        client_context("nonsense")

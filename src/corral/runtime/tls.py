"""TLS as every program of ours uses it: 1.3 and nothing older, one pinned CA, the name always checked.

A node trusts no public certificate authority: it trusts the CA whose fingerprint (SHA-256 of its DER, hex) its join token carried,
and gets that CA from the server's own handshake. A stranger's chain cannot hold a certificate with this fingerprint.
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
from typing import Any, Final

from corral.domain.errors import Invalid, Unavailable

PIN_NONE: Final = "-"
"""The fingerprint field of a join token whose server has no TLS (loopback only)."""


def client_context(ca_pem: str, *, certificate: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """Trusts exactly `ca_pem`; `certificate` and `key` are paths for mutual TLS."""
    # Not ssl.create_default_context: it loads the machine's 140 public CAs (3 MB) that we must not trust anyway.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise Invalid(f"cannot use the CA certificate: {error}", element="ca") from None
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


def server_context(certificate: str, key: str, *, client_ca_pem: str | None = None) -> ssl.SSLContext:
    """Shows the chain in file `certificate`; with `client_ca_pem` a client certificate is demanded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate, key)
    if client_ca_pem is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=client_ca_pem)
    return context


def fingerprint(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()


def fingerprint_of_pem(pem: str) -> str:
    """Of the first certificate in `pem`."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    _, found, rest = pem.partition(begin)
    body, closed, _ = rest.partition(end)
    if not found or not closed:
        raise Invalid("cannot read the certificate: it is not PEM", element="ca")
    return fingerprint(ssl.PEM_cert_to_DER_cert(f"{begin}{body}{end}"))


def pinned_ca(host: str, port: int, pin: str, *, timeout_seconds: float = 10.0) -> str:
    """The PEM of the CA with fingerprint `pin` out of what `host`:`port` shows. Nothing is sent but the handshake.

    Raises Unavailable when nobody answers, Invalid when the chain does not hold it: the server is not the one that made the token.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Trust is decided below by the pin, and again by a verified connection under the CA found here.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection((host, port), timeout=timeout_seconds) as raw:
            with context.wrap_socket(raw, server_hostname=host) as secure:
                chain = _chain(secure)
    except ssl.SSLError as error:
        raise Unavailable(
            f"cannot speak TLS with {host}:{port}: {error.reason or error}",
            element="server",
            hint="is this the server's https address?",
        ) from None
    except OSError as error:
        raise Unavailable(
            f"cannot reach {host}:{port}: {error}",
            element="server",
            hint="check the address, the port and the firewall",
        ) from None
    for der in chain:
        if hmac.compare_digest(fingerprint(der), pin.lower()):
            return ssl.DER_cert_to_PEM_cert(der)
    raise Invalid(
        f"cannot trust {host}:{port}: it does not show the CA this token was made under",
        element="token",
        hint="wrong server address, an old token after the CA was renewed, or somebody in between; make a new token",
    )


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address, IPv6 without brackets) can only be this machine."""
    if host == "localhost":
        return True
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            packed = socket.inet_pton(family, host)
        except OSError:
            continue
        return packed[0] == 127 if len(packed) == 4 else packed == bytes(15) + b"\x01"
    return False


def _chain(secure: ssl.SSLSocket) -> list[bytes]:
    """The certificates the peer showed, DER, unverified (public API from 3.13 on; 3.10 to 3.12 hold it one level deeper)."""
    public: Any = getattr(secure, "get_unverified_chain", None)
    if public is not None:
        return [bytes(der) for der in public()]
    inner: Any = getattr(secure, "_sslobj", None)
    der_encoding = 2  # _ssl.ENCODING_DER
    return [bytes(certificate.public_bytes(der_encoding)) for certificate in inner.get_unverified_chain() or ()]

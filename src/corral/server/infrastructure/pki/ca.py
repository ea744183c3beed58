"""Our own certificate authority: made once, signs the server's and the engine's certificates, and is what nodes pin.

<pki>/ca.pem, ca.key (0600)           ten years; its fingerprint is in every join token
<pki>/<name>.pem, <name>.key (0600)   a server certificate with its names and addresses, 397 days, renewed when a third is left

A server shows its certificate AND the CA: a node finds the CA by its fingerprint in the handshake, so it has to be in there.

ECDSA P-256 throughout: every TLS 1.3 stack takes it. Restarting with other names signs a new certificate; the CA stays.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from corral.domain.errors import Conflict, Invalid, NotFound
from corral.runtime.clock import Clock
from corral.runtime.files import private_dir, write_atomic

CA_LIFE: Final = timedelta(days=3653)
SERVER_LIFE: Final = timedelta(days=397)
_BACKDATED: Final = timedelta(hours=1)
"""A node whose clock is a little slow still trusts a certificate made just now."""


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate and its key, as files (for TLS contexts) and the moment to renew it."""

    certificate: Path
    key: Path


def fingerprint(pem: bytes) -> str:
    """What join tokens pin: SHA-256 of the certificate's DER, in hex."""
    der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def chain_authority(pem: bytes) -> str:
    """The fingerprint of the self-signed CA in a chain; empty when the chain shows none (then nodes cannot pin it)."""
    try:
        chain = x509.load_pem_x509_certificates(pem)
    except ValueError:
        return ""
    for certificate in chain[1:] or chain:
        if certificate.issuer == certificate.subject:
            return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
    return ""


class Authority:
    """The CA in one directory."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._dir = directory
        self._clock = clock

    @property
    def certificate(self) -> Path:
        return self._dir / "ca.pem"

    @property
    def _key(self) -> Path:
        return self._dir / "ca.key"

    def exists(self) -> bool:
        return self.certificate.exists() and self._key.exists()

    def create(self, *, name: str = "Corral CA", force: bool = False) -> None:
        """Make the CA. Raises Conflict when there is one: every enrolled node pins it."""
        if self.exists() and not force:
            raise Conflict(
                f"cannot make a CA in {str(self._dir)!r}: there is one",
                element=str(self.certificate),
                hint="keep it: every node pins it; --force replaces it and all nodes have to enrol again",
            )
        private_dir(self._dir)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = self._clock.now()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write_key(self._key, key)
        write_atomic(self.certificate, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)

    def pem(self) -> bytes:
        """Raises NotFound."""
        try:
            return self.certificate.read_bytes()
        except FileNotFoundError:
            raise NotFound(
                f"cannot read the CA in {str(self._dir)!r}: there is none",
                element=str(self.certificate),
                hint="make it with: corral system init",
            ) from None

    def fingerprint(self) -> str:
        return fingerprint(self.pem())

    def server_certificate(self, name: str, hosts: Sequence[str]) -> Certificate:
        """The certificate `name` for these host names and addresses: the one on disk while it is good, else a new one."""
        if not hosts:
            raise Invalid("cannot sign a certificate without a host name or address", element="hosts")
        files = Certificate(certificate=self._dir / f"{name}.pem", key=self._dir / f"{name}.key")
        wanted = [_general_name(host) for host in dict.fromkeys(hosts)]
        if not self._still_good(files, wanted):
            self._sign_server(files, hosts[0], wanted)
        return files

    def needs_renewal(self, files: Certificate) -> bool:
        """Whether less than a third of its life is left (or it is not ours, or not there)."""
        try:
            certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
            certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(self.pem()))
        except Exception:  # whatever is wrong with the file, a new certificate is the answer
            return True
        left = certificate.not_valid_after_utc - self._clock.now()
        return left < SERVER_LIFE / 3

    def renew_due(self, files: Certificate) -> bool:
        """Sign anew, for the same names, a certificate of ours of which less than a third is left; True when that was done.

        A certificate that is not ours is left alone. Raises NotFound when it is due and the CA's key is not here.
        """
        names = self.names_of(files)
        if not names or not self.needs_renewal(files):
            return False
        self._sign_server(files, _text_of(names[0]), names)
        return True

    def names_of(self, files: Certificate) -> list[x509.GeneralName]:
        """The names and addresses in a certificate of ours; empty for any other, or none."""
        try:
            certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
            certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(self.pem()))
            return list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except Exception:  # not there, not readable, not ours: for each the answer is "no names of ours"
            return []

    def hosts_of(self, files: Certificate) -> list[str]:
        return [_text_of(name) for name in self.names_of(files)]

    def _still_good(self, files: Certificate, wanted: list[x509.GeneralName]) -> bool:
        if not files.key.exists() or self.needs_renewal(files):
            return False
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return set(wanted) == set(names)

    def _sign_server(self, files: Certificate, host: str, names: list[x509.GeneralName]) -> None:
        authority = x509.load_pem_x509_certificate(self.pem())
        signer = self._load_key()
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._clock.now()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])]))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(min(now + SERVER_LIFE, authority.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
                critical=False,
            )
            .sign(signer, hashes.SHA256())
        )
        _write_key(files.key, key)
        chain = certificate.public_bytes(serialization.Encoding.PEM) + self.pem()
        write_atomic(files.certificate, chain, mode=0o644)

    def _load_key(self) -> ec.EllipticCurvePrivateKey:
        try:
            key = serialization.load_pem_private_key(self._key.read_bytes(), password=None)
        except FileNotFoundError:
            raise NotFound(
                f"cannot sign a certificate: {str(self._key)!r} is missing",
                element=str(self._key),
                hint="restore it from a backup, or bring your own certificate in server.tls_cert",
            ) from None
        except ValueError as error:
            raise Invalid(f"cannot read {str(self._key)!r}: {error}"[:300], element=str(self._key)) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise Invalid(f"cannot use {str(self._key)!r}: expected an EC key", element=str(self._key))
        return key


def _text_of(name: x509.GeneralName) -> str:
    return str(name.value)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        pass
    try:
        return x509.DNSName(host.encode("idna").decode())
    except UnicodeError:
        raise Invalid(f"cannot put {host[:80]!r} into a certificate: not a host name", element="hosts") from None


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_atomic(path, pem, mode=0o600)

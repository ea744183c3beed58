"""Certificates at start: those of our own CA are signed anew in time, and a file that cannot be used is said before anything runs.

A certificate lives 397 days and is due when a third is left, so a server that restarts twice a year never meets an expired one;
`corral doctor` warns about the others.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from typing import Final

from corral.domain.errors import CorralError, Invalid
from corral.runtime.clock import Clock
from corral.server.config import ServerConfig
from corral.server.infrastructure.pki.ca import Authority, Certificate

log = logging.getLogger("corral.server")
_REMEDY: Final = "'corral system init' makes certificates; config show --origin says where this path comes from"


def prepare_certificates(config: ServerConfig, clock: Clock) -> None:
    """Renew what is due, then check what is configured. Raises Invalid naming the setting whose file is no good."""
    authority = Authority(config.data_dir / "pki", clock)
    pairs = (
        ("server", config.server.tls_cert, config.server.tls_key),
        ("engine", config.engine.tls_cert, config.engine.tls_key),
    )
    for section, cert, key in pairs:
        if cert is None or key is None:
            continue
        if authority.exists():
            _renew(authority, Certificate(certificate=cert, key=key))
        _check(section, cert, key)
    ca = config.engine.tls_ca
    if ca is not None:
        try:
            ssl.create_default_context(cafile=str(ca))
        except OSError as error:  # ssl.SSLError is one
            raise _unusable("engine.tls_ca", ca, error) from None


def _renew(authority: Authority, files: Certificate) -> None:
    try:
        if authority.renew_due(files):
            log.info("Renewed the certificate %s", files.certificate, extra={"action": "certificate_renewed"})
    except (CorralError, OSError) as error:
        # It may be good for months yet; doctor counts the days.
        log.error("Cannot renew %s: %s", files.certificate, error, extra={"action": "certificate_due"})


def _check(section: str, cert: Path, key: Path) -> None:
    for name, path in (("tls_cert", cert), ("tls_key", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise _unusable(f"{section}.{name}", path, error) from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key)
    except (ssl.SSLError, ValueError) as error:
        raise _unusable(f"{section}.tls_cert", cert, error) from None


def _unusable(setting: str, path: Path, error: Exception) -> Invalid:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return Invalid(f"cannot use {str(path)!r} as {setting}: {str(reason).lower()}", element=setting, hint=_REMEDY)

"""The TLS options of a database connection, the same words for every engine.

`tls` of a connection: mode (off | prefer | require | verify), ca_file, ca_data, client_cert_file, client_cert_data, client_key_file,
client_key_data, each a text: a file is a PEM file on the node, data a PEM text. `verify`: "false" means require. Without a mode: verify
when an authority or `verify` is given, else prefer (encrypt when the server can, as the databases' own clients do).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from corral.agent.executors.contract import BadParams

MODES: Final = ("off", "prefer", "require", "verify")
_PARTS: Final = tuple(f"{part}_{form}" for part in ("ca", "client_cert", "client_key") for form in ("file", "data"))
_TEXTS: Final = ("mode", "verify", *_PARTS)
_TRUTH: Final = {"": None, "true": True, "false": False}


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Paths of files that exist as long as this process."""

    mode: str
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def context(self) -> ssl.SSLContext | None:
        """For drivers that use Python's own TLS; None for off. Raises BadParams."""
        if self.mode == "off":
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.mode != "verify":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        try:
            if self.ca is not None:
                context.load_verify_locations(self.ca)
            else:
                context.load_default_certs()
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise BadParams(
                f"cannot use the TLS options of the connection: {error}", element="connection.tls"
            ) from None
        return context


def tls_of(connection: Mapping[str, Any]) -> Tls:
    """Raises BadParams naming the option."""
    options = dict(connection.get("tls") or {})
    if isinstance(options.get("verify"), bool):
        options["verify"] = str(options["verify"]).lower()
    for name, value in options.items():
        if name not in _TEXTS or not isinstance(value, str) or (name == "verify" and value not in _TRUTH):
            raise BadParams(
                f"cannot use TLS option {name!r} of the connection",
                element=f"connection.tls.{name}",
                hint=f"known, each a text: {', '.join(_TEXTS)} (verify is true or false)",
            )
    return Tls(
        mode=_mode(options, _TRUTH[options.get("verify", "")]),
        ca=_file(options, "ca"),
        cert=_file(options, "client_cert"),
        key=_file(options, "client_key"),
    )


def _file(options: Mapping[str, str], part: str) -> str | None:
    data = options.get(f"{part}_data")
    return _in_memory(data) if data else options.get(f"{part}_file")


def _mode(options: Mapping[str, str], verify: bool | None) -> str:
    mode = options.get("mode")
    if not mode:
        if verify is False:
            return "require"
        return "verify" if verify or options.get("ca_file") or options.get("ca_data") else "prefer"
    if mode not in MODES:
        raise BadParams(
            f"cannot use TLS mode {mode!r}: expected one of {', '.join(MODES)}", element="connection.tls.mode"
        )
    return mode


def _in_memory(pem: str) -> str:
    """A path for drivers that take no text; gone with this process."""
    descriptor = os.memfd_create("tls", 0)
    os.write(descriptor, pem.encode())
    return f"/proc/self/fd/{descriptor}"

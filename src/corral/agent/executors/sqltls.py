"""The TLS options of a database connection, the same words for every engine.

`tls` of a connection: mode (off | prefer | require | verify), ca, cert, key; the latter are PEM texts or paths of PEM files on the node.
The words of other kinds are understood too: ca_file, ca_data, client_cert_file, client_key_file, …, and `verify`: "false" means require.
Without a mode: verify when an authority or `verify` is given, else prefer (encrypt when the server can, as the databases' own clients do).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from corral.agent.executors.contract import BadParams

MODES: Final = ("off", "prefer", "require", "verify")
_WORDS: Final = {
    "ca": ("ca", "ca_file", "ca_data"),
    "cert": ("cert", "client_cert_file", "client_cert_data"),
    "key": ("key", "client_key_file", "client_key_data"),
}
_TEXTS: Final = ("mode", "verify", *(word for words in _WORDS.values() for word in words))
_PEM: Final = "-----BEGIN "
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
                hint="known, each a text: mode, ca, cert, key",
            )
    return Tls(
        mode=_mode(options, _TRUTH[options.get("verify", "")]),
        ca=_file(options, "ca"),
        cert=_file(options, "cert"),
        key=_file(options, "key"),
    )


def _file(options: Mapping[str, str], part: str) -> str | None:
    """The path of what was given; a PEM text becomes a file in memory, gone with this process."""
    given = next((options[word] for word in _WORDS[part] if options.get(word)), None)
    if given is None or not given.lstrip().startswith(_PEM):
        return given
    descriptor = os.memfd_create("tls", 0)
    os.fchmod(descriptor, 0o600)  # libpq refuses a key that others could read
    os.write(descriptor, given.encode())
    return f"/proc/self/fd/{descriptor}"


def _mode(options: Mapping[str, str], verify: bool | None) -> str:
    mode = options.get("mode")
    if not mode:
        if verify is False:
            return "require"
        return "verify" if verify or any(options.get(word) for word in _WORDS["ca"]) else "prefer"
    if mode not in MODES:
        raise BadParams(
            f"cannot use TLS mode {mode!r}: expected one of {', '.join(MODES)}", element="connection.tls.mode"
        )
    return mode

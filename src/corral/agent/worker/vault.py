"""What a task must not leave on this disk in clear: the private part of its message, sealed in the journal.

The key is this node's own and never leaves it; it keeps the values out of the journal's file, its log and its freed pages, and
out of a copy of them. Whoever is root here may read both, as they may read the task's memory.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from corral.domain.errors import CorralError
from corral.runtime.crypto import aes_gcm_open, aes_gcm_seal
from corral.runtime.files import private_dir, write_atomic

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
SEALED: Final = "private_sealed"


class VaultClosed(CorralError):
    """The private part of a journalled task cannot be read any more."""


class Vault:
    """The file of the key appears with the first secret that comes here."""

    def __init__(self, root: Path) -> None:
        self._path = root / "vault.key"
        self._key: bytes | None = None

    def put_away(self, wire: bytes, mapping: Mapping[str, Any]) -> bytes:
        """The task's wire form with its private part sealed: what the journal may hold. Raises OSError."""
        signature, _, _ = wire.partition(b"\n")
        open_part = {name: value for name, value in mapping.items() if name != "private"}
        nonce = os.urandom(_NONCE_BYTES)
        plain = json.dumps(mapping["private"]).encode()
        sealed = nonce + aes_gcm_seal(self._own_key(), nonce, plain, _context(mapping))
        open_part[SEALED] = base64.b64encode(sealed).decode()
        return signature + b"\n" + json.dumps(open_part, separators=(",", ":")).encode()

    def take_out(self, mapping: Mapping[str, Any]) -> dict[str, Any]:
        """The private part of a journalled task, {} when it had none. Raises VaultClosed."""
        if SEALED not in mapping:
            return {}
        try:
            data = base64.b64decode(mapping[SEALED])
            plain = aes_gcm_open(self._own_key(), data[:_NONCE_BYTES], data[_NONCE_BYTES:], _context(mapping))
            private = json.loads(plain)
        except (OSError, ValueError, TypeError) as error:
            raise VaultClosed(f"cannot read what this task's journal entry keeps sealed: {error}") from None
        return private if isinstance(private, dict) else {}

    def _own_key(self) -> bytes:
        if self._key is None:
            try:
                key = self._path.read_bytes()
            except FileNotFoundError:
                key = b""
            if len(key) != _KEY_BYTES:
                key = os.urandom(_KEY_BYTES)
                private_dir(self._path.parent)
                write_atomic(self._path, key)
            self._key = key
        return self._key


def _context(mapping: Mapping[str, Any]) -> bytes:
    return f"{mapping.get('job')}.{mapping.get('attempt')}".encode()

"""A secret key in a file of its own (0600), made at first use."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from corral.domain.errors import Invalid
from corral.runtime.files import private_dir, write_atomic

KEY_BYTES: Final = 32


def load_key(path: Path) -> bytes:
    """The key in `path`; a missing file is made. Raises Invalid for a file that holds no key of ours."""
    if not path.exists():
        private_dir(path.parent)
        write_atomic(path, secrets.token_bytes(KEY_BYTES), mode=0o600)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise Invalid(
            f"cannot use the key {str(path)!r}: expected {KEY_BYTES} bytes, found {len(key)}",
            element=str(path),
            hint="restore it from a backup, or remove it: everybody has to log in again",
        )
    return key

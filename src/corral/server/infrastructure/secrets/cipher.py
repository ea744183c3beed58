"""AES-256-GCM for values of secrets, each under a key of its own, bound to name and version."""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from corral.domain.errors import Unavailable

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class AesCipher:
    def seal(self, plain: bytes, *, context: str) -> tuple[bytes, bytes]:
        key = AESGCM.generate_key(bit_length=KEY_BYTES * 8)
        return seal(key, plain, context), key

    def open(self, sealed: bytes, key: bytes, *, context: str) -> bytes:
        """Raises Unavailable when a bit of it is not what was sealed."""
        try:
            return open_sealed(key, sealed, context)
        except (InvalidTag, ValueError):
            raise Unavailable(
                "cannot open the secret: its stored bytes were altered, or belong to another one",
                element="value",
                hint="set it again",
            ) from None


def seal(key: bytes, plain: bytes, context: str) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, context.encode())


def open_sealed(key: bytes, sealed: bytes, context: str) -> bytes:
    """Raises InvalidTag, ValueError."""
    return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())

"""Nonces the server need not remember: random bytes, an expiry and a MAC under the server's key, bound to what they are for.

They make a proof fresh. Replaying one within its two minutes gains nothing: the token is spent in one transaction, and the same
node with the same keys gets what it has already got.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable
from typing import Final

from corral.domain.errors import TokenRefused
from corral.runtime.clock import Clock

LIFE_SECONDS: Final = 120
_RANDOM_BYTES: Final = 16
_EXPIRY_BYTES: Final = 8
_MAC_BYTES: Final = 32


class Nonces:
    """`key` is secret and the same on every server of a control plane."""

    def __init__(self, *, key: bytes, clock: Clock, random: Callable[[int], bytes] = os.urandom) -> None:
        self._key = key
        self._clock = clock
        self._random = random

    def make(self, node: str) -> str:
        expiry = int(self._clock.wall()) + LIFE_SECONDS
        body = self._random(_RANDOM_BYTES) + expiry.to_bytes(_EXPIRY_BYTES, "big")
        return base64.urlsafe_b64encode(body + self._mac(body, node)).decode().rstrip("=")

    def check(self, nonce: str, node: str) -> None:
        """Raises TokenRefused for one that is not ours, not this node's, or too old."""
        try:
            data = base64.b64decode(nonce + "=" * (-len(nonce) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            data = b""
        body, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        genuine = len(body) == _RANDOM_BYTES + _EXPIRY_BYTES and hmac.compare_digest(mac, self._mac(body, node))
        if not genuine:
            raise TokenRefused(
                "cannot check the proof: its nonce is not one of ours for this node id",
                element="nonce",
                hint="ask for a new one: POST /api/v1/enroll/challenge",
            )
        if int.from_bytes(body[_RANDOM_BYTES:], "big") < self._clock.wall():
            raise TokenRefused(
                f"cannot check the proof: its nonce is older than {LIFE_SECONDS} s", element="nonce", hint="try again"
            )

    def _mac(self, body: bytes, node: str) -> bytes:
        return hmac.digest(self._key, b"corral-nonce-v1\n" + node.encode() + b"\n" + body, hashlib.sha256)

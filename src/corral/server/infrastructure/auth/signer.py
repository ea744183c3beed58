"""Signed claims: base64url(JSON) "." base64url(HMAC-SHA256), one derived key per purpose.

There is one algorithm and no header that could name another, so there is nothing to confuse.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any


class HmacSigner:
    """The Signer of sessions. `key` is keys/session.key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, purpose: str, claims: Mapping[str, Any]) -> str:
        body = _encode(json.dumps(dict(claims), separators=(",", ":"), sort_keys=True).encode())
        return f"{body}.{_encode(self._mac(purpose, body))}"

    def read(self, purpose: str, text: str) -> Mapping[str, Any] | None:
        body, dot, mac = text.partition(".")
        if not dot or not text.isascii() or not hmac.compare_digest(_encode(self._mac(purpose, body)), mac):
            return None
        try:
            claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except (binascii.Error, ValueError):
            return None
        return claims if isinstance(claims, dict) else None

    def _mac(self, purpose: str, body: str) -> bytes:
        key = hmac.digest(self._key, f"corral-{purpose}-v1".encode(), hashlib.sha256)
        return hmac.digest(key, body.encode(), hashlib.sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

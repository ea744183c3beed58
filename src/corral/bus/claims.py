"""Signed claims (JWT of nats-server, version 2) and the key pairs that sign them. Pure encoding: nothing here knows our accounts."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from corral.domain.errors import Invalid
from corral.runtime import nkeys


class KeyPair:
    """An Ed25519 key of the engine: `public` is its name (`U…`, `A…`, `O…`), `seed` its secret text (`SU…`)."""

    def __init__(self, prefix: str, raw: bytes | None = None) -> None:
        self._raw = os.urandom(nkeys.RAW_BYTES) if raw is None else raw
        self._key = Ed25519PrivateKey.from_private_bytes(self._raw)
        self._prefix = prefix
        self.public = nkeys.encode_public(prefix, self._key.public_key().public_bytes_raw())

    @classmethod
    def from_seed(cls, seed: str, prefix: str) -> KeyPair:
        """Raises Invalid when it is not the seed of a key of this kind."""
        found, raw = nkeys.decode_seed(seed)
        if found != prefix:
            raise Invalid(f"cannot use a seed of kind {found!r}: expected {prefix!r}", element="seed")
        return cls(prefix, raw)

    @property
    def seed(self) -> str:
        return nkeys.encode_seed(self._prefix, self._raw)

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)

    def __repr__(self) -> str:
        return f"KeyPair({self.public})"


def encode(claims: Mapping[str, Any], signer: KeyPair, *, issued_at: int) -> str:
    """The token text of `claims`, signed; `iss`, `iat` and `jti` are filled in."""
    body = {**claims, "iat": issued_at, "iss": signer.public}
    body["jti"] = base64.b32encode(hashlib.sha256(_compact(body)).digest()).decode().rstrip("=")
    head = _base64(_compact({"typ": "JWT", "alg": "ed25519-nkey"}))
    signed = f"{head}.{_base64(_compact(body))}"
    return f"{signed}.{_base64(signer.sign(signed.encode()))}"


def decode(token: str) -> dict[str, Any]:
    """The claims of a token as it states them; the signature is not checked here (the engine does that)."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        raise Invalid("cannot read the credential: it is not a token of the engine", element="jwt") from None
    if not isinstance(claims, dict):
        raise Invalid("cannot read the credential: its claims are not an object", element="jwt")
    return claims


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")

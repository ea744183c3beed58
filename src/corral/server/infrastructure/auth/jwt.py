"""Access tokens as JWTs (ports/access.py AccessMint): RFC 9068's type, one algorithm, one key, and every claim that limits them.

The header is compared with what ours say before any key is used: no other algorithm, key or type can be asked for. HS256 is enough
while the servers of one installation share keys/session.key; nobody else reads these tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

ALGORITHM: Final = "HS256"
TYPE: Final = "at+jwt"
ISSUER: Final = "corral"
AUDIENCE: Final = "corral-api"
LONGEST: Final = 2048
LEEWAY_SECONDS: Final = 5.0
"""Between the clocks of two servers."""


class JwtMint:
    """`key` is keys/session.key; what signs is derived from it and signs nothing else."""

    def __init__(self, key: bytes) -> None:
        derived = hmac.digest(key, b"corral-access-jwt-v1", hashlib.sha256)
        self.kid = hashlib.sha256(derived).hexdigest()[:16]
        self._key = OctKey.import_key(derived)
        self._header = {"alg": ALGORITHM, "typ": TYPE, "kid": self.kid}

    def mint(self, claims: Mapping[str, Any], *, now: float, seconds: float) -> str:
        moment = math.floor(now)
        limits = {"iss": ISSUER, "aud": AUDIENCE, "iat": moment, "nbf": moment, "exp": math.ceil(now + seconds)}
        return jwt.encode(self._header, {**claims, **limits}, self._key, algorithms=[ALGORITHM])

    def read(self, text: str, *, now: float) -> Mapping[str, Any] | None:
        if len(text) > LONGEST or not text.isascii():
            return None
        try:
            token = jwt.decode(text, self._key, algorithms=[ALGORITHM])
        except (JoseError, ValueError, TypeError, RecursionError):
            return None
        claims = token.claims
        if token.header != self._header or claims.get("iss") != ISSUER or claims.get("aud") != AUDIENCE:
            return None
        expires, begins = _number(claims.get("exp")), _number(claims.get("nbf"))
        if expires is None or begins is None or now >= expires or begins > now + LEEWAY_SECONDS:
            return None
        return claims


def _number(value: object) -> float | None:
    """A moment; true and infinity are none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)

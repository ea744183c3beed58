"""The identity provider (ports/people.py IdentityProvider): OpenID Connect, authorization code with PKCE, a state and a nonce.

What an ID token has to pass, in this order: an algorithm of the list (never `none`, never one that signs with a shared secret), a key
of the provider's own set that fits it, the signature, issuer, audience, times, nonce. Its key set is kept an hour and read again
when a token names a key that is not in it, at most once in ten seconds: providers change keys, and strangers invent key ids.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote, urlencode, urlsplit

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, KeySetSerialization

from corral.domain.errors import Unauthenticated, Unavailable
from corral.runtime.clock import Clock
from corral.runtime.secret import Secret
from corral.server.application.ports.people import Asked, Identity
from corral.server.infrastructure.auth.oidc_fetch import Fetch

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "Ed25519", "EdDSA")
LEEWAY_SECONDS: Final = 60.0
_KEPT_SECONDS: Final = 3600.0
_AGAIN_SECONDS: Final = 10.0
_GROUPS_MAX: Final = 500
_TOKEN_MAX: Final = 64 << 10


@dataclass(frozen=True, kw_only=True)
class OidcSettings:
    """`ca`: who signed the provider's certificate, when the system does not know it."""

    issuer: str
    client_id: str
    client_secret: Secret
    scopes: Sequence[str] = ("openid", "profile", "email")
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"
    ca: Path | None = None


class OidcProvider:
    """One provider, by its issuer."""

    def __init__(self, settings: OidcSettings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._fetch = Fetch(ca=settings.ca)
        self._alone = asyncio.Lock()
        self._document: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def question(self, redirect_uri: str) -> tuple[str, Asked]:
        document = await self._discovered()
        asked = Asked(
            state=secrets.token_urlsafe(24),
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            redirect_uri=redirect_uri,
        )
        challenge = base64.urlsafe_b64encode(hashlib.sha256(asked.verifier.encode()).digest()).rstrip(b"=").decode()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._settings.client_id,
                "redirect_uri": redirect_uri,
                "scope": " ".join(self._settings.scopes),
                "state": asked.state,
                "nonce": asked.nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        where = _endpoint(document, "authorization_endpoint")
        return f"{where}{'&' if '?' in where else '?'}{query}", asked

    async def answer(self, asked: Asked, code: str) -> Identity:
        document = await self._discovered()
        tokens = await self._redeem(document, asked, code)
        claims = await self._verified(document, tokens.get("id_token"), asked.nonce)
        claims = await self._completed(document, claims, tokens.get("access_token"))
        return self._identity(claims)

    async def _redeem(self, document: Mapping[str, Any], asked: Asked, code: str) -> Mapping[str, Any]:
        settings = self._settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": asked.redirect_uri,
            "code_verifier": asked.verifier,
            "client_id": settings.client_id,
        }
        headers = {}
        secret = settings.client_secret.reveal()
        if "client_secret_basic" in document.get("token_endpoint_auth_methods_supported", ["client_secret_basic"]):
            pair = f"{quote(settings.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form["client_secret"] = secret
        status, answer = await self._fetch.form(_endpoint(document, "token_endpoint"), form, headers)
        if status >= 500:
            raise Unavailable(f"cannot log in: the identity provider answers {status}", element="oidc.issuer")
        if status != 200:
            why = str(answer.get("error_description") or answer.get("error") or status)[:200]
            raise _refused(f"the identity provider refuses the code: {why}")
        return answer

    async def _verified(self, document: Mapping[str, Any], token: object, nonce: str) -> Mapping[str, Any]:
        if not isinstance(token, str) or len(token) > _TOKEN_MAX:
            raise _refused("the identity provider sent no ID token")
        claims = await self._signed(document, token)
        if claims.get("iss") != self._settings.issuer:
            raise _refused("the ID token is of another issuer")
        audience = claims.get("aud")
        mine = self._settings.client_id
        several = audience if isinstance(audience, list) else [audience]
        if mine not in several or (len(several) > 1 and claims.get("azp") != mine):
            raise _refused("the ID token is for another client")
        if claims.get("azp") not in (None, mine):
            raise _refused("the ID token was issued to another client")
        now = self._clock.wall()
        expires, issued, begins = (_number(claims.get(key)) for key in ("exp", "iat", "nbf"))
        if expires is None or now >= expires + LEEWAY_SECONDS:
            raise _refused("the ID token has expired", "compare the clocks of the two machines")
        if issued is None or max(issued, begins or 0.0) > now + LEEWAY_SECONDS:
            raise _refused("the ID token is not valid yet", "compare the clocks of the two machines")
        given = claims.get("nonce")
        if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
            raise _refused("the ID token answers another login (its nonce differs)")
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 1 <= len(subject) <= 255:
            raise _refused("the ID token names nobody")
        return claims

    async def _signed(self, document: Mapping[str, Any], token: str) -> Mapping[str, Any]:
        """The claims, if a key of the provider signed them with an algorithm of the list."""
        try:
            header = jws.extract_compact(token.encode()).headers()
        except (JoseError, ValueError, TypeError, AttributeError):
            raise _refused("the ID token cannot be read") from None
        if header.get("alg") not in ALGORITHMS:
            raise _refused(f"the ID token is signed with {str(header.get('alg'))[:20]!r}, which proves nothing")
        for fresh in (False, True):
            keys = await self._key_set(document, fresh=fresh)
            if keys is None:
                continue
            try:
                return jwt.decode(token, keys, algorithms=[str(header["alg"])]).claims
            except (JoseError, ValueError, TypeError):
                continue
        raise _refused("the signature of the ID token is not the provider's")

    async def _completed(
        self, document: Mapping[str, Any], claims: Mapping[str, Any], access_token: object
    ) -> Mapping[str, Any]:
        """With what only the user info endpoint says, for providers that keep ID tokens short."""
        wanted = (self._settings.name_claim, self._settings.groups_claim)
        if (
            all(key in claims for key in wanted)
            or "userinfo_endpoint" not in document
            or not isinstance(access_token, str)
        ):
            return claims
        bearer = {"Authorization": f"Bearer {access_token}"}
        status, more = await self._fetch.get(_endpoint(document, "userinfo_endpoint"), bearer)
        if status != 200 or more.get("sub") != claims["sub"]:
            return claims
        return {**more, **claims}

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        settings = self._settings
        groups = claims.get(settings.groups_claim)
        several = groups if isinstance(groups, list) else [groups]
        return Identity(
            subject=f"{settings.issuer}#{claims['sub']}",
            name=_text(claims.get(settings.name_claim)),
            display_name=_text(claims.get("name")),
            email=_text(claims.get("email")),
            groups=frozenset(text for group in several[:_GROUPS_MAX] if (text := _text(group))),
        )

    async def _discovered(self) -> Mapping[str, Any]:
        async with self._alone:
            now = self._clock.monotonic()
            if self._document is not None and now < self._document[0]:
                return self._document[1]
            issuer = self._settings.issuer
            status, document = await self._fetch.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration", {})
            if status != 200 or document.get("issuer") != issuer:
                raise Unavailable(
                    f"cannot log in: {issuer} does not describe itself as that issuer",
                    element="oidc.issuer",
                    hint="oidc.issuer has to be what its /.well-known/openid-configuration says, to the letter",
                )
            self._document = (now + _KEPT_SECONDS, document)
            return document

    async def _key_set(self, document: Mapping[str, Any], *, fresh: bool) -> KeySet | None:
        """None when a fresh one was asked for and it was read just now."""
        async with self._alone:
            now = self._clock.monotonic()
            if self._keys is not None:
                age = now - self._keys[0]
                if not fresh and age < _KEPT_SECONDS:
                    return self._keys[1]
                if fresh and age < _AGAIN_SECONDS:
                    return None
            status, found = await self._fetch.get(_endpoint(document, "jwks_uri"), {})
            try:
                if status != 200:
                    raise ValueError(f"it answers {status}")
                keys = KeySet.import_key_set(cast("KeySetSerialization", _public(found)))
            except (JoseError, ValueError, TypeError, KeyError) as error:
                raise Unavailable(
                    f"cannot read the keys of the identity provider: {error}", element="oidc.issuer"
                ) from None
            self._keys = (now, keys)
            return keys


def _public(found: Mapping[str, Any]) -> dict[str, Any]:
    """Only keys that sign and that have a private half we do not know: a shared secret in a published set proves nothing."""
    keys = found.get("keys")
    if not isinstance(keys, list):
        raise ValueError("there is no key set")
    usable = [
        key
        for key in keys
        if isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig"
    ]
    return {"keys": usable}


def _endpoint(document: Mapping[str, Any], name: str) -> str:
    url = document.get(name)
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https"):
        raise Unavailable(f"cannot log in: the identity provider names no {name}", element="oidc.issuer")
    return url


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _text(value: object) -> str:
    return value.strip()[:200] if isinstance(value, str) and value.isprintable() else ""


def _refused(
    cause: str, hint: str = "begin again: corral login --oidc, or the button on the login page"
) -> Unauthenticated:
    return Unauthenticated(f"cannot log in: {cause}", element="oidc", hint=hint)

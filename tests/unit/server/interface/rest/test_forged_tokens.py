"""T20: credentials that look like ours and are not. Each is 401 at every door, and says nothing about why."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from corral.server.infrastructure.auth.jwt import JwtMint
from corral.server.infrastructure.auth.signer import HmacSigner
from corral.testing.access_bench import KEY

API = "/api/v1"
PASSWORD = "correct horse battery"
SIGNING = hmac.digest(KEY, b"corral-access-jwt-v1", hashlib.sha256)
KID = JwtMint(KEY).kid
HEADER = {"alg": "HS256", "typ": "at+jwt", "kid": KID}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: Any, claims: Any, key: bytes = SIGNING, *, digest: Any = hashlib.sha256) -> str:
    """Signed with the right key by somebody who asks no library what is allowed."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{signed}.{b64(hmac.digest(key, signed.encode(), digest))}"


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    head, body, mac = token.split(".")
    decode = [json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))) for text in (head, body)]
    return decode[0], decode[1], mac


class Forger:
    """Somebody with a right token of ada, and all the time in the world."""

    def __init__(self, stand: Any, session: dict[str, Any], user: Any) -> None:
        self.stand, self.session, self.user = stand, session, user
        self.token = session["access_token"]
        self.header, self.claims, self.mac = parts(self.token)

    def claimed(self, **claims: Any) -> str:
        """Rightly signed, with other claims; None takes one away."""
        merged = {**self.claims, **claims}
        return by_hand(self.header, {key: value for key, value in merged.items() if value is not None})

    def headed(self, **header: Any) -> str:
        merged = {**self.header, **header}
        return by_hand({key: value for key, value in merged.items() if value is not None}, self.claims)

    def other(self, key: Any, alg: str) -> str:
        return jwt.encode({**self.header, "alg": alg}, self.claims, key, algorithms=[alg])

    async def disabled(self) -> str:
        await self.change(disabled=True, version=self.user.version + 1)
        return str(self.token)

    async def change(self, **fields: Any) -> None:
        changed = await self.stand.bench.users.change(self.user.id, lambda have: replace(have, **fields))
        self.stand.bench.guard.standing.forget(changed)

    async def removed(self) -> str:
        gone = await self.stand.bench.users.remove(self.user.id, keep="")
        self.stand.bench.guard.standing.forget(gone)
        return str(self.token)

    async def version_only(self) -> str:
        """The session's row says another version than the token."""
        return self.claimed(ver=self.claims["ver"] + 1)

    async def ended(self) -> str:
        await self.stand.bench.sessions.end(self.claims["sid"])
        return str(self.token)

    async def lapsed(self) -> str:
        row = self.stand.db.sessions[self.claims["sid"]]
        self.stand.db.sessions[row.id] = replace(row, expires_at=row.created_at - timedelta(seconds=1))
        self.stand.bench.sessions._lasting.forget(row.id)
        return str(self.token)


Forged = Callable[[Forger], str | Awaitable[str]]
NOW = 1_700_000_000
RSA = RSAKey.generate_key(2048)
FORGERIES: dict[str, Forged] = {
    "alg none without a signature": lambda f: ".".join((b64(b'{"alg":"none"}'), f.token.split(".")[1], "")),
    "alg none in our header": lambda f: by_hand({**f.header, "alg": "none"}, f.claims).rpartition(".")[0] + ".",
    "alg None in capitals": lambda f: f.headed(alg="None"),
    "no algorithm": lambda f: f.headed(alg=None),
    "HS512 with the right key": lambda f: by_hand({**f.header, "alg": "HS512"}, f.claims, digest=hashlib.sha512),
    "HS384 with the right key": lambda f: by_hand({**f.header, "alg": "HS384"}, f.claims, digest=hashlib.sha384),
    "RS256 with a key of their own": lambda f: f.other(RSA, "RS256"),
    "their public key in the header": lambda f: jwt.encode(
        {**f.header, "alg": "RS256", "jwk": RSA.as_dict(private=False)}, f.claims, RSA, algorithms=["RS256"]
    ),
    "ES256 with a key of their own": lambda f: f.other(ECKey.generate_key("P-256"), "ES256"),
    "Ed25519 with a key of their own": lambda f: f.other(OKPKey.generate_key("Ed25519"), "Ed25519"),
    "HS256 said to be RS256": lambda f: f.headed(alg="RS256"),
    "HS256 with an empty key": lambda f: by_hand(f.header, f.claims, b""),
    "HS256 with a guessed key": lambda f: f.other(OctKey.import_key("secret-secret-secret-secret-secret"), "HS256"),
    "the key of the installation itself": lambda f: by_hand(f.header, f.claims, KEY),
    "the key of another purpose": lambda f: by_hand(f.header, f.claims, hmac.digest(KEY, b"corral-csrf-v1", "sha256")),
    "another kid": lambda f: f.headed(kid="0" * 16),
    "a kid that is a path": lambda f: f.headed(kid="../../../../dev/null"),
    "no kid": lambda f: f.headed(kid=None),
    "another type": lambda f: f.headed(typ="JWT"),
    "a critical header": lambda f: f.headed(crit=["b64"], b64=False),
    "one header more": lambda f: f.headed(jku="https://keys.example.org/"),
    "another audience": lambda f: f.claimed(aud="another-api"),
    "an audience among several": lambda f: f.claimed(aud=["corral-api", "another-api"]),
    "no audience": lambda f: f.claimed(aud=None),
    "another issuer": lambda f: f.claimed(iss="corral.example.org"),
    "no issuer": lambda f: f.claimed(iss=None),
    "expired": lambda f: f.claimed(exp=NOW, nbf=NOW - 60, iat=NOW - 60),
    "no expiry": lambda f: f.claimed(exp=None),
    "an expiry that is no number": lambda f: f.claimed(exp="9999999999"),
    "an expiry that is true": lambda f: f.claimed(exp=True),
    "an endless expiry": lambda f: f.token.replace(
        f.token.split(".")[1], b64(json.dumps({**f.claims, "exp": 1e999}).encode())
    ),
    "not valid before tomorrow": lambda f: f.claimed(nbf=f.claims["nbf"] + 86400),
    "no beginning": lambda f: f.claimed(nbf=None),
    "an altered claim": lambda f: (
        f"{f.token.split('.')[0]}.{b64(json.dumps({**f.claims, 'sub': 'U0'}).encode())}.{f.mac}"
    ),
    "an altered signature": lambda f: f.token[:-4] + ("AAAA" if not f.token.endswith("AAAA") else "BBBB"),
    "no signature": lambda f: f.token.rpartition(".")[0] + ".",
    "two parts": lambda f: f.token.rpartition(".")[0],
    "four parts": lambda f: f"{f.token}.{f.mac}",
    "no session": lambda f: f.claimed(sid=None),
    "a session that never was": lambda f: f.claimed(sid="S000000000000000000"),
    "a session that is a number": lambda f: f.claimed(sid=7),
    "another version": Forger.version_only,
    "the version as text": lambda f: f.claimed(ver=str(f.claims["ver"])),
    "claims that are a list": lambda f: by_hand(f.header, [f.claims]),
    "a refresh token": lambda f: str(f.session["refresh_token"]),
    "a refresh token without its prefix": lambda f: str(f.session["refresh_token"]).removeprefix("crs_"),
    "claims signed as a refresh token is": lambda f: HmacSigner(KEY).sign("access", f.claims),
    "a csrf value": lambda f: str(f.session["csrf"]),
    "a session that was ended": Forger.ended,
    "a session that lapsed": Forger.lapsed,
    "a session of a disabled user": Forger.disabled,
    "a session of a user who is gone": Forger.removed,
    "a very long one": lambda f: f.claimed(pad="x" * 5000),
    "brackets without end": lambda f: f"{b64(b'[' * 1500)}.{b64(b'[' * 20)}.x",
    "bytes that are no text": lambda f: "eyJ\u00e9\u00ff.\u00fe.x",
    "an API token nobody made": lambda f: "crl_" + "A" * 43,
    "an API token of nothing": lambda f: "crl_",
}


@pytest.fixture
async def forger(stand: Any) -> Forger:
    user = await stand.bench.user("ada", password=PASSWORD, role="admin")
    session = (await stand.client.post(f"{API}/login", json={"name": "ada", "password": PASSWORD})).json()["data"]
    stand.client.cookies.clear()
    return Forger(stand, session, user)


def test_there_are_more_than_thirty() -> None:
    assert len(FORGERIES) > 30


async def test_what_is_forged_from_is_right(stand: Any, forger: Forger) -> None:
    """Or every case below would be refused for the wrong reason."""
    assert forger.header == HEADER
    for token in (forger.token, by_hand(forger.header, forger.claims), forger.claimed(), forger.headed()):
        answer = await stand.client.get(f"{API}/whoami", headers=stand.bearer(token))
        assert (answer.status_code, answer.json()["data"]["name"]) == (200, "ada")


@pytest.mark.parametrize("name", FORGERIES)
async def test_a_forged_token_is_refused_as_bearer_and_as_cookie(stand: Any, forger: Forger, name: str) -> None:
    made = FORGERIES[name](forger)
    token = made if isinstance(made, str) else await made
    bearer = {"Authorization": f"Bearer {token}".encode("latin-1")}
    cookie = {"Cookie": f"corral_session={token}".encode("latin-1")}
    for headers in (bearer, cookie):
        for method, path in (("GET", "/whoami"), ("POST", "/things"), ("GET", "/nowhere")):
            answer = await stand.client.request(method, f"{API}{path}", headers=headers, json=None)
            assert answer.status_code == 401, (name, answer.text)
            assert "ada" not in answer.json()["message"]
    assert stand.things.made == []


async def test_a_forged_token_does_not_fall_back_to_a_right_cookie(stand: Any, forger: Forger) -> None:
    headers = {**stand.bearer(forger.claimed(aud="x")), "Cookie": f"corral_session={forger.token}"}
    assert (await stand.client.get(f"{API}/whoami", headers=headers)).status_code == 401


@pytest.mark.parametrize("claims", [{"s": "S0", "c": 1}, {}, {"s": None}])
async def test_a_forged_refresh_token_is_refused(stand: Any, claims: dict[str, Any]) -> None:
    for signer in (HmacSigner(b"x" * 32), HmacSigner(KEY)):
        token = "crs_" + signer.sign("refresh", claims)
        answer = await stand.client.post(f"{API}/refresh", json={"refresh_token": token})
        assert answer.status_code == 401

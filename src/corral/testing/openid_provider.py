"""A real OpenID provider in a process of its own (authlib's), for tests of logging in: it lets one person in without asking.

`python -m corral.testing.openid_provider` prints its issuer and serves until stdin closes. A test says who comes (POST /person) and how
the next ID tokens are wrong (POST /fault: one of FAULTS, or "" for none); everything else is authlib's own doing: codes that are
good once, PKCE, client authentication, signing.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import threading
import urllib.request
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

CLIENT_ID: Final = "corral"
CLIENT_SECRET: Final = "a client secret of at least thirty-two bytes"
FAULTS: Final = (
    "alg none",
    "signed with the client secret",
    "signed with the public key",
    "another key",
    "wrong nonce",
    "no nonce",
    "wrong audience",
    "several audiences",
    "another party",
    "wrong issuer",
    "expired",
    "no expiry",
    "from the future",
    "altered",
    "nobody",
    "no ID token",
)


class Provider:
    """`async with OpenIdProvider.running()` in a test; this is what the test holds."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncGenerator[Provider, None]:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "corral.testing.openid_provider",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # It speaks plain HTTP on loopback, which authlib refuses otherwise.
            env={**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            issuer = (await process.stdout.readline()).decode().strip()
            assert issuer, "the OpenID provider did not start"
            yield cls(issuer)
        finally:
            process.stdin.close()
            await process.wait()

    async def person(self, **claims: Any) -> None:
        """Who is logged in there from now on: sub, preferred_username, groups, …"""
        await self._tell("/person", claims)

    async def fault(self, name: str) -> None:
        assert name in ("", *FAULTS)
        await self._tell("/fault", {"name": name})

    async def new_keys(self) -> None:
        """It signs with another key from now on, and publishes only that."""
        await self._tell("/rotate", {})

    async def _tell(self, path: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(f"{self.issuer}{path}", data=json.dumps(body).encode(), method="POST")  # noqa: S310  # our own loopback server
        await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=10).close())  # noqa: S310  # the same


@dataclass
class _World:
    issuer: str = ""
    fault: str = ""
    person: dict[str, Any] = field(default_factory=lambda: {"sub": "1", "preferred_username": "ada"})
    codes: dict[str, Any] = field(default_factory=dict)
    access: dict[str, dict[str, Any]] = field(default_factory=dict)
    key: Any = None


def _server(world: _World) -> Any:
    """authlib's server, with a memory for a database."""
    from authlib.common.security import generate_token
    from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request
    from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
    from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
    from authlib.oauth2.rfc6750 import BearerTokenGenerator
    from authlib.oauth2.rfc7636 import CodeChallenge
    from authlib.oidc.core.grants import OpenIDCode
    from joserfc import jwt
    from joserfc.jwk import OctKey, RSAKey

    class Client(ClientMixin):  # type: ignore[misc]  # authlib has no types
        client_id = CLIENT_ID

        def get_client_id(self) -> str:
            return CLIENT_ID

        def get_default_redirect_uri(self) -> str:
            return ""

        def get_allowed_scope(self, scope: str) -> str:
            return scope

        def check_redirect_uri(self, redirect_uri: str) -> bool:
            return urlsplit(redirect_uri).path == "/auth/oidc/callback"

        def check_client_secret(self, client_secret: str) -> bool:
            return client_secret == CLIENT_SECRET

        def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
            return method == "client_secret_basic"

        def check_response_type(self, response_type: str) -> bool:
            return response_type == "code"

        def check_grant_type(self, grant_type: str) -> bool:
            return grant_type == "authorization_code"

    @dataclass
    class Code:
        code: str
        redirect_uri: str
        scope: str
        nonce: str | None
        code_challenge: str
        code_challenge_method: str
        person: dict[str, Any]

        def get_redirect_uri(self) -> str:
            return self.redirect_uri

        def get_scope(self) -> str:
            return self.scope

        def get_nonce(self) -> str | None:
            return self.nonce

        def get_auth_time(self) -> None:
            return None

        get_acr = get_amr = get_auth_time

    class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]  # authlib has no types
        TOKEN_ENDPOINT_AUTH_METHODS: Final = ["client_secret_basic"]

        def save_authorization_code(self, code: str, request: Any) -> None:
            data = request.payload.data
            world.codes[code] = Code(
                code=code,
                redirect_uri=data["redirect_uri"],
                scope=data["scope"],
                nonce=data.get("nonce"),
                code_challenge=data["code_challenge"],
                code_challenge_method=data["code_challenge_method"],
                person=request.user,
            )

        def query_authorization_code(self, code: str, client: Any) -> Any:
            return world.codes.get(code)

        def delete_authorization_code(self, authorization_code: Any) -> None:
            world.codes.pop(authorization_code.code, None)

        def authenticate_user(self, authorization_code: Any) -> Any:
            return authorization_code.person

    class IdToken(OpenIDCode):  # type: ignore[misc]  # authlib has no types
        def exists_nonce(self, nonce: str, request: Any) -> bool:
            return False

        def get_client_claims(self, client: Any) -> dict[str, Any]:
            return {"iss": world.issuer, "aud": [CLIENT_ID]}

        def resolve_client_private_key(self, client: Any) -> Any:
            return world.key

        def get_encode_header(self, client: Any) -> dict[str, Any]:
            return {"alg": "RS256", "kid": world.key.kid}

        def generate_user_info(self, user: Any, scope: str) -> dict[str, Any]:
            return dict(user)

        def process_token(self, grant: Any, response: Any) -> Any:
            token = super().process_token(grant, response)
            world.access[token["access_token"]] = grant.request.user
            if world.fault == "no ID token":
                del token["id_token"]
            elif world.fault:
                token["id_token"] = _spoiled(token["id_token"])
            return token

    def _spoiled(token: str) -> str:
        """The same ID token, wrong in one way."""
        fault = world.fault
        claims = dict(jwt.decode(token, world.key, algorithms=["RS256"]).claims)
        changes: dict[str, dict[str, Any]] = {
            "wrong nonce": {"nonce": "another"},
            "wrong audience": {"aud": ["another"]},
            "several audiences": {"aud": [CLIENT_ID, "another"]},
            "another party": {"azp": "another"},
            "wrong issuer": {"iss": "https://issuer.example.org"},
            "expired": {"exp": claims["iat"] - 3600, "iat": claims["iat"] - 7200},
            "from the future": {"iat": claims["iat"] + 3600, "exp": claims["iat"] + 7200},
            "nobody": {"sub": ""},
        }
        claims |= changes.get(fault, {})
        for name, key in (("no nonce", "nonce"), ("no expiry", "exp")):
            if fault == name:
                del claims[key]
        header = {"alg": "RS256", "kid": world.key.kid}
        if fault == "altered":
            head, _, mac = token.split(".")
            claims["sub"] = "another"
            body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
            return f"{head}.{body}.{mac}"
        if fault == "alg none":
            parts = [{"alg": "none"}, claims]
            return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + "."
        if fault == "signed with the client secret":
            return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(CLIENT_SECRET), algorithms=["HS256"])
        if fault == "signed with the public key":
            # joserfc refuses such a key on purpose; whoever attacks does not ask it.
            return _hmac_by_hand({**header, "alg": "HS256"}, claims, world.key.as_pem(private=False))
        if fault == "another key":
            stranger = RSAKey.generate_key(2048)
            return jwt.encode(header, claims, stranger, algorithms=["RS256"])
        return jwt.encode(header, claims, world.key, algorithms=["RS256"])

    class Server(AuthorizationServer):  # type: ignore[misc]  # authlib has no types
        def query_client(self, client_id: str) -> Any:
            return Client() if client_id == CLIENT_ID else None

        def save_token(self, token: Any, request: Any) -> None:
            pass

        def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
            pass

        def create_oauth2_request(self, request: Any) -> Any:
            method, uri, data, headers = request
            made = OAuth2Request(method, uri, headers=headers)
            made.payload = BasicOAuth2Payload(data)
            made._body = data if method == "POST" else {}
            return made

        def handle_response(self, status: int, body: Any, headers: Any) -> Any:
            return status, body, headers

    server = Server()
    server.register_token_generator("default", BearerTokenGenerator(lambda *a, **k: generate_token(42)))
    server.register_grant(CodeGrant, [IdToken(require_nonce=True), CodeChallenge(required=True)])
    return server


def _hmac_by_hand(header: dict[str, Any], claims: dict[str, Any], key: bytes) -> str:
    import hashlib
    import hmac

    def text(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = f"{text(json.dumps(header).encode())}.{text(json.dumps(claims).encode())}"
    return f"{signed}.{text(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def main() -> None:
    from joserfc.jwk import RSAKey

    def new_key() -> Any:
        return RSAKey.generate_key(2048, auto_kid=True)

    world = _World(key=new_key())
    server = _server(world)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _send(self, status: int, body: Any, headers: Any = ()) -> None:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/.well-known/openid-configuration":
                self._send(
                    200,
                    {
                        "issuer": world.issuer,
                        "authorization_endpoint": f"{world.issuer}/authorize",
                        "token_endpoint": f"{world.issuer}/token",
                        "userinfo_endpoint": f"{world.issuer}/userinfo",
                        "jwks_uri": f"{world.issuer}/keys",
                        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                    },
                )
            elif parts.path == "/keys":
                self._send(200, {"keys": [world.key.as_dict(private=False, use="sig", alg="RS256")]})
            elif parts.path == "/userinfo":
                person = world.access.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
                self._send(200 if person else 401, {**(person or {}), **world.person} if person else {})
            elif parts.path == "/authorize":
                from authlib.oauth2 import OAuth2Error

                request = ("GET", f"{world.issuer}{self.path}", dict(parse_qsl(parts.query)), self.headers)
                try:
                    grant = server.get_consent_grant(request, end_user=world.person)
                except OAuth2Error as error:
                    self._send(400, {"error": error.error, "error_description": str(error.description)})
                    return
                self._send(*server.create_authorization_response(request, grant_user=world.person, grant=grant))
            else:
                self._send(404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            if self.path == "/token":
                request = ("POST", f"{world.issuer}/token", dict(parse_qsl(body.decode())), self.headers)
                self._send(*server.create_token_response(request))
                return
            given = json.loads(body)
            if self.path == "/person":
                world.person = given
            elif self.path == "/fault":
                world.fault = given["name"]
            elif self.path == "/rotate":
                world.key = new_key()
            self._send(200, {})

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    world.issuer = f"http://127.0.0.1:{listener.server_address[1]}"
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    print(world.issuer, flush=True)
    sys.stdin.read()
    listener.shutdown()


if __name__ == "__main__":
    main()

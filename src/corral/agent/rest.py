"""The few REST calls a node makes itself, in its short-lived processes: enrol and renew. Blocking, standard library.

http:// only to this machine; https:// only under the pinned CA. Answers are read to a bound; an error answer becomes the error the
server raised.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from corral.domain.errors import CorralError, Internal, Invalid, Unavailable, by_code
from corral.runtime.tls import PIN_NONE, client_context, is_loopback, pinned_ca

TIMEOUT_SECONDS: Final = 30.0
_ANSWER_BYTES_MAX: Final = 4 << 20
_PREFIX: Final = "/api/v1"


class Server:
    """The server at `url`; `ca_pem` is the CA it has to show (empty: plain http to this machine)."""

    def __init__(self, url: str, ca_pem: str = "") -> None:
        self.url, self.host, self.port, self.secure = parse_url(url)
        self.ca_pem = ca_pem
        if self.secure and not ca_pem:
            raise Invalid(
                f"cannot trust {self.url}: no CA is pinned", element="server", hint="use a token made by that server"
            )

    @classmethod
    def pinned(cls, url: str, pin: str) -> Server:
        """Look the CA with fingerprint `pin` up in the server's own handshake. Raises Invalid when pin and URL do not fit."""
        text, host, port, secure = parse_url(url)
        if not secure:
            return cls(text)
        if pin == PIN_NONE:
            raise Invalid(
                f"cannot trust {text}: this token pins no CA",
                element="token",
                hint="the server that made it has no https; use its http:// address on that machine, or make a token on this one",
            )
        return cls(text, pinned_ca(host, port, pin))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The `data` of the answer. Raises Unavailable, or the error the server answered."""
        connection = self._connection()
        try:
            headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
            connection.request("POST", f"{_PREFIX}{path}", json.dumps(body).encode(), headers)
            response = connection.getresponse()
            status, raw = response.status, response.read(_ANSWER_BYTES_MAX)
        except ssl.SSLCertVerificationError as error:
            raise Invalid(
                f"cannot trust {self.url}: {error.verify_message}",
                element="server",
                hint="its certificate has to name this address; see server.public_url",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(
                f"cannot reach {self.url}: {error or type(error).__name__}",
                element="server",
                hint="check the address, the port and the firewall; is the server running?",
                retryable=True,
            ) from None
        finally:
            connection.close()
        return _data(self.url, status, raw)

    def nonce(self, token_id: str, node_id: str) -> str:
        """What the next proof has to be made over."""
        nonce = self.post("/enroll/challenge", {"token": token_id, "node_id": node_id}).get("nonce")
        if not isinstance(nonce, str) or not nonce:
            raise Unavailable(
                f"cannot understand {self.url}: it gave no nonce", element="server", hint="is this a Corral server?"
            )
        return nonce

    def _connection(self) -> http.client.HTTPConnection:
        if not self.secure:
            return http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_SECONDS)
        context = client_context(self.ca_pem)
        return http.client.HTTPSConnection(self.host, self.port, timeout=TIMEOUT_SECONDS, context=context)


def parse_url(url: str) -> tuple[str, str, int, bool]:
    """(the URL without path, host, port, https?). Raises Invalid for http:// to another machine."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise Invalid(f"cannot use {url!r} as the server's address: {error}", element="server") from None
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.path.strip("/") or parts.query:
        raise Invalid(
            f"cannot use {url!r} as the server's address: expected https://host:port",
            element="server",
            hint="corral token create prints the whole command",
        )
    secure = parts.scheme == "https"
    if not secure and not is_loopback(host):
        raise Invalid(
            f"cannot enrol over {url!r}: without TLS only to this machine itself",
            element="server",
            hint="corral system init makes a CA and certificates; then use https://",
        )
    number = port or (443 if secure else 80)
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else ""), host, number, secure


def _data(url: str, status: int, raw: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(raw)
        if not isinstance(answer, dict):
            raise ValueError
    except (ValueError, RecursionError):
        raise Unavailable(
            f"cannot understand {url}: it answered HTTP {status} without JSON",
            element="server",
            hint="is this a Corral server?",
        ) from None
    if 200 <= status < 300 and isinstance(answer.get("data"), dict):
        data: dict[str, Any] = answer["data"]
        return data
    message = str(answer.get("message") or f"HTTP {status}")
    kind = by_code().get(answer.get("code") or 0, Internal)
    if kind.__init__ is not CorralError.__init__:
        kind = Invalid
    raise kind(message, element=answer.get("element"), hint=answer.get("hint"))

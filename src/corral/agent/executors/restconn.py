"""A stored connection to something that speaks HTTP: its base URL, its TLS and who we are there.

Only who may write connections says where one leads, so it may lead to the node itself; to a metadata service or the link it may not.
`options`: scheme (http or https), path (before every other), server_name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from corral.agent.executors.contract import BadParams, Failed
from corral.agent.executors.httpwire import Answer, Web
from corral.agent.executors.sqltls import tls_of
from corral.domain.netguard import AddressRules

ANSWER_BYTES_MAX: Final = 64 << 20
RULES: Final = AddressRules(loopback=True)


@dataclass(frozen=True, kw_only=True)
class Service:
    """Where requests go. `headers` hold what authorises."""

    web: Web
    base: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def url(self, path: str, query: Mapping[str, Any] | None = None) -> str:
        pairs = {name: _word(value) for name, value in (query or {}).items() if value is not None}
        tail = f"?{urlencode(pairs, doseq=True, quote_via=quote)}" if pairs else ""
        return f"{self.base}{quote(path, safe='/:@!$&()*+,;=~%-._')}{tail}"

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Answer:
        """The answer, whatever its status; raises Failed."""
        headers = {**self.headers, "Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        return self.web.send(method, self.url(path, query), headers=headers, body=body)


def service_of(
    connection: Mapping[str, Any] | None, *, timeout_seconds: float, port: int, scheme: str, token: str = ""
) -> Service:
    """`port` and `scheme` are the engine's own; `token`: what a password without a user is sent as (Bearer, ApiKey). Raises BadParams."""
    if connection is None or not connection.get("host"):
        raise BadParams("cannot connect: the connection names no host", element="connection.host")
    options = connection.get("options") or {}
    tls = tls_of(connection)
    given = connection.get("tls") or {}
    scheme = str(options.get("scheme") or ("http" if tls.mode == "off" else "https" if given else scheme))
    if scheme not in ("http", "https"):
        raise BadParams(f"cannot use scheme {scheme!r}: expected http or https", element="connection.options.scheme")
    host = str(connection["host"])
    host = f"[{host}]" if ":" in host else host
    prefix = str(options.get("path") or "").strip("/")
    web = Web(
        rules=RULES,
        tls={
            "verify": tls.mode in ("verify", "prefer"),
            "ca_file": tls.ca,
            "client_cert_file": tls.cert,
            "client_key_file": tls.key,
            "server_name": options.get("server_name"),
        },
        timeout_seconds=timeout_seconds,
        max_body_bytes=ANSWER_BYTES_MAX,
    )
    base = f"{scheme}://{host}:{connection.get('port') or port}" + (f"/{prefix}" if prefix else "")
    return Service(web=web, base=base, headers=_authorization(connection, token))


def decoded(answer: Answer, what: str) -> Any:
    """The JSON of an answer; raises Failed."""
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        raise Failed(f"cannot read the answer of {what}: status {answer.status} and no JSON") from None


def _authorization(connection: Mapping[str, Any], token: str) -> dict[str, str]:
    password, user = connection.get("password") or "", connection.get("user") or ""
    if not password:
        return {}
    if any(c in "\r\n\0" for c in password.strip()):
        raise BadParams(
            "cannot use the password of the connection: it holds a line break", element="connection.password"
        )
    if token and not user:
        return {"Authorization": f"{token} {password.strip()}"}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def _word(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value

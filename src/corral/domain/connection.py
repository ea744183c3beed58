"""A named connection: where a database, cluster or service is and as whom, without any credential in it.

The password is the name of a secret; TLS keys and options may refer to secrets (`{{ secret.NAME }}`). A node's executor connects,
never the server, so host and port mean what they mean on the node.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from corral.domain.errors import Invalid
from corral.domain.secret import check_secret_name

ENGINES: Final = (
    "postgres", "mysql", "mariadb", "clickhouse", "mongodb", "elasticsearch", "opensearch", "kubernetes", "http"
)  # fmt: skip
NAME_CHARS: Final = 63
_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_HOST_CHARS: Final = 253
_CREDENTIAL_WORDS: Final = ("password", "passwd", "secret", "token", "key")
_REFERENCE: Final = "{{"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """`engine` says which kinds may use it; `selector` which nodes may. `tls` and `options` are what its executor knows."""

    name: str
    engine: str
    host: str = ""
    port: int | None = None
    database: str = ""
    user: str = ""
    password_secret: str = ""
    tls: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    selector: str = "all"
    description: str = ""
    changed_at: datetime | None = None
    changed_by: str = ""
    resource_version: int = 1


def check_connection(connection: Connection) -> None:
    """Raise Invalid naming the field, the value, what was expected and the remedy."""
    if _NAME.fullmatch(connection.name) is None:
        raise Invalid(
            f"cannot name a connection {connection.name[:NAME_CHARS]!r}: expected lower-case letters, digits, '.', '_' and '-'",
            element="name",
            hint="example: shop-db",
        )
    if connection.engine not in ENGINES:
        raise Invalid(
            f"cannot use {connection.engine!r} as engine: expected one of {', '.join(ENGINES)}", element="engine"
        )
    if connection.port is not None and not 0 < connection.port < 65536:
        raise Invalid(f"cannot use {connection.port} as port: expected 1 to 65535", element="port")
    for element in ("host", "database", "user", "description"):
        text = getattr(connection, element)
        if len(text) > _HOST_CHARS or any(not character.isprintable() for character in text):
            raise Invalid(
                f"cannot use this {element}: expected at most {_HOST_CHARS} printable characters", element=element
            )
    if connection.password_secret:
        check_secret_name(connection.password_secret, element="password_secret")
    for part, values in (("tls", connection.tls), ("options", connection.options)):
        for key, value in values.items():
            named = any(word in key.lower() for word in _CREDENTIAL_WORDS)
            looks = isinstance(value, str) and "PRIVATE KEY" in value
            if looks or (named and isinstance(value, str) and _REFERENCE not in value and not value.startswith("/")):
                raise Invalid(
                    f"cannot keep {part}.{key} in a connection: it looks like a credential",
                    element=f"{part}.{key}",
                    hint=f"store it as a secret and refer to it: {key}='{{{{ secret.NAME }}}}', or name a file on the node",
                )

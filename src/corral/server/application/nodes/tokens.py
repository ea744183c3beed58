"""Join tokens: made, listed, revoked. The whole token is shown once; the server keeps what checks a proof, not the secret."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from corral.domain.errors import Invalid
from corral.domain.ids import check_node_id
from corral.domain.node import check_group, check_label
from corral.runtime.clock import Clock
from corral.server.application.access.deciding import Deciding
from corral.server.application.access.scope import require_everywhere
from corral.server.application.ports.access import Caller
from corral.server.application.ports.nodes import JoinToken, TokenStore

PREFIX: Final = "cj1"
TTL_MAX_SECONDS: Final = 366 * 86400
USES_MAX: Final = 100_000
NO_PIN: Final = "-"
_PART: Final = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")


@dataclass(frozen=True, kw_only=True)
class TokenText:
    """`cj1.<id>.<secret>.<CA fingerprint, or ->`, taken apart."""

    id: str
    secret: str
    fingerprint: str


def parse_token(text: str) -> TokenText:
    """Raises Invalid without repeating the secret."""
    parts = text.strip().split(".")
    if len(parts) != 4 or parts[0] != PREFIX or not all(map(_PART.match, parts[1:])):
        raise Invalid(
            "cannot read the join token: expected cj1.<id>.<secret>.<fingerprint>",
            element="token",
            hint="copy the whole token as 'corral token create' printed it",
        )
    return TokenText(id=parts[1], secret=parts[2], fingerprint=parts[3])


def proof_key(secret: str) -> bytes:
    """The key of the node's proof: both sides derive it, only this is stored."""
    return hashlib.sha256(secret.encode()).digest()


class JoinTokens:
    """`fingerprint` is what nodes pin: sha256 hex of the CA's DER, `-` when enrolment is on loopback without TLS.

    `server_url` is where nodes find this server; empty = wherever the caller found it.
    """

    def __init__(
        self,
        *,
        store: TokenStore,
        clock: Clock,
        fingerprint: str = NO_PIN,
        server_url: str = "",
        random: Callable[[int], bytes] = os.urandom,
        deciding: Deciding | None = None,
    ) -> None:
        self._deciding = deciding or Deciding()
        self._store = store
        self._clock = clock
        self._fingerprint = fingerprint
        self.server_url = server_url
        self._random = random

    async def create(
        self,
        caller: Caller,
        *,
        uses: int = 1,
        ttl_seconds: float = 3600.0,
        labels: Mapping[str, str] | None = None,
        groups: Sequence[str] = (),
        node_id: str | None = None,
    ) -> tuple[JoinToken, str]:
        """The stored token, and its text, which is never to be had again.

        Labels and groups of a token move the nodes it enrols into or out of grants, so making one needs the permission everywhere.
        """
        require_everywhere(caller, "token.write", "make a join token")
        if not 1 <= uses <= USES_MAX:
            raise Invalid(f"cannot use {uses} as uses: expected 1 to {USES_MAX}", element="uses", hint="--uses 10")
        if not 1 <= ttl_seconds <= TTL_MAX_SECONDS:
            raise Invalid(
                f"cannot use {ttl_seconds:g} as ttl: expected 1 to {TTL_MAX_SECONDS} seconds",
                element="ttl_seconds",
                hint="--ttl 1h",
            )
        if node_id is not None:
            check_node_id(node_id)
        for key, value in (labels or {}).items():
            check_label(key, value)
        for group in groups:
            check_group(group)
        await self._deciding.check(caller, labels or (), groups, "make a join token with these labels")
        secret = base64.urlsafe_b64encode(self._random(24)).decode().rstrip("=")
        now = self._clock.now()
        token = JoinToken(
            id=self._random(6).hex(),
            proof_key=proof_key(secret),
            uses=uses,
            uses_left=uses,
            expires_at=now + timedelta(seconds=ttl_seconds),
            created_at=now,
            created_by=caller.name,
            labels=dict(labels or {}),
            groups=frozenset(groups),
            node_id=node_id,
        )
        await self._store.add(token)
        return token, f"{PREFIX}.{token.id}.{secret}.{self._fingerprint}"

    async def list(self, caller: Caller) -> Sequence[JoinToken]:
        return await self._store.list()

    async def revoke(self, caller: Caller, token: str) -> None:
        """Raises NotFound for an unknown id; nodes that enrolled with it stay."""
        require_everywhere(caller, "token.write", "revoke a join token")
        await self._store.revoke(token)

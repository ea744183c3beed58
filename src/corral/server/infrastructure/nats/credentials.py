"""Signs what nodes connect with, and tells the engine whose keys are dead. The keys are the realm's (bus/realm.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from corral.bus.port import Accounts
from corral.bus.realm import NodesClaims, Realm
from corral.server.application.ports.nodes import Credentials

LIFE_SECONDS: Final = 30 * 86400.0
"""How long a credential lasts; nodes renew at 67 % of it, and may renew after it too."""


class RealmIssuer:
    """Implements CredentialIssuer. `engine_urls` and `nodes` are asked each time: ports are found at start, fleets grow."""

    def __init__(
        self,
        *,
        realm: Realm,
        accounts: Accounts,
        signing_keys: Callable[[], Mapping[str, str]],
        engine: tuple[Callable[[], Sequence[str]], str],
        nodes: Callable[[], int],
        life_seconds: float = LIFE_SECONDS,
    ) -> None:
        self._realm = realm
        self._accounts = accounts
        self._signing_keys = signing_keys
        self._engine_urls, self._engine_ca = engine
        self._nodes = nodes
        self._life = timedelta(seconds=life_seconds)
        self._pushing = asyncio.Lock()

    def issue(self, node: str, *, daemon_key: str, worker_key: str, now: datetime) -> Credentials:
        """Two credentials; one key for both links (the simulator) gets one with both sets of rights."""
        expires_at = now + self._life
        expires = expires_at.timestamp()
        if daemon_key == worker_key:
            daemon_jwt = worker_jwt = self._realm.user_sim(node, daemon_key, expires)
        else:
            daemon_jwt = self._realm.user_daemon(node, daemon_key, expires)
            worker_jwt = self._realm.user_worker(node, worker_key, expires)
        return Credentials(
            daemon_jwt=daemon_jwt,
            worker_jwt=worker_jwt,
            expires_at=expires_at,
            signing_keys=dict(self._signing_keys()),
            engine_urls=list(self._engine_urls()),
            engine_ca=self._engine_ca,
        )

    def claims(self, revocations: Mapping[str, int]) -> NodesClaims:
        """What the engine has to know of nodes. Room for growth: up to the next power of two."""
        return NodesClaims(revoked=dict(revocations), nodes=1 << self._nodes().bit_length())

    async def apply_revocations(self, revocations: Mapping[str, int]) -> None:
        """The engine closes the links of revoked keys before it answers. One push at a time: the last one asked for wins."""
        async with self._pushing:
            await self._accounts.push_claims(self._realm.nodes_jwt(self.claims(revocations)))

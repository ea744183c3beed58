"""A whole nodes room on fakes: memory stores, the engine in memory, a clock that stands still."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass, field
from typing import Any

import pytest

from corral.bus.memory import MemoryBus
from corral.bus.realm import Realm
from corral.runtime import nkeys
from corral.runtime.crypto import ed25519_public, ed25519_sign
from corral.server.application.nodes.enrolment import (
    Application,
    Enrolment,
    RenewalRequest,
    enrolment_text,
    renewal_text,
)
from corral.server.application.nodes.labels import Labelling
from corral.server.application.nodes.nonce import Nonces
from corral.server.application.nodes.registry import Registry
from corral.server.application.nodes.removal import Removal
from corral.server.application.nodes.tokens import JoinTokens, parse_token, proof_key
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import Changed
from corral.server.infrastructure.nats.credentials import RealmIssuer
from corral.testing.clock import FakeClock
from corral.testing.stores import (
    MemoryDatabase,
    MemoryJobQueries,
    MemoryJobStore,
    MemoryNodeStore,
    MemoryTokenStore,
)

ADMIN = Caller(name="admin")


@dataclass
class Machine:
    """A machine that wants to be a node, with its two keys."""

    id: str
    daemon_seed: bytes = field(default_factory=lambda: os.urandom(32))
    worker_seed: bytes = field(default_factory=lambda: os.urandom(32))

    @property
    def daemon_key(self) -> str:
        return nkeys.encode_public("U", ed25519_public(self.daemon_seed))

    @property
    def worker_key(self) -> str:
        return nkeys.encode_public("U", ed25519_public(self.worker_seed))

    def applies(self, token: str, nonce: str, **changes: Any) -> Application:
        text = enrolment_text(nonce, self.id, self.daemon_key, self.worker_key)
        parts = parse_token(token)
        wish: dict[str, Any] = {
            "token": parts.id,
            "node_id": self.id,
            "nonce": nonce,
            "daemon_key": self.daemon_key,
            "worker_key": self.worker_key,
            "proof": hmac.new(proof_key(parts.secret), text, hashlib.sha256).hexdigest(),
            "daemon_signature": base64.b64encode(ed25519_sign(self.daemon_seed, text)).decode(),
            "worker_signature": base64.b64encode(ed25519_sign(self.worker_seed, text)).decode(),
        }
        return Application(**(wish | changes))

    def renews(self, nonce: str) -> RenewalRequest:
        signature = ed25519_sign(self.daemon_seed, renewal_text(nonce, self.id))
        return RenewalRequest(
            node_id=self.id,
            nonce=nonce,
            daemon_key=self.daemon_key,
            daemon_signature=base64.b64encode(signature).decode(),
        )


class Room:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.db = MemoryDatabase()
        self.nodes = MemoryNodeStore(self.db)
        self.token_store = MemoryTokenStore(self.db)
        self.jobs = MemoryJobStore(self.db)
        self.queries = MemoryJobQueries(self.db)
        self.bus = MemoryBus(clock=self.clock)
        self.fleet = Registry()
        self.settled: list[Changed] = []
        self.issuer = RealmIssuer(
            realm=Realm.create(self.clock),
            accounts=self.bus.accounts,
            signing_keys=lambda: {"k1": "cHVibGlj"},
            engine=(lambda: ["nats://127.0.0.1:4222"], ""),
            nodes=lambda: len(self.fleet),
        )
        self.tokens = JoinTokens(store=self.token_store, clock=self.clock)
        self.enrolment = Enrolment(
            fleet=self.fleet,
            stores=(self.nodes, self.token_store),
            credentials=self.issuer,
            nonces=Nonces(key=b"k" * 32, clock=self.clock),
            clock=self.clock,
        )
        self.labels = Labelling(fleet=self.fleet, store=self.nodes)
        self.removal = Removal(
            fleet=self.fleet,
            store=self.nodes,
            credentials=self.issuer,
            jobs=(self.jobs, self.queries),
            clock=self.clock,
            settled=self._settle,
        )

    async def _settle(self, changed: Changed) -> None:
        self.settled.append(changed)

    async def token(self, **order: Any) -> str:
        return (await self.tokens.create(ADMIN, **order))[1]

    async def join(self, machine: Machine, token: str | None = None, **changes: Any) -> Any:
        nonce = self.enrolment.challenge(machine.id)
        return await self.enrolment.enrol(machine.applies(token or await self.token(), nonce, **changes))


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def machine() -> type[Machine]:
    return Machine


@pytest.fixture
def admin() -> Caller:
    return ADMIN

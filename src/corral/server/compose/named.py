"""Secrets and connections: what a spec may name, and what is looked up when a task is sent. And the rules that ask for approval."""

from __future__ import annotations

from dataclasses import dataclass

from corral.server.application.access.deciding import Selectors
from corral.server.application.approvals.kept import KeptRules
from corral.server.application.connections.book import ConnectionBook
from corral.server.application.ports.guards import SubmissionGuard
from corral.server.application.secrets.book import SecretBook
from corral.server.application.secrets.guard import SecretGuard
from corral.server.application.secrets.private import PrivateParts
from corral.server.compose.ground import Ground
from corral.server.infrastructure.secrets.cipher import AesCipher
from corral.server.infrastructure.secrets.master import load_master
from corral.server.infrastructure.sql.approvals import SqlApprovalRules
from corral.server.infrastructure.sql.connections import SqlConnectionStore
from corral.server.infrastructure.sql.secrets import SqlSecretStore


@dataclass(kw_only=True)
class Named:
    """The rooms, and what submission and dispatch need of them."""

    secrets: SecretBook
    connections: ConnectionBook
    private: PrivateParts
    guard: SubmissionGuard
    approval_rules: KeptRules
    selectors: Selectors
    """Of the nodes that secrets and connections are for."""


def compose_named(ground: Ground) -> Named:
    """Raises Invalid when the master key cannot be used."""
    settings = ground.config.secrets
    master = load_master(
        ground.keys / "master.json",
        given=settings.master_key.reveal(),
        file=settings.master_key_file,
        older=[key.reveal() for key in settings.old_master_keys],
    )
    secrets, connections, cipher = SqlSecretStore(ground.db), SqlConnectionStore(ground.db), AesCipher()
    private = PrivateParts(secrets=secrets, connections=connections, master=master, cipher=cipher, clock=ground.clock)

    async def selectors() -> set[str]:
        return {entry.selector for entry in await secrets.entries()} | {
            one.selector for one in await connections.list()
        }

    return Named(
        selectors=selectors,
        secrets=SecretBook(store=secrets, master=master, cipher=cipher, clock=ground.clock, changed=private.forget),
        connections=ConnectionBook(store=connections, secrets=secrets, clock=ground.clock),
        private=private,
        approval_rules=KeptRules(SqlApprovalRules(ground.db), ground.clock),
        guard=SecretGuard(secrets=secrets, connections=connections, fleet=ground.registry),
    )

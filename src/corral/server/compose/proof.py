"""The proof: the chain over the audit entries, sealed by the leader."""

from __future__ import annotations

from dataclasses import dataclass

from corral.server.application.audit.proof import AuditProof
from corral.server.application.audit.sealing import Sealer, Seals
from corral.server.compose.ground import Ground
from corral.server.infrastructure.disk.audit_head import HeadFile
from corral.server.infrastructure.sql.audit_chain import SqlAuditChain


@dataclass(kw_only=True)
class Sealing:
    """`sealer` runs; `proof` is asked by people."""

    sealer: Sealer
    proof: AuditProof


def compose_sealing(ground: Ground) -> Sealing:
    chain, seals = SqlAuditChain(ground.db), Seals(ground.ring)
    witness = HeadFile(ground.config.data_dir / "audit-head.json")
    sealer = Sealer(
        chain=chain,
        seals=seals,
        witness=witness,
        clock=ground.clock,
        token=lambda: ground.leadership.token if ground.leadership.leading else None,
    )
    return Sealing(sealer=sealer, proof=AuditProof(chain=chain, seals=seals, witness=witness, clock=ground.clock))

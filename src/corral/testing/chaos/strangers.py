"""Enrolled nodes that no host of ours runs: their credentials are free for a fault to misuse."""

from __future__ import annotations

from pathlib import Path

from corral.protocol import subjects
from corral.testing.chaos.field import Field
from corral.testing.engine import NodeCredential
from corral.testing.raw_node import RawNode
from corral.testing.sim.identities import FleetFile, make
from corral.testing.sim.main import register


async def enrol(field: Field, count: int = 1, *, prefix: str = "rogue") -> FleetFile:
    """`count` more nodes, named <prefix>-00001 and so on; their fleet file lies in the stack's folder."""
    file = await register(field.fleet, make(count, prefix=prefix))
    file.save(path_of(field, prefix))
    return file


def path_of(field: Field, prefix: str = "rogue") -> Path:
    return field.stack.folder / f"{prefix}.json"


def credential(file: FleetFile, index: int = 0) -> NodeCredential:
    identity = file.nodes[index]
    return NodeCredential(
        node=identity.node_id,
        jwt=identity.jwt,
        seed=identity.seed,
        public=identity.public,
        inbox=subjects.node_inbox(identity.node_id),
    )


async def connect(field: Field, file: FleetFile, index: int = 0) -> RawNode:
    """Raises nats.errors.Error when the engine refuses."""
    return await RawNode.connect(f"nats://127.0.0.1:{field.stack.engine_port}", credential(file, index))

"""The identities of simulated nodes: keys made here, credentials signed by the server in batches, kept in one file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from corral.runtime import crypto, nkeys
from corral.runtime.files import write_atomic

BATCH: Final = 500


@dataclass(frozen=True, kw_only=True)
class SimulatedIdentity:
    node_id: str
    seed: str = field(repr=False)
    jwt: str = field(default="", repr=False)

    @property
    def public(self) -> str:
        return nkeys.encode_public("U", crypto.ed25519_public(nkeys.decode_seed(self.seed)[1]))


@dataclass(frozen=True, kw_only=True)
class FleetFile:
    """What a host process needs to be its share of the fleet. Holds seeds: mode 0600."""

    engine_urls: Sequence[str]
    engine_ca: str
    signing_keys: Mapping[str, str]
    nodes: Sequence[SimulatedIdentity]

    def save(self, path: Path) -> None:
        write_atomic(path, json.dumps(asdict(self)).encode(), durable=False)

    @classmethod
    def load(cls, path: Path) -> FleetFile:
        data = json.loads(path.read_bytes())
        return cls(
            engine_urls=data["engine_urls"],
            engine_ca=data["engine_ca"],
            signing_keys=data["signing_keys"],
            nodes=[SimulatedIdentity(**node) for node in data["nodes"]],
        )


def make(count: int, *, prefix: str = "sim", first: int = 1) -> list[SimulatedIdentity]:
    """Fresh keys for `count` nodes named <prefix>-00001 and so on."""
    return [
        SimulatedIdentity(node_id=f"{prefix}-{number:05d}", seed=nkeys.encode_seed("U", os.urandom(32)))
        for number in range(first, first + count)
    ]

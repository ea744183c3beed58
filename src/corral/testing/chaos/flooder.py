"""One node that floods, as a process of its own: `python -m corral.testing.chaos.flooder FLEET.json INDEX KIND RATE SECONDS`.

Publishes on its own subjects only, which is all its credential allows, as fast as asked; ends when the engine hangs up. Prints one
line of JSON: how many were sent, for how long, and whether it was cut off.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from corral.agent.link import wire
from corral.agent.link.address import parse_all
from corral.agent.link.connection import Connection
from corral.domain.errors import CorralError
from corral.protocol import subjects
from corral.runtime.clock import SystemClock
from corral.runtime.crypto import ed25519_sign
from corral.runtime.nkeys import decode_seed
from corral.testing.sim.identities import FleetFile

_TURN_SECONDS: Final = 0.02
KINDS: Final = ("report", "output", "beat", "facts", "metrics", "sync", "mixed")


def messages(node: str, kind: str) -> list[bytes]:
    """A round of messages of this kind, as PUB lines."""
    report = json.dumps(
        {"v": 1, "token": "0" * 32, "job": "J000000000000000000", "attempt": 1, "seq": 1, "state": "running"}
    ).encode()
    beat = json.dumps({"v": 1, "sent": 0.0, "worker": "up"}).encode()
    made = {
        "report": wire.pub(subjects.up(node, "report"), report),
        "output": wire.pub(
            subjects.output(node, "J000000000000000000", 1),
            b"x" * 512,
            "",
            {"Corral-Stream": "stdout", "Corral-Offset": "0"},
        ),
        "beat": wire.pub(subjects.up(node, "beat"), beat),
        "facts": wire.pub(subjects.up(node, "facts"), b'{"v":1,"facts":{"a":1}}'),
        "metrics": wire.pub(subjects.up(node, "metrics"), b'{"v":1,"at":0.0,"values":{"a":1.0}}'),
        "sync": wire.pub(subjects.up(node, "sync"), b'{"v":1,"nonce":"00","journal":"x","boot_id":"y"}'),
    }
    return list(made.values()) if kind == "mixed" else [made[kind]]


async def flood(file: FleetFile, index: int, kind: str, rate: float, seconds: float) -> dict[str, float | int | bool]:
    identity = file.nodes[index]
    seed = decode_seed(identity.seed)[1]

    def login(nonce: str) -> dict[str, object]:
        return {
            "verbose": False,
            "protocol": 1,
            "headers": True,
            "jwt": identity.jwt,
            "sig": wire.signature(ed25519_sign(seed, nonce.encode())),
        }

    connection = Connection(on_message=lambda message: None)
    await connection.open(parse_all(file.engine_urls)[0], None, login, lambda: b"")
    clock = SystemClock(0)
    began = clock.monotonic()
    round_of = messages(identity.node_id, kind)
    per_turn = max(1, round(rate * _TURN_SECONDS / len(round_of)))
    block = b"".join(round_of * per_turn)
    sent = 0
    while not connection.closed.done() and (passed := clock.monotonic() - began) < seconds:
        if sent <= rate * passed:
            connection.write(block)
            sent += per_turn * len(round_of)
            try:
                await connection.drain()
            except CorralError:
                break
        await clock.sleep(_TURN_SECONDS if sent > rate * passed else 0)
    cut = connection.closed.done()
    took = clock.monotonic() - began
    connection.abort(None)
    return {"sent": sent, "seconds": round(took, 2), "per_second": round(sent / max(took, 0.01)), "cut": cut}


def main(words: Sequence[str]) -> int:
    file, index, kind, rate, seconds = words
    print(json.dumps(asyncio.run(flood(FleetFile.load(Path(file)), int(index), kind, float(rate), float(seconds)))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

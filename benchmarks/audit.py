"""The chain over the audit record at size: seconds to seal and to prove so many entries, and the memory that takes.

python -m benchmarks.audit --entries 1000000
python -m benchmarks.audit --entries 100000 --url postgresql://…
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from corral.runtime.clock import SystemClock
from corral.server.application.audit.proof import AuditProof, Verdict
from corral.server.application.audit.sealing import Sealer, Seals
from corral.server.application.ports.access import AuditEntry, Caller
from corral.server.infrastructure.disk.audit_head import HeadFile
from corral.server.infrastructure.pki.signing import KeyRing
from corral.server.infrastructure.sql.audit import SqlAuditLog
from corral.server.infrastructure.sql.audit_chain import SqlAuditChain
from corral.server.infrastructure.sql.database import Database
from corral.server.infrastructure.sql.leases import SqlLeaseStore
from corral.server.infrastructure.sql.migrate import migrate

BATCH = 1000


def rss_mb() -> float:
    """The most this process ever held, in decimal MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


async def measure(url: str, entries: int, folder: Path) -> dict[str, float]:
    clock = SystemClock()
    db = Database(url)
    await migrate(db)
    token = await SqlLeaseStore(db).acquire("leader", "benchmark", seconds=86400, now=clock.now())
    chain, seals, witness = SqlAuditChain(db), Seals(KeyRing.create(clock)), HeadFile(folder / "audit-head.json")
    sealer = Sealer(chain=chain, seals=seals, witness=witness, clock=clock, token=lambda: token)
    log = SqlAuditLog(db)
    entry = AuditEntry(
        at=clock.now(),
        actor="ada",
        address="192.0.2.7",
        action="POST /jobs",
        target="/api/v1/jobs",
        outcome="ok",
        status=201,
        details={"spec": "x" * 200, "spec_hash": "sha256:" + "0" * 64},
    )
    began = clock.monotonic()
    for start in range(0, entries, BATCH):
        at = entry.at + timedelta(milliseconds=start)
        await log.add_many([replace(entry, at=at, request_id=f"r{start + n}") for n in range(BATCH)])
    written, before = clock.monotonic(), rss_mb()
    await sealer.step()
    sealed, middle = clock.monotonic(), rss_mb()
    async with aclosing(
        AuditProof(chain=chain, seals=seals, witness=witness, clock=clock).verify(Caller(name="ada"))
    ) as said:
        (verdict,) = [part async for part in said if isinstance(part, Verdict)]
    proved = clock.monotonic()
    await db.close()
    assert verdict.found is None and verdict.checked == entries, verdict
    return {
        "entries": entries,
        "write_s": round(written - began, 1),
        "seal_s": round(sealed - written, 1),
        "prove_s": round(proved - sealed, 1),
        "rss_written_mb": round(before, 1),
        "rss_sealed_mb": round(middle, 1),
        "rss_proved_mb": round(rss_mb(), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--url", help="default: an SQLite file in a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="corral-audit-") as folder:
        url = options.url or f"sqlite:///{folder}/corral.db"
        print(json.dumps(asyncio.run(measure(url, options.entries, Path(folder)))))


if __name__ == "__main__":
    main()

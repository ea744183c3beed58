"""The chain over the audit entries, on both databases: what is altered by somebody who has the database is found, and named."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from corral.domain.audit import START, Fault, seal
from corral.domain.errors import Conflict, CorralError
from corral.runtime.clock import SystemClock
from corral.sdk.audit import prove
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
from corral.server.infrastructure.sql.statements import Statement

ADA = Caller(name="ada")
NUMBER = 40
Change = Callable[["Bench"], Awaitable[None]]


@dataclass
class Bench:
    """One database with its chain, and the seat of whoever attacks it."""

    db: Database
    log: SqlAuditLog
    chain: SqlAuditChain
    sealer: Sealer
    proof: AuditProof
    witness: HeadFile
    seals: Seals
    token: int
    now: datetime

    async def run(self, text: str, **values: Any) -> int:
        async with self.db.write() as tx:
            return await tx.run(Statement(text), **values)

    async def unguard(self) -> None:
        """Whoever can change rows can drop triggers too."""
        if self.db.dialect == "sqlite":
            await self.run("drop trigger audit_no_change")
            await self.run("drop trigger audit_no_delete")
        else:
            await self.run("drop trigger audit_no_change on audit")

    async def fill(self, count: int = NUMBER, *, since: int = 0) -> None:
        for number in range(since, since + count):
            await self.log.add(self.entry(number))

    def entry(self, number: int) -> AuditEntry:
        return AuditEntry(
            at=self.now + timedelta(seconds=number),
            actor=f"user-{number % 3}",
            address="127.0.0.1",
            action="POST /jobs",
            target=f"/api/v1/jobs/{number}",
            outcome="ok",
            status=201,
            request_id=f"r{number}",
            duration_ms=number,
            details={"made": f"J{number}", "ä": "ö"},
            credential="T1",
        )

    async def verdict(self) -> Verdict:
        async with aclosing(self.proof.verify(ADA)) as parts:
            (found,) = [part async for part in parts if isinstance(part, Verdict)]
            return found

    async def found(self) -> tuple[Fault, int] | None:
        found = (await self.verdict()).found
        return None if found is None else (found.fault, found.sequence)


@pytest.fixture
async def bench(url: str, tmp_path: Path, now: datetime) -> AsyncIterator[Bench]:
    db = Database(url)
    await migrate(db)
    clock = SystemClock()
    token = await SqlLeaseStore(db).acquire("leader", "me", seconds=3600, now=clock.now())
    assert token is not None
    chain, seals = SqlAuditChain(db), Seals(KeyRing.create(clock))
    witness = HeadFile(tmp_path / "audit-head.json")
    sealer = Sealer(chain=chain, seals=seals, witness=witness, clock=clock, token=lambda: token)
    proof = AuditProof(chain=chain, seals=seals, witness=witness, clock=clock)
    made = Bench(db, SqlAuditLog(db), chain, sealer, proof, witness, seals, token, now)
    try:
        yield made
    finally:
        await db.close()


async def test_what_nobody_touched_holds_and_young_entries_wait(bench: Bench) -> None:
    assert (await bench.verdict()).found is None
    await bench.fill()
    assert await bench.sealer.step() == NUMBER
    assert await bench.sealer.step() == 0
    await bench.fill(3, since=NUMBER)
    verdict = await bench.verdict()
    assert (verdict.found, verdict.checked, verdict.unsealed, verdict.last) == (None, NUMBER, 3, NUMBER)
    assert await bench.sealer.step() == 3
    assert (await bench.verdict()).head == (await bench.chain.links(after=42, upto=43, limit=9))[0].hash


async def test_the_database_itself_refuses_to_change_or_remove_an_entry(bench: Bench) -> None:
    await bench.fill(3)
    for text in ("update audit set actor = 'eve' where id = 1", "delete from audit where id = 1"):
        with pytest.raises(CorralError):
            await bench.run(text)
    assert len(await bench.log.list()) == 3


FIELDS = {
    "at": "at + 1",
    "actor": "'eve'",
    "address": "'10.0.0.9'",
    "action": "'GET /jobs'",
    "target": "target || '0'",
    "outcome": "'denied'",
    "status": "403",
    "request_id": "''",
    "credential": "'T2'",
    "job": "'J'",
    "duration_ms": "duration_ms + 1",
    "details": "'{}'",
}


async def test_a_change_of_any_field_of_any_entry_is_found(bench: Bench) -> None:
    await bench.fill()
    await bench.sealer.step()
    await bench.unguard()
    dice = random.Random(7)
    for field, value in FIELDS.items():
        row = dice.randint(1, NUMBER)
        before = await _value(bench, field, row)
        await bench.run(f"update audit set {field} = {value} where id = :id", id=row)
        assert await bench.found() == (Fault.ALTERED, row), field
        await bench.run(f"update audit set {field} = :value where id = :id", id=row, value=before)
        assert await bench.found() is None


async def _value(bench: Bench, field: str, row: int) -> Any:
    async with bench.db.read() as tx:
        found = await tx.row(Statement(f"select {field} from audit where id = :id"), id=row)
    assert found is not None
    return found[0]


async def _delete(bench: Bench) -> None:
    await bench.run("delete from audit where id = 17")


async def _delete_with_seal(bench: Bench) -> None:
    await bench.run("delete from audit where id = 17")
    await bench.run("delete from audit_chain where sequence = 17")


async def _delete_first(bench: Bench) -> None:
    await bench.run("delete from audit where id = 1")
    await bench.run("delete from audit_chain where sequence = 1")


async def _unseal(bench: Bench) -> None:
    await bench.run("delete from audit_chain where sequence = 17")


async def _swap(bench: Bench) -> None:
    names = ", ".join(f"{name}" for name in FIELDS)
    await bench.run(f"insert into audit (id, {names}) select 9000, {names} from audit where id = 17")
    for target, source in ((17, 18), (18, 9000)):
        parts = ", ".join(f"{name} = (select {name} from audit where id = {source})" for name in FIELDS)
        await bench.run(f"update audit set {parts} where id = {target}")
    await bench.run("delete from audit where id = 9000")


async def _swap_seals(bench: Bench) -> None:
    for old, new in ((17, 9017), (18, 17), (9017, 18)):
        await bench.run(f"update audit_chain set sequence = {new} where sequence = {old}")


async def _cut_tail(bench: Bench) -> None:
    await bench.run("delete from audit where id > 30")
    await bench.run("delete from audit_chain where sequence > 30")


async def _cut_tail_and_heads(bench: Bench) -> None:
    await _cut_tail(bench)
    await bench.run("delete from audit_checkpoints")


async def _alter_and_reseal_one(bench: Bench) -> None:
    await bench.run("update audit set actor = 'eve' where id = 17")
    await _reseal(bench, 17, 17)


async def _alter_and_reseal_all(bench: Bench) -> None:
    await bench.run("update audit set actor = 'eve' where id = 17")
    await _reseal(bench, 17, NUMBER)


async def _add_at_the_end(bench: Bench) -> None:
    await bench.fill(1, since=NUMBER)
    await bench.run(
        f"insert into audit_chain select {NUMBER + 1}, {NUMBER + 1}, hash, hash from audit_chain where sequence = {NUMBER}"
    )
    await _reseal(bench, NUMBER + 1, NUMBER + 1)


async def _make_all_anew(bench: Bench) -> None:
    """As one who has everything but the key: other entries, whole chain, own head under the name of our key."""
    await bench.run("update audit set actor = 'eve'")
    await _reseal(bench, 1, NUMBER)
    last = (await bench.chain.links(after=NUMBER - 1, upto=NUMBER, limit=1))[0]
    await bench.run("update audit_checkpoints set hash = :hash", hash=last.hash)


async def _anchor_of_his_own(bench: Bench) -> None:
    link = (await bench.chain.links(after=9, upto=10, limit=1))[0]
    await bench.run(
        "insert into audit_checkpoints (kind, sequence, entry, hash, at, key_id, signature)"
        " values ('anchor', 10, 10, :hash, 0, 'k0', 'AAAA')",
        hash=link.hash,
    )
    await bench.run("delete from audit where id <= 10")
    await bench.run("delete from audit_chain where sequence <= 10")


async def _reseal(bench: Bench, first: int, last: int) -> None:
    links = {link.sequence: link for link in await bench.chain.links(after=0, upto=10**6, limit=1000)}
    prev = links[first - 1].hash if first > 1 else START
    for sequence in range(first, last + 1):
        row = links[sequence].row
        assert row is not None
        made = seal(prev, sequence, row)
        await bench.run(
            "update audit_chain set prev = :prev, hash = :hash where sequence = :at", prev=prev, hash=made, at=sequence
        )
        prev = made


@pytest.mark.parametrize(
    ("change", "fault", "sequence"),
    [
        (_delete, Fault.MISSING, 17),
        (_delete_with_seal, Fault.MISSING, 17),
        (_delete_first, Fault.MISSING, 1),
        (_unseal, Fault.INSERTED, 17),
        (_swap, Fault.REORDERED, 17),
        (_swap_seals, Fault.ALTERED, 17),
        (_cut_tail, Fault.TAIL_CUT, 31),
        (_cut_tail_and_heads, Fault.TAIL_CUT, 31),
        (_alter_and_reseal_one, Fault.FORGED, 17),
        (_alter_and_reseal_all, Fault.FORGED, NUMBER),
        (_add_at_the_end, Fault.FORGED, NUMBER + 1),
        (_make_all_anew, Fault.FORGED, NUMBER),
        (_anchor_of_his_own, Fault.FORGED, 10),
    ],
)
async def test_every_other_way_to_lie_is_found_where_it_is(
    bench: Bench, change: Change, fault: Fault, sequence: int
) -> None:
    await bench.fill()
    await bench.sealer.step()
    await bench.unguard()
    await change(bench)
    assert await bench.found() == (fault, sequence)


async def test_an_entry_put_among_sealed_ones_is_found(bench: Bench) -> None:
    await bench.fill(10)
    await bench.unguard()
    await bench.run("delete from audit where id = 5")  # a batch that failed leaves such a gap too
    await bench.sealer.step()
    assert (await bench.verdict()).found is None
    names = ", ".join(FIELDS)
    await bench.run(f"insert into audit (id, {names}) select 5, {names} from audit where id = 4")
    verdict = await bench.verdict()
    assert verdict.found is not None
    assert (verdict.found.fault, verdict.found.entry) == (Fault.INSERTED, 5)


@pytest.mark.parametrize("change", [_cut_tail, _cut_tail_and_heads, _make_all_anew, _alter_and_reseal_all])
async def test_sealing_does_not_go_on_with_a_chain_that_is_not_the_one_it_signed(bench: Bench, change: Change) -> None:
    await bench.fill()
    await bench.sealer.step()
    await bench.unguard()
    await change(bench)
    before = await bench.found()
    await bench.fill(5, since=NUMBER)
    with pytest.raises(Conflict, match="cannot go on sealing"):
        await bench.sealer.step()
    assert before is not None
    assert (await bench.found() or (None,))[0] is before[0]


async def test_a_history_of_a_thief_s_own_is_told_by_the_head_that_was_kept_outside(bench: Bench) -> None:
    """Whoever stole the key too can sign; what this server saw before, he cannot know."""
    await bench.fill(10)
    await bench.sealer.step()
    kept = bench.witness.load()
    assert kept is not None and kept.sequence == 10
    await bench.unguard()
    await bench.run("update audit set actor = 'eve' where id = 3")
    await _reseal(bench, 3, 10)
    links = await bench.chain.links(after=9, upto=10, limit=1)
    forged = bench.seals.sign(replace(kept, hash=links[0].hash))
    await bench.run(
        "update audit_checkpoints set hash = :hash, signature = :signature",
        hash=forged.hash,
        signature=forged.signature,
    )
    assert await bench.found() == (Fault.FORGED, 10)


async def test_an_older_copy_of_the_database_is_noticed_until_somebody_says_that_he_knows(
    bench: Bench, tmp_path: Path
) -> None:
    await bench.fill(10)
    await bench.sealer.step()
    await bench.run("update audit_checkpoints set kept = true")
    await bench.fill(5, since=10)
    await bench.sealer.step()
    await bench.unguard()
    await bench.run("delete from audit where id > 10")
    await bench.run("delete from audit_chain where sequence > 10")
    await bench.run("delete from audit_checkpoints where sequence > 10")
    await bench.fill(1, since=20)
    with pytest.raises(Conflict, match="signed up to 15 by this server, and ends at 10"):
        await bench.sealer.step()
    assert await bench.found() == (Fault.TAIL_CUT, 11)
    (tmp_path / "audit-head.json").unlink()
    assert await bench.sealer.step() == 1
    assert (await bench.verdict()).found is None
    kept = HeadFile(tmp_path / "audit-head.json").load()
    assert kept is not None and kept.sequence == 11


async def test_two_servers_never_fork_the_chain(bench: Bench) -> None:
    await bench.fill(200)
    other = Sealer(
        chain=SqlAuditChain(bench.db),
        seals=bench.seals,
        witness=bench.witness,
        clock=SystemClock(),
        token=lambda: bench.token,
    )
    done = await asyncio.gather(*(sealer.step() for sealer in (bench.sealer, other)), return_exceptions=True)
    assert sum(count for count in done if isinstance(count, int)) <= 200
    await bench.sealer.step()
    assert (await bench.verdict()).checked == 200
    assert (await bench.verdict()).found is None


async def test_a_leader_that_was_replaced_seals_nothing(bench: Bench) -> None:
    await bench.fill(3)
    later = SystemClock().now() + timedelta(hours=2)
    assert await SqlLeaseStore(bench.db).acquire("leader", "another", seconds=60, now=later) == bench.token + 1
    with pytest.raises(Conflict, match="another server leads"):
        await bench.sealer.step()
    with pytest.raises(Conflict, match="another server leads"):
        await bench.sealer.retire(later)
    assert (await bench.verdict()).unsealed == 3


async def test_retention_takes_the_beginning_away_and_leaves_something_to_go_on_from(bench: Bench) -> None:
    await bench.fill()
    await bench.sealer.step()
    assert await bench.sealer.retire(bench.now + timedelta(seconds=25)) == 25
    verdict = await bench.verdict()
    assert (verdict.found, verdict.first, verdict.checked) == (None, 26, NUMBER - 25)
    assert await bench.sealer.retire(bench.now + timedelta(days=999)) == 14, "the last one stays"
    await bench.fill(2, since=NUMBER)
    assert await bench.sealer.step() == 2
    verdict = await bench.verdict()
    assert (verdict.found, verdict.first, verdict.last) == (None, 40, 42)
    await bench.unguard()
    await bench.run("delete from audit where id = 40")
    await bench.run("delete from audit_chain where sequence = 40")
    assert await bench.found() == (Fault.MISSING, 40)


async def test_entries_that_are_written_at_once_are_sealed_in_the_order_of_their_ids(bench: Bench) -> None:
    batches = [[bench.entry(number * 10 + n) for n in range(10)] for number in range(20)]
    await asyncio.gather(*(bench.log.add_many(batch) for batch in batches), bench.sealer.step(), bench.sealer.step())
    await bench.sealer.step()
    assert (await bench.verdict()).checked == 200
    assert (await bench.verdict()).found is None


async def test_an_export_goes_on_to_the_next_signed_head_and_proves_itself(bench: Bench) -> None:
    await bench.fill(10)
    await bench.sealer.step()
    await bench.run("update audit_checkpoints set kept = true")
    await bench.fill(30, since=10)
    await bench.sealer.step()
    whole = await exported(bench)
    assert [line["type"] for line in whole] == ["keys", *["entry"] * 10, "checkpoint", *["entry"] * 30, "checkpoint"]
    part = await exported(bench, since=bench.now + timedelta(seconds=3), until=bench.now + timedelta(seconds=7))
    assert [line["sequence"] for line in part if line["type"] == "entry"] == list(range(4, 11))
    late = await exported(bench, since=bench.now + timedelta(seconds=20))
    assert [line["sequence"] for line in late if line["type"] == "entry"] == list(range(21, 41))
    for lines, checked in ((whole, 40), (part, 7), (late, 20)):
        verdict = prove([json.dumps(line).encode() for line in lines])
        assert (verdict.ok, verdict.checked) == (True, checked)
    await bench.sealer.retire(bench.now + timedelta(seconds=25))
    verdict = prove([json.dumps(line).encode() for line in await exported(bench)])
    assert (verdict.ok, verdict.first, verdict.checked) == (True, 26, 15)
    assert (await exported(bench, since=bench.now + timedelta(days=9)))[1:] == []


async def exported(bench: Bench, **window: datetime) -> list[Any]:
    async with aclosing(bench.proof.export(ADA, **window)) as lines:
        return [line async for line in lines]

import asyncio
import json

import pytest

from corral.domain.errors import OutOfSpace
from corral.domain.job import CommandSpec
from corral.domain.task import Reason, TaskState
from corral.protocol import codec
from corral.protocol.digest import EMPTY, digest
from corral.protocol.messages import SyncAnswer, SyncRequest, TaskMessage
from corral.protocol.signing import open_sealed
from corral.runtime.crypto import ed25519_verify
from corral.runtime.lifecycle import TaskSet
from corral.server.application.jobs.agreement import DigestWatch
from corral.server.infrastructure.nats import sync
from corral.server.infrastructure.nats.sync import SyncResponder

UNKNOWN = "J" + "0" * 18


@pytest.fixture
def responder(bench):
    return SyncResponder(
        streams=bench.bus.streams,
        wire=bench.bus.wire,
        store=bench.store,
        queries=bench.queries,
        down=bench.down,
        aftermath=bench.aftermath,
        signer=bench.key,
        keys=lambda: {"T1": "a2V5"},
        clock=bench.clock,
        counters=bench.counters,
    )


@pytest.fixture
def ask(bench, responder):
    """A node syncs; returns the answers it heard, checked and opened."""

    async def asked(node="n1", have=(), **more):
        request = SyncRequest(
            **{"nonce": "ab" * 16, "journal": "j1", "boot_id": "b1", "open": [list(item) for item in have], **more}
        )
        bench.bus.arrive(f"corral.up.{node}.sync", codec.encode(request))
        heard_before = len(bench.heard)
        batches = bench.bus.streams.batches("sync", "sync")
        while messages := await batches.next(limit=100, wait_seconds=0):
            await responder.take(messages)
        answers = []
        for subject, wire in bench.heard[heard_before:]:
            if subject == f"corral.down.{node}.sync" and wire:
                body = open_sealed(
                    wire, "sync", {"T1": bench.key.public}, lambda b: json.loads(b)["kid"], ed25519_verify
                )
                answers.append(codec.decode(SyncAnswer, body))
        return answers

    return asked


def tasks_of(answer):
    return [json.loads(wire.partition("\n")[2]) for wire in answer.tasks]


async def test_a_node_gets_the_queued_tasks_it_lacks_signed_with_its_nonce_and_our_time(bench, ask):
    job = await bench.job()
    [answer] = await ask(nonce="cd" * 16)
    [wire] = answer.tasks
    body = open_sealed(wire.encode(), "task", {"T1": bench.key.public}, lambda b: json.loads(b)["kid"], ed25519_verify)
    assert codec.decode(TaskMessage, body).job == job.id
    assert (answer.nonce, answer.node, answer.issued, answer.more) == ("cd" * 16, "n1", bench.clock.wall(), False)
    assert answer.keys == {"T1": "a2V5"}


async def test_a_node_does_not_get_what_it_has_nor_what_is_of_others(bench, ask):
    job = await bench.job(["n1", "n2"])
    [answer] = await ask(have=[(job.id, 1)])
    assert (answer.tasks, answer.forget) == ([], [])


async def test_cancels_come_first_and_come_also_for_what_it_has(bench, ask):
    first, second = await bench.job(), await bench.job()
    bench.report(first, "n1", "running")
    await bench.ingest_all()
    await bench.store.cancel(first.id, nodes=None, now=bench.clock.now())
    [answer] = await ask(have=[(first.id, 1)])
    assert [json.loads(w.partition("\n")[2])["job"] for w in answer.cancels] == [first.id]
    assert [t["job"] for t in tasks_of(answer)] == [second.id]


async def test_what_was_withdrawn_while_the_node_was_away_is_cancelled_on_it(bench, ask):
    job = await bench.job()
    await bench.store.cancel(job.id, nodes=None, offline=["n1"], now=bench.clock.now())
    assert (await bench.queries.task(job.id, "n1")).state is TaskState.CANCELLED
    [answer] = await ask(have=[(job.id, 1)])
    assert len(answer.cancels) == 1 and answer.forget == []


async def test_what_is_settled_or_unknown_may_be_forgotten_but_not_what_may_still_bring_a_late_result(bench, ask):
    settled, lost = await bench.job(), await bench.job()
    bench.report(settled, "n1", "succeeded")
    bench.report(lost, "n1", "running")
    await bench.ingest_all()
    await bench.clock.advance(4000)
    open_items = [(settled.id, 1), (lost.id, 1), (UNKNOWN, 1)]
    [answer] = await ask(have=open_items)
    assert sorted(map(tuple, answer.forget)) == sorted([(settled.id, 1), (UNKNOWN, 1)])


async def test_a_full_answer_says_more_and_asking_again_brings_the_rest_once(bench, ask):
    jobs = [await bench.job(spec=CommandSpec(argv=("x" * 100_000,))) for _ in range(12)]
    have, rounds = set(), 0
    while True:
        rounds += 1
        [answer] = await ask(have=sorted(have))
        assert len(codec.encode(answer)) < sync.ANSWER_BYTES_MAX + 200_000
        got = {(t["job"], t["attempt"]) for t in tasks_of(answer)}
        assert got and not got & have
        have |= got
        if not answer.more:
            break
    assert have == {(job.id, 1) for job in jobs} and rounds > 1


async def test_the_worst_spec_still_fits_into_one_message(bench, ask):
    await bench.job(spec=CommandSpec(script='"\\' * 60_000))
    [answer] = await ask()
    assert len(answer.tasks) == 1
    assert len(codec.encode(answer)) < 1_000_000


async def test_a_node_with_several_pages_is_told_what_it_lacks_after_the_last(bench, ask):
    first, second, third = await bench.job(), await bench.job(), await bench.job()
    [answer] = await ask(have=[(first.id, 1), (UNKNOWN, 1)], more=True)
    assert (answer.tasks, answer.forget) == ([], [[UNKNOWN, 1]])
    [answer] = await ask(have=[(second.id, 1)])
    assert [t["job"] for t in tasks_of(answer)] == [third.id]


async def test_an_accepted_task_a_node_no_longer_knows_is_lost_after_a_second_sync_and_never_sent_again(bench, ask):
    job = await bench.job()
    bench.report(job, "n1", "running")
    await bench.ingest_all()
    [answer] = await ask()
    assert answer.tasks == []
    assert (await bench.queries.task(job.id, "n1")).state is TaskState.RUNNING
    assert ("corral.down.n1.sync", b"") in bench.heard, "it is asked to sync again"
    await bench.clock.advance(2)
    [answer] = await ask(journal="j2")
    task = await bench.queries.task(job.id, "n1")
    assert (task.state, task.reason) == (TaskState.LOST, Reason.JOURNAL_RESET)
    assert answer.tasks == []
    assert bench.counters["journal_lost_total"] == 1


async def test_a_report_that_crossed_the_sync_loses_nothing(bench, ask):
    job = await bench.job()
    bench.report(job, "n1", "delivered")
    await bench.ingest_all()
    await ask()
    await bench.clock.advance(2)
    await ask(have=[(job.id, 1)])
    await bench.clock.advance(2)
    await ask()
    assert (await bench.queries.task(job.id, "n1")).state is TaskState.DELIVERED


async def test_a_late_result_of_a_task_lost_with_its_journal_is_kept(bench, ask):
    job = await bench.job()
    bench.report(job, "n1", "running")
    await bench.ingest_all()
    await ask()
    await bench.clock.advance(2)
    await ask()
    bench.report(job, "n1", "succeeded", seq=9, exit_code=0)
    await bench.ingest_all()
    task = await bench.queries.task(job.id, "n1")
    assert (task.state, task.late["state"]) == (TaskState.LOST, "succeeded")


async def test_the_digest_of_a_wiped_journal_leads_to_the_sync_that_settles_it(bench, ask):
    job = await bench.job()
    bench.report(job, "n1", "running")
    await bench.ingest_all()
    watch = DigestWatch(
        queries=bench.queries, down=bench.down, digest=digest, clock=bench.clock, counters=bench.counters
    )
    for _ in range(20):
        await watch.observe({"n1": EMPTY})
        if bench.heard and bench.heard[-1] == ("corral.down.n1.sync", b""):
            bench.heard.clear()
            await ask()
        await bench.clock.advance(10)
    assert (await bench.queries.task(job.id, "n1")).state is TaskState.LOST


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"{}",
        b'{"nonce":"a","journal":"j","boot_id":"b","open":[[1,2]]}',
        b'{"nonce":"a","journal":"j","boot_id":"b","open":[["J000000000000000000",true]]}',
        b'{"nonce":"a","journal":"j","boot_id":"b","versions":[]}',
        b'{"nonce":"a","journal":"j","boot_id":"b","versions":[7]}',
        b'{"nonce":"' + b"a" * 1000 + b'","journal":"j","boot_id":"b"}',
    ],
)
async def test_what_is_no_sync_is_counted_and_acknowledged(bench, responder, data):
    bench.bus.arrive("corral.up.n1.sync", data)
    bench.bus.arrive("corral.up.n2.sync", codec.encode(SyncRequest(nonce="ab", journal="j", boot_id="b")))
    await responder.take(await bench.bus.streams.batches("sync", "sync").next(limit=10, wait_seconds=0))
    assert bench.counters["sync_poison_total"] == 1
    assert [subject for subject, _ in bench.heard] == ["corral.down.n2.sync"]
    assert (await bench.bus.streams.usage())["sync"]["messages"] == 0


async def test_one_node_that_cannot_be_answered_does_not_keep_the_others_waiting(bench, responder):
    await bench.job(["n1"], spec=CommandSpec(script="#" * 300_000))
    await bench.job(["n2"])

    async def full(*_):
        raise OutOfSpace("cannot store the object: full")

    bench.bus.objects.put = full
    for node in ("n1", "n2"):
        bench.bus.arrive(f"corral.up.{node}.sync", codec.encode(SyncRequest(nonce="ab", journal="j", boot_id="b")))
    await responder.take(await bench.bus.streams.batches("sync", "sync").next(limit=10, wait_seconds=0))
    assert [subject for subject, _ in bench.heard] == ["corral.down.n2.sync"]
    assert bench.counters["sync_failed_total"] == 1


async def test_the_running_responder_answers_and_waits_for_an_engine_that_is_away(bench, responder, monkeypatch):
    monkeypatch.setattr(sync, "WAIT_SECONDS", 0.01)
    await bench.job()
    bench.bus.arrive("corral.up.n1.sync", codec.encode(SyncRequest(nonce="ab", journal="j", boot_id="b")))
    bench.bus.away = True
    tasks, ready = TaskSet("test"), asyncio.Event()
    tasks.start(responder.run(ready.set), name="sync")
    await ready.wait()
    await bench.clock.advance(1)
    bench.bus.away = False
    async with asyncio.timeout(5):
        while not bench.heard:
            await bench.clock.advance(5)
            await asyncio.sleep(0.005)
    await tasks.close()
    assert bench.counters["sync_tasks_total"] == 1


async def test_a_mistake_in_answering_one_node_ends_neither_the_server_nor_the_answers_to_others(
    bench, responder, monkeypatch
):
    bench.bus.arrive("corral.up.n1.sync", codec.encode(SyncRequest(nonce="aa", journal="j", boot_id="b")))
    monkeypatch.setattr(responder, "_answer", _fails_by_mistake)
    batches = bench.bus.streams.batches("sync", "sync")
    await responder.take(await batches.next(limit=10, wait_seconds=0))
    assert bench.counters["sync_failed_total"] == 1
    assert not await batches.next(limit=10, wait_seconds=0), "not acknowledged: it would come again for ever"


async def _fails_by_mistake(node, request, accepted):
    raise UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed")


async def test_a_node_that_sends_nonsense_all_day_writes_one_line_a_minute_and_is_counted(bench, responder, caplog):
    counted = []
    responder._rates = counted.append
    batches = bench.bus.streams.batches("sync", "sync")
    for _ in range(5):
        bench.bus.arrive("corral.up.n1.sync", b"nonsense")
        with caplog.at_level("INFO"):
            await responder.take(await batches.next(limit=10, wait_seconds=0))
    assert len([record for record in caplog.records if "Cannot read a sync" in record.message]) == 1
    assert counted == [{"n1": 1}] * 5
    assert bench.counters["sync_poison_total"] == 5

"""Sync: nonce, tasks and cancels in answers, forgetting, keys, pokes, pages; and what a forged answer cannot do."""

import asyncio
import base64

from corral.protocol.codec import encode
from corral.protocol.digest import digest
from corral.protocol.messages import SyncAnswer
from corral.protocol.signing import seal


async def test_an_answer_brings_tasks_and_cancels_come_first(make_rig, tmp_path):
    rig = make_rig()
    rig.plane.pending = [
        rig.plane.task("J1", argv=["true"]),
        rig.plane.task("J2", argv=["touch", str(tmp_path / "ran")]),
    ]
    rig.plane.cancels = [rig.plane.cancel("J2")]
    await rig.start()
    assert (await rig.plane.end("J1"))["state"] == "succeeded"
    assert (await rig.plane.end("J2"))["state"] == "cancelled"
    assert not (tmp_path / "ran").exists()


async def test_more_is_asked_for_until_there_is_no_more(make_rig):
    rig = make_rig()
    answered = []

    def answer(request):
        answered.append(request)
        number = len(answered)
        rig.plane.pending = [rig.plane.task(f"J{number}", argv=["true"])]
        type(rig.plane).answer_sync(rig.plane, request, more=number < 3)

    rig.plane.answer_sync = answer
    await rig.start()
    for number in (1, 2, 3):
        await rig.plane.end(f"J{number}")
    assert len(answered) == 3


async def test_a_request_lists_what_is_open_and_the_digest_agrees(rig):
    rig.plane.receipts = False
    rig.run("true", job="J1")
    rig.run("sleep", "5", job="J2")
    await rig.plane.end("J1")
    await rig.plane.until(lambda: any(r["job"] == "J2" for r in rig.plane.reports))
    before = len(rig.plane.syncs)
    rig.plane.push("sync", b"")
    await rig.plane.until(lambda: len(rig.plane.syncs) > before)
    assert sorted(rig.plane.syncs[-1]["open"]) == [["J1", 1], ["J2", 1]]
    assert rig.worker.status()["digest"] == digest([("J1", 1), ("J2", 1)])
    rig.plane.push("cancel", rig.plane.cancel("J2"))
    await rig.plane.end("J2")


async def test_pokes_cause_at_most_one_sync_a_second(rig):
    before = len(rig.plane.syncs)
    for _ in range(200):
        rig.plane.push("sync", b"")
    await asyncio.sleep(0.6)
    assert len(rig.plane.syncs) - before <= 1


async def test_an_unanswered_request_is_repeated_with_a_new_nonce(make_rig, monkeypatch):
    monkeypatch.setattr("corral.agent.worker.sync._ANSWER_SECONDS", 0.05)
    rig = make_rig()
    rig.plane.answers = False
    await rig.start()
    await rig.plane.until(lambda: len(rig.plane.syncs) >= 2)
    rig.plane.answers = True
    await rig.synced()
    nonces = [s["nonce"] for s in rig.plane.syncs]
    assert len(set(nonces)) == len(nonces)


async def test_forged_and_stale_answers_teach_nothing(rig, tmp_path):
    evil = type(rig.plane.signer)(seed=b"E" * 32)
    now = rig.plane.now()
    key = base64.b64encode(evil.public).decode()
    task = rig.plane.task(argv=["touch", str(tmp_path / "ran")]).decode()
    old_nonce = rig.plane.syncs[-1]["nonce"]
    for signer, nonce in (
        (evil, old_nonce),
        (rig.plane.signer, old_nonce),
        (rig.plane.signer, ""),
        (rig.plane.signer, "é"),
    ):
        body = SyncAnswer(
            kid="k1",
            node="n1",
            nonce=nonce,
            issued=now + 10**9,
            not_after=now + 2 * 10**9,
            tasks=[task],
            keys={"evil": key},
            forget=[["J9", 1]],
        )
        rig.plane.push("sync", seal(signer, "sync", encode(body)))
    await asyncio.sleep(0.2)
    assert not (tmp_path / "ran").exists()
    assert "evil" not in rig.worker._trust.keys
    assert abs(rig.worker.status()["skew_seconds"]) < 5
    assert rig.worker.status()["refused"]["sync"] == 4


async def test_a_key_announced_under_an_old_one_is_pinned_for_good(make_rig):
    rig = make_rig()
    told = []
    new = type(rig.plane.signer)(key_id="k2", seed=b"N" * 32)
    rig.plane.extra = {
        "keys": {"k2": base64.b64encode(new.public).decode(), "bad": "x", "k1": base64.b64encode(b"z" * 32).decode()}
    }
    await (await rig.start(on_keys=told.append)).synced()
    assert told == [{"k2": new.public}]
    rig.plane.extra = {}
    await rig.restart()
    await rig.synced()
    rig.plane.push("task", rig.plane.task(argv=["true"], signer=new))
    assert (await rig.plane.end())["state"] == "succeeded"
    rig.run("true", job="J2")
    assert (await rig.plane.end("J2"))["state"] == "succeeded"


async def test_what_the_server_settled_is_forgotten_but_a_late_outcome_still_arrives(rig):
    rig.plane.receipts = False
    rig.run("true", job="J1")
    rig.run("sleep", "1.2", job="J2")
    await rig.plane.end("J1")
    rig.plane.forget = [["J1", 1], ["J2", 1], ["J3", 1], ["x"], 5, ["J4", []]]
    count = len(rig.plane.ends("J1"))
    rig.plane.push("sync", b"")
    await rig.plane.until(lambda: rig.worker.status()["digest"] == "0" * 16)
    await rig.plane.until(lambda: rig.worker.status()["spool"] == 0)
    assert len(rig.plane.ends("J1")) == count + 1
    assert (await rig.plane.end("J2"))["state"] == "succeeded"


async def test_after_a_reconnect_everything_unreceipted_goes_again_at_once(rig):
    rig.plane.receipts = False
    for number in range(20):
        rig.run("true", job=f"J{number}")
    for number in range(20):
        await rig.plane.end(f"J{number}")
    rig.link.drop()
    rig.plane.reports.clear()
    rig.plane.receipts = True
    await rig.link.connect()
    await rig.plane.until(lambda: rig.worker.status()["spool"] == 0)
    assert {r["job"] for r in rig.plane.reports} == {f"J{n}" for n in range(20)}


async def test_work_goes_on_without_a_link_and_is_reported_with_true_times(rig):
    rig.run("sh", "-c", "sleep 0.2; echo late")
    rig.link.drop()
    await rig.plane.until(lambda: rig.worker.status()["spool"] == 1)
    assert rig.plane.reports == []
    await asyncio.sleep(0.3)
    reconnected_at = rig.plane.now()
    await rig.link.connect()
    end = await rig.plane.end()
    assert end["finished_at"] < reconnected_at - 0.2
    await rig.plane.until(lambda: rig.plane.stream()[0] == b"late\n")


async def test_a_full_stream_backs_off_and_keeps_the_report(rig, monkeypatch):
    from corral.runtime.backoff import Backoff

    monkeypatch.setattr("corral.agent.worker.outbox.STREAM_FULL", Backoff(delays_seconds=(0.1,)))
    rig.plane.refuse_reports = True
    rig.run("true")
    await rig.plane.until(lambda: rig.worker.status()["spool"] == 1)
    await asyncio.sleep(0.25)
    rig.plane.refuse_reports = False
    assert (await rig.plane.end())["state"] == "succeeded"
    await rig.plane.until(lambda: rig.worker.status()["spool"] == 0)


async def test_with_a_full_spool_new_tasks_wait(make_rig):
    rig = make_rig(slots=1, spool_max_reports=3)
    rig.plane.receipts = False
    await (await rig.start()).synced()
    for number in range(5):
        rig.run("true", job=f"J{number}")
    await rig.plane.until(lambda: rig.worker.status()["spool"] == 3)
    await asyncio.sleep(0.2)
    assert (rig.worker.status()["queued"], rig.worker.status()["running"]) == (2, [])
    rig.plane.receipts = True
    rig.plane.receipt(*[r["token"] for r in rig.plane.reports])
    for number in range(5):
        await rig.plane.end(f"J{number}")


async def test_a_node_that_is_not_heard_of_any_more_says_its_subscriptions_anew(rig, monkeypatch):
    """The engine takes our questions, and what it sends us is lost: it has forgotten that we listen."""
    monkeypatch.setattr("corral.agent.worker.sync._ANSWER_SECONDS", 0.1)
    rig.link.deaf = True
    rig.plane.pending = [rig.plane.task("J1", argv=["true"])]
    before = rig.worker.status()["syncs"]
    await rig.link.connect()
    assert (await rig.plane.end("J1"))["state"] == "succeeded"
    assert rig.link.resubscribed == 1
    assert rig.worker.status()["syncs"] > before

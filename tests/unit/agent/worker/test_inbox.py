"""What is believed, what is answered from the journal, and what never runs: signatures, replays, attempts, cancels, policy."""

import asyncio
import json
import os

import pytest

from corral.protocol.codec import encode
from corral.protocol.messages import PolicyMessage, StateMessage
from corral.protocol.signing import seal

PROOF = "proof-of-execution"


def marker(tmp_path):
    """A command that leaves a byte each time it really runs, and the count."""
    path = tmp_path / PROOF
    return ("sh", "-c", f"echo x >>{path}"), lambda: len(path.read_bytes()) // 2 if path.exists() else 0


def other_signer(rig, key_id="k1"):
    return type(rig.plane.signer)(key_id=key_id, seed=b"E" * 32)


def policy(rig, revision, rules, signer=None, not_after=None):
    now = rig.plane.now()
    body = PolicyMessage(
        kid=(signer or rig.plane.signer).key_id,
        node="n1",
        revision=revision,
        issued=now,
        not_after=now + 60 if not_after is None else not_after,
        rules=rules,
    )
    return seal(signer or rig.plane.signer, "policy", encode(body))


DENY_TOUCH = [{"id": "no-touch", "effect": "deny", "match": {"program": ["touch"]}}]


async def test_forged_altered_and_foreign_tasks_never_run(rig, tmp_path):
    command, runs = marker(tmp_path)
    good = rig.plane.task(argv=list(command))
    signature, _, body = good.partition(b"\n")
    forged = [
        rig.plane.task(argv=list(command), signer=other_signer(rig)),
        rig.plane.task(argv=list(command), signer=other_signer(rig, "k2")),
        rig.plane.task(argv=list(command), node="n2"),
        signature + b"\n" + body.replace(b"J1", b"J2"),
        body,
        b"",
        b"\n",
        signature + b"\n",
        b"A" * 88 + b"\n" + body,
        signature + b"\n" + body + b" ",
        seal(rig.plane.signer, "cancel", body),
        seal(rig.plane.signer, "task", b"[]"),
        seal(rig.plane.signer, "task", b"not json"),
        os.urandom(300),
    ]
    for wire in forged * 20:
        rig.plane.push("task", wire)
    await asyncio.sleep(0.3)
    assert runs() == 0
    assert rig.plane.reports == []
    assert rig.worker.status()["refused"]["task"] == len(forged) * 20
    rig.plane.push("task", good)
    await rig.plane.end()
    assert runs() == 1


async def test_job_ids_that_are_no_folder_name_are_refused(rig):
    for job in ("../x", "a/b", "", ".", "x" * 65, "a.b", "a\0b", 7, None):
        rig.plane.push("task", rig.plane.task(job, argv=["true"]))
    for attempt in (0, -1, "1", 1 << 40, True, None):
        rig.plane.push("task", rig.plane.task("J1", attempt, argv=["true"]))
    await asyncio.sleep(0.1)
    assert rig.plane.reports == []
    assert rig.worker.status()["refused"]["task"] == 15


async def test_a_task_delivered_a_hundred_times_runs_once(rig, tmp_path):
    command, runs = marker(tmp_path)
    wire = rig.plane.task(argv=list(command))
    for _ in range(50):
        rig.plane.push("task", wire)
    await rig.plane.end()
    for _ in range(50):
        rig.plane.push("task", wire)
        rig.plane.push("task", rig.plane.task(argv=list(command)))
    await asyncio.sleep(0.2)
    assert runs() == 1
    assert {r["token"] for r in rig.plane.ends()} == {rig.plane.ends()[0]["token"]}


async def test_a_replay_after_a_restart_is_answered_with_the_same_report(rig, tmp_path):
    command, runs = marker(tmp_path)
    wire = rig.plane.task(argv=list(command))
    rig.plane.push("task", wire)
    first = await rig.plane.end()
    await rig.plane.until(lambda: rig.worker.status()["spool"] == 0)
    await rig.restart()
    rig.plane.reports.clear()
    for _ in range(100):
        rig.plane.push("task", wire)
    assert await rig.plane.end() == first
    assert runs() == 1


async def test_an_expired_task_is_refused_by_the_servers_clock_not_ours(make_rig, tmp_path):
    command, runs = marker(tmp_path)
    for offset in (-86400.0, 86400.0, 10 * 365 * 86400.0):
        rig = make_rig(f"state{offset}")
        rig.plane.offset = offset
        await (await rig.start()).synced()
        rig.run(*command, job="J1")
        assert (await rig.plane.end("J1"))["state"] == "succeeded"
        assert abs(rig.plane.ends("J1")[0]["finished_at"] - rig.plane.now()) < 10
        rig.run(*command, job="J2", not_after=rig.plane.now() - 5)
        end = await rig.plane.end("J2")
        assert (end["state"], end["reason"]) == ("expired", "not_delivered")
        await rig.stop()
    assert runs() == 3


async def test_before_the_first_sync_an_expired_looking_task_waits_for_the_time(make_rig):
    rig = make_rig()
    rig.plane.offset = -86400.0
    rig.plane.answers = False
    await rig.start()
    rig.run("true")
    await rig.plane.until(lambda: rig.plane.syncs)
    assert rig.plane.reports == []
    rig.plane.answers = True
    rig.plane.answer_sync(rig.plane.syncs[-1])
    await rig.synced()
    rig.run("true")
    assert (await rig.plane.end())["state"] == "succeeded"


async def test_after_the_servers_clock_was_put_back_no_task_is_given_up_by_the_old_time(rig, tmp_path):
    command, runs = marker(tmp_path)
    asked = len(rig.plane.syncs)
    rig.worker._time._learnt_at -= 60  # the last answer is a minute old, and then somebody corrects the server's clock
    rig.plane.offset -= 7200
    wire = rig.plane.task("J1", argv=list(command), not_after=rig.plane.now() + 600)
    rig.plane.pending = [wire]
    rig.plane.push("task", wire)
    assert (await rig.plane.end("J1"))["state"] == "succeeded"
    assert len(rig.plane.syncs) > asked
    assert runs() == 1


async def test_a_cancel_before_its_task_keeps_it_from_ever_running(rig, tmp_path):
    command, runs = marker(tmp_path)
    rig.plane.push("cancel", rig.plane.cancel("J1", 2))
    end = await rig.plane.end("J1", 2)
    assert (end["state"], end["reason"]) == ("cancelled", "withdrawn")
    rig.run(*command, job="J1", attempt=1)
    rig.run(*command, job="J1", attempt=2)
    assert (await rig.plane.end("J1", 1))["state"] == "cancelled"
    await rig.restart()
    rig.run(*command, job="J1", attempt=2)
    rig.run(*command, job="J1", attempt=3)
    assert (await rig.plane.end("J1", 3))["state"] == "succeeded"
    assert runs() == 1


async def test_a_forged_cancel_stops_nothing(rig):
    rig.run("sleep", "0.4")
    rig.plane.push("cancel", rig.plane.cancel(signer=other_signer(rig)))
    rig.plane.push("cancel", rig.plane.cancel(node="n2"))
    assert (await rig.plane.end())["state"] == "succeeded"
    assert rig.worker.status()["refused"]["cancel"] == 2


async def test_a_new_attempt_stops_the_old_one_and_starts_after_it_ended(rig):
    rig.run("sleep", "60", attempt=1)
    await rig.plane.until(lambda: rig.plane.reports)
    rig.run("true", attempt=2)
    first, second = await rig.plane.end("J1", 1), await rig.plane.end("J1", 2)
    assert (first["state"], second["state"]) == ("cancelled", "succeeded")
    assert second["started_at"] >= first["finished_at"]


async def test_an_old_attempt_that_comes_after_a_new_one_is_withdrawn(rig, tmp_path):
    command, runs = marker(tmp_path)
    rig.run("true", attempt=2)
    await rig.plane.end("J1", 2)
    rig.run(*command, attempt=1)
    assert (await rig.plane.end("J1", 1))["state"] == "cancelled"
    assert runs() == 0


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "Tele Port", "argv": ["true"]},
        {"argv": ["true"], "must": ["spec.sandbox"]},
        {"argv": ["true"], "must": ["approval"]},
        {"argv": ["true"], "must": ["other.user"]},
        {"argv": [], "shell": None},
        {"argv": ["true"], "shell": "true"},
        {"argv": ["a\0b"]},
        {"argv": "true"},
        {"argv": ["true"], "env": {"A=B": "x"}},
        {"argv": ["true"], "env": ["A"]},
        {"argv": ["true"], "cwd": "relative"},
        {"argv": ["true"], "stdin": "not base64!"},
        {"script": "1", "interpreter": "cobol"},
        {"shell": "echo \0"},
        {"argv": ["true"], "timeout": -1},
        {"argv": ["true"], "timeout": "soon"},
    ],
)
async def test_what_is_not_understood_is_rejected_schema(rig, change):
    rig.plane.push("task", rig.plane.task(**change))
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("rejected", "schema"), end
    assert end["detail"]


async def test_text_that_is_no_unicode_is_rejected_and_answered(rig):
    body = rig.plane.task(argv=["LONE", "x"], cwd="/LONE").partition(b"\n")[2].replace(b"LONE", b"\\ud800")
    rig.plane.push("task", seal(rig.plane.signer, "task", body))
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("rejected", "schema")


async def test_a_known_must_is_understood(rig):
    rig.run("true", must=["spec.cwd", "not_after"], cwd="/")
    assert (await rig.plane.end())["state"] == "succeeded"


async def test_the_servers_policy_is_kept_over_a_restart_and_never_goes_back(rig, tmp_path):
    target = tmp_path / "touched"
    rig.plane.push("policy", policy(rig, 3, DENY_TOUCH))
    rig.plane.push("policy", policy(rig, 2, []))
    rig.plane.push("policy", policy(rig, 9, [], signer=other_signer(rig)))
    rig.plane.push("policy", policy(rig, 9, [], not_after=rig.plane.now() - 1))
    rig.plane.push("policy", policy(rig, 9, [{"id": "half", "effect": "deny", "match": {"program": "touch"}}]))
    await rig.restart()
    assert rig.worker.status()["policy_revision"] == 3
    rig.run("touch", str(target))
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("rejected", "policy")
    assert "no-touch" in end["detail"]
    assert not target.exists()


async def test_the_nodes_own_policy_can_only_narrow(rig, tmp_path):
    rig.state.root.mkdir(exist_ok=True)
    rig.state.policy.write_text(
        json.dumps({"rules": [{"id": "all", "effect": "allow", "match": {"program": ["*"]}}, *DENY_TOUCH]})
    )
    rig.plane.push("policy", policy(rig, 1, DENY_TOUCH))
    rig.worker._guard._looked_at = float("-inf")
    rig.run("touch", str(tmp_path / "x"), job="J1")
    rig.run("true", job="J2")
    assert (await rig.plane.end("J1"))["reason"] == "policy"
    assert (await rig.plane.end("J2"))["state"] == "succeeded"


async def test_a_damaged_local_policy_refuses_everything(rig):
    rig.state.root.mkdir(exist_ok=True)
    rig.state.policy.write_text("{")
    rig.worker._guard._looked_at = float("-inf")
    rig.run("true")
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("rejected", "policy")


async def test_a_forged_state_changes_no_revision(rig):
    now = rig.plane.now()
    for revision, signer in ((5, rig.plane.signer), (9, other_signer(rig)), (4, rig.plane.signer)):
        body = StateMessage(kid="k1", node="n1", revision=revision, issued=now, not_after=now + 60)
        rig.plane.push("state", seal(signer, "state", encode(body)))
    assert rig.worker.status()["state_revision"] == 5
    await rig.restart()
    assert rig.worker.status()["state_revision"] == 5


async def test_a_forged_receipt_settles_nothing(rig):
    rig.plane.receipts = False
    rig.run("true")
    end = await rig.plane.end()
    rig.plane.receipt("0" * 32, "", end["token"][:-1] + "x", end["token"].upper() + " ")
    rig.plane.push("receipt", b'{"tokens":[1,null,[]]}')
    rig.plane.push("receipt", b"junk")
    assert rig.worker.status()["spool"] == 1
    rig.plane.receipt(end["token"])
    assert rig.worker.status()["spool"] == 0
    assert rig.worker.status()["digest"] == "0" * 16

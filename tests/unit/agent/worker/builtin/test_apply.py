"""`file apply` on a real worker: what it writes, what it leaves alone, what it refuses, and what it says of it."""

import asyncio
import grp
import hashlib
import os
import pwd
import socket
import stat

import pytest

from corral.testing.blobs import SealedBlob


def sha(data):
    return hashlib.sha256(data).hexdigest()


def left_beside(folder):
    return [name for name in os.listdir(folder) if name.startswith(".corral")]


@pytest.mark.parametrize("size", [0, 1, 131055, 131056, 131057, 3_000_000])
async def test_a_new_file_has_exactly_the_bytes_and_the_result_says_changed(rig, tmp_path, size):
    data = os.urandom(size)
    dest = tmp_path / "f"
    rig.plane.file(blob=SealedBlob.of(data), dest=str(dest))
    end = await rig.plane.end()
    assert (end["state"], end["exit_code"]) == ("succeeded", 0), end
    assert dest.read_bytes() == data
    assert stat.S_IMODE(dest.stat().st_mode) == 0o644
    assert end["result"] == {
        "changed": True, "dest": str(dest), "old": None, "new": sha(data), "size": size, "backup": None,
        "validated": False, "notified": None,
    }  # fmt: skip
    assert left_beside(tmp_path) == []


async def test_an_unchanged_file_is_neither_fetched_nor_rewritten(rig, tmp_path):
    dest = tmp_path / "f"
    dest.write_bytes(b"same")
    dest.chmod(0o600)
    before = dest.stat()
    rig.plane.file(blob=SealedBlob.of(b"same"), dest=str(dest), mode="0600")
    end = await rig.plane.end()
    assert end["state"] == "succeeded" and end["result"]["changed"] is False
    assert end["result"]["old"] == end["result"]["new"] == sha(b"same")
    after = dest.stat()
    assert (before.st_ino, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_ino,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )
    assert rig.plane.blobs.asked == []


async def test_a_replaced_file_keeps_owner_and_mode_and_leaves_a_backup(rig, tmp_path):
    dest = tmp_path / "f"
    dest.write_bytes(b"old")
    dest.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(dest, 12345, 23456)
    before = dest.stat()
    rig.plane.file(blob=SealedBlob.of(b"new"), dest=str(dest))
    end = await rig.plane.end()
    after = dest.stat()
    assert dest.read_bytes() == b"new"
    assert after.st_ino != before.st_ino
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    with open(end["result"]["backup"], "rb") as file:
        assert file.read() == b"old"
    assert (end["result"]["old"], end["result"]["changed"]) == (sha(b"old"), True)


async def test_mode_alone_is_set_in_place_and_counts_as_a_change(rig, tmp_path):
    dest = tmp_path / "f"
    dest.write_bytes(b"x")
    dest.chmod(0o600)
    inode = dest.stat().st_ino
    rig.plane.file(blob=SealedBlob.of(b"x"), dest=str(dest), mode="0755")
    end = await rig.plane.end()
    assert end["result"]["changed"] is True
    assert (stat.S_IMODE(dest.stat().st_mode), dest.stat().st_ino) == (0o755, inode)
    assert rig.plane.blobs.asked == []


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")
async def test_owner_and_group_are_set_by_name_and_number(rig, tmp_path):
    user, group = pwd.getpwnam("nobody"), grp.getgrgid(pwd.getpwnam("nobody").pw_gid)
    for number, (owner, wanted) in enumerate(
        {
            "nobody": (user.pw_uid, 0),
            f"nobody:{group.gr_name}": (user.pw_uid, group.gr_gid),
            "nobody:": (user.pw_uid, user.pw_gid),
            ":1234": (0, 1234),
            "4321:1234": (4321, 1234),
        }.items()
    ):
        dest = tmp_path / f"f{number}"
        rig.plane.file(job=f"J{number}", blob=SealedBlob.of(b"x"), dest=str(dest), owner=owner, mode="4755")
        assert (await rig.plane.end(f"J{number}"))["state"] == "succeeded"
        found = dest.stat()
        assert ((found.st_uid, found.st_gid), stat.S_IMODE(found.st_mode)) == (wanted, 0o4755)


async def test_an_unknown_owner_fails_and_changes_nothing(rig, tmp_path):
    rig.plane.file(blob=SealedBlob.of(b"x"), dest=str(tmp_path / "f"), owner="no-such-user")
    end = await rig.plane.end()
    assert end["state"] == "failed" and "no such user" in end["detail"]
    assert not (tmp_path / "f").exists()


def _link(path):
    path.symlink_to("/etc/passwd")


def _fifo(path):
    os.mkfifo(path)


def _socket(path):
    with socket.socket(socket.AF_UNIX) as s:
        here = os.getcwd()
        os.chdir(path.parent)
        try:
            s.bind(path.name)
        finally:
            os.chdir(here)


def _device(path):
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_link, "symbolic link"),
        (lambda path: path.symlink_to("/no/such/place"), "symbolic link"),
        (_fifo, "FIFO"),
        (_socket, "socket"),
        (lambda path: path.mkdir(), "directory"),
        pytest.param(
            _device,
            "character device",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="making a device needs root"),
        ),
    ],
)
async def test_a_target_that_is_no_regular_file_is_refused_and_left_alone(rig, tmp_path, make, words):
    dest = tmp_path / "t"
    make(dest)
    before = os.lstat(dest)
    rig.plane.file(blob=SealedBlob.of(b"evil"), dest=str(dest))
    end = await rig.plane.end()
    assert end["state"] == "failed" and words in end["detail"], end
    after = os.lstat(dest)
    assert (before.st_ino, before.st_mode, before.st_ctime_ns) == (after.st_ino, after.st_mode, after.st_ctime_ns)
    assert left_beside(tmp_path) == []


async def test_a_link_on_the_way_is_refused_and_named(rig, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to("real")
    rig.plane.file(blob=SealedBlob.of(b"x"), dest=str(tmp_path / "way" / "f"))
    end = await rig.plane.end()
    assert end["state"] == "failed"
    assert str(tmp_path / "way") in end["detail"] and "'real'" in end["detail"]
    assert not (tmp_path / "real" / "f").exists()


@pytest.mark.parametrize("dest", ["/tmp/../etc/x", "relative", "/", "/a\nb", ""])
async def test_a_dest_that_is_no_plain_absolute_path_is_rejected(rig, dest):
    rig.plane.file(blob=SealedBlob.of(b"x"), dest=dest)
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("rejected", "schema")


@pytest.mark.parametrize("change", [{"op": "explode"}, {"digest": "zz"}, {"blob": {"nuid": "a.b"}}, {"size": "1"}])
async def test_a_spec_that_is_not_understood_is_rejected(rig, tmp_path, change):
    rig.plane.file(
        **{"blob": SealedBlob.of(b"x"), "dest": str(tmp_path / "f")} | {k: v for k, v in change.items() if k == "op"}
    ) if "op" in change else rig.plane.push(
        "task",
        rig.plane.task(
            kind="file",
            **{"op": "apply", "source": "it", "dest": str(tmp_path / "f"), **SealedBlob.of(b"x").spec(), **change},
        ),
    )
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("rejected", "schema")


async def test_a_demand_this_agent_does_not_know_is_rejected(rig, tmp_path):
    spec = SealedBlob.of(b"x").spec()
    rig.plane.push(
        "task",
        rig.plane.task(
            kind="file", must=["spec.selinux"], op="apply", source="it", dest=str(tmp_path / "f"), selinux="x", **spec
        ),
    )
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("rejected", "schema") and "spec.selinux" in end["detail"]


async def test_missing_folders_are_made_and_names_of_the_node_filled_in(rig, tmp_path):
    dest = f"{tmp_path}/x/{{{{ node.id }}}}/{{{{labels.site}}}}/f"
    rig.plane.blobs.add(blob := SealedBlob.of(b"x"))
    rig.plane.push(
        "task", rig.plane.task(kind="file", op="apply", source="it", dest=dest, labels={"site": "east"}, **blob.spec())
    )
    end = await rig.plane.end()
    assert end["state"] == "succeeded", end
    assert (tmp_path / "x" / "n1" / "east" / "f").read_bytes() == b"x"
    assert end["result"]["dest"] == f"{tmp_path}/x/n1/east/f"


async def test_a_dry_run_touches_nothing_and_shows_the_diff(rig, tmp_path):
    dest = tmp_path / "f"
    dest.write_bytes(b"one\ntwo\n")
    before = dest.stat()
    rig.plane.file(blob=SealedBlob.of(b"one\nTWO\n"), dest=str(dest), dry_run=True, diff=True)
    end = await rig.plane.end()
    assert end["state"] == "succeeded" and end["result"]["changed"] is True
    assert dest.stat().st_ctime_ns == before.st_ctime_ns
    text = rig.plane.stream()[0].decode()
    assert text == f"--- {dest}\n+++ {dest}\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n"
    rig.plane.file(job="J2", blob=SealedBlob.of(b"x"), dest=str(tmp_path / "no" / "such" / "f"), dry_run=True)
    assert (await rig.plane.end("J2"))["state"] == "failed"
    assert not (tmp_path / "no").exists()


async def test_a_template_is_filled_in_and_an_unknown_name_fails_naming_it(make_rig, tmp_path):
    rig = make_rig()
    await rig.start(facts=lambda: {"hostname": "box", "cpu_count": 4, "mounts": [1]})
    await rig.synced()
    text = b"{{node.id}} {{ facts.hostname }} {{ facts.cpu_count }} {{ labels.env }} {single} 100%\n"

    def ask(job, content, **labels):
        rig.plane.blobs.add(blob := SealedBlob.of(content))
        spec = {"op": "apply", "source": "it", "dest": str(tmp_path / "f"), "template": True, **blob.spec()}
        rig.plane.push("task", rig.plane.task(job, kind="file", labels=labels, **spec))
        return rig.plane.end(job)

    end = await ask("J1", text, env="prod")
    assert end["state"] == "succeeded", end
    assert (tmp_path / "f").read_bytes() == b"n1 box 4 prod {single} 100%\n"
    assert (await ask("J2", text, env="prod"))["result"]["changed"] is False
    for job, content, words in (
        ("J3", b"{{ facts.nope }}", "facts.nope"),
        ("J4", b"{{ labels.env }}", "labels.env"),
        ("J5", b"{{ facts.mounts }}", "not a single value"),
        ("J6", b"{{ 7*7 }}", "'7*7'"),
        ("J7", b"{{ node.id | upper }}", "upper"),
        ("J8", b"{{ __import__('os') }}", "__import__"),
        ("J9", b"\xff{{ node.id }}", "UTF-8"),
    ):
        end = await ask(job, content)
        assert end["state"] == "failed" and words in end["detail"], end
    assert (tmp_path / "f").read_bytes() == b"n1 box 4 prod {single} 100%\n"


async def test_a_label_cannot_lead_dest_to_another_folder(rig, tmp_path):
    for number, value in enumerate(("../../etc", "a/b", "..", "")):
        spec = SealedBlob.of(b"x").spec()
        dest = f"{tmp_path}/{{{{ labels.x }}}}/f"
        rig.plane.push(
            "task",
            rig.plane.task(f"J{number}", kind="file", op="apply", source="it", dest=dest, labels={"x": value}, **spec),
        )
        end = await rig.plane.end(f"J{number}")
        assert end["state"] == "failed" and "labels.x" in end["detail"]
    assert os.listdir(tmp_path) == ["state"]


async def test_validation_sees_the_new_file_and_its_refusal_changes_nothing(rig, tmp_path):
    dest = tmp_path / "f"
    dest.write_bytes(b"good old\n")
    rig.plane.file(blob=SealedBlob.of(b"bad new\n"), dest=str(dest), validate="grep -q good %s")
    end = await rig.plane.end()
    assert end["state"] == "failed" and "grep ended with 1" in end["detail"], end
    assert dest.read_bytes() == b"good old\n"
    assert left_beside(tmp_path) == [] and end["result"]["changed"] is False
    rig.plane.file(job="J2", blob=SealedBlob.of(b"good new\n"), dest=str(dest), validate="grep -q good %s")
    end = await rig.plane.end("J2")
    assert (end["state"], end["result"]["validated"]) == ("succeeded", True)
    assert dest.read_bytes() == b"good new\n"


async def test_validation_and_notify_never_see_a_shell(rig, tmp_path):
    dest = tmp_path / "f"
    rig.plane.file(blob=SealedBlob.of(b"x"), dest=str(dest), validate=f"test -f %s ; touch {tmp_path}/boom")
    end = await rig.plane.end()
    assert end["state"] == "failed" and not (tmp_path / "boom").exists() and not dest.exists()


async def test_notify_runs_after_a_change_and_only_then(rig, tmp_path):
    dest, log = tmp_path / "f", tmp_path / "log"
    spec = {"dest": str(dest), "notify": f"sh -c 'echo told >>{log}; echo heard; exit 0'"}
    rig.plane.file(blob=SealedBlob.of(b"x"), **spec)
    end = await rig.plane.end()
    assert (end["state"], end["result"]["notified"]) == ("succeeded", 0)
    assert rig.plane.stream(stream="stderr")[0] == b"heard\n"
    rig.plane.file(job="J2", blob=SealedBlob.of(b"x"), **spec)
    assert (await rig.plane.end("J2"))["result"]["notified"] is None
    rig.plane.file(job="J3", blob=SealedBlob.of(b"y"), dry_run=True, **spec)
    assert (await rig.plane.end("J3"))["result"]["notified"] is None
    assert log.read_text() == "told\n"
    rig.plane.file(job="J4", blob=SealedBlob.of(b"z"), dest=str(dest), notify="sh -c 'exit 7'")
    end = await rig.plane.end("J4")
    assert (end["state"], end["result"]["notified"], end["result"]["changed"]) == ("failed", 7, True)
    assert dest.read_bytes() == b"z"


async def test_a_notify_that_takes_too_long_is_stopped_with_its_tree_and_the_change_is_told(rig, tmp_path):
    dest = tmp_path / "f"
    rig.plane.file(
        blob=SealedBlob.of(b"x"), dest=str(dest), notify="sh -c 'sleep 60 & sleep 60'", timeout=0.5, grace=0.2
    )
    end = await rig.plane.end()
    assert (end["state"], end["result"]["changed"]) == ("timed_out", True)
    assert end["cancel"]["signalled_count"] >= 2 and end["cancel"]["survivors"] == []


async def test_a_cancel_while_bytes_arrive_leaves_the_target_alone(rig, tmp_path):
    dest = tmp_path / "f"
    dest.write_bytes(b"old")
    stuck = asyncio.Event()

    async def hook(ask):
        stuck.set()
        await asyncio.Event().wait()

    rig.plane.object_hook = hook
    rig.plane.file(blob=SealedBlob.of(os.urandom(500_000)), dest=str(dest))
    await asyncio.wait_for(stuck.wait(), 5)
    rig.plane.push("cancel", rig.plane.cancel())
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("cancelled", "killed")
    assert dest.read_bytes() == b"old" and left_beside(tmp_path) == []
    await rig.plane.until(lambda: not rig.worker.status()["running"])


async def test_the_deadline_ends_a_transfer_that_does_not_come(rig, tmp_path):
    async def hook(ask):
        await asyncio.Event().wait()

    rig.plane.object_hook = hook
    rig.plane.file(blob=SealedBlob.of(b"x"), dest=str(tmp_path / "f"), timeout=0.3)
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("timed_out", "timeout")


async def test_the_policy_of_the_node_decides_about_paths_and_commands(make_rig, tmp_path):
    rig = make_rig()
    rig.state.root.mkdir(parents=True)
    rules = [
        {"id": "no-f", "effect": "deny", "match": {"writes": [f"{tmp_path}/f*"]}},
        {"id": "no-touch", "effect": "deny", "match": {"program": ["touch"]}},
        {"id": "no-rm", "effect": "deny", "match": {"removes": [f"{tmp_path}/g"]}},
    ]
    import json

    rig.state.policy.write_text(json.dumps({"rules": rules}))
    await (await rig.start()).synced()
    rig.plane.file(job="J1", blob=SealedBlob.of(b"x"), dest=str(tmp_path / "f1"))
    end = await rig.plane.end("J1")
    assert (end["state"], end["reason"]) == ("rejected", "policy") and "no-f" in end["detail"]
    # what a path becomes is judged when it is known
    rig.plane.file(job="J2", blob=SealedBlob.of(b"x"), dest=f"{tmp_path}/f{{{{ node.id }}}}")
    end = await rig.plane.end("J2")
    assert (end["state"], end["reason"]) == ("failed", "policy") and not (tmp_path / "fn1").exists()
    (tmp_path / "g").write_bytes(b"")
    rig.plane.file("delete", job="J3", dest=str(tmp_path / "g"))
    assert (await rig.plane.end("J3"))["reason"] == "policy" and (tmp_path / "g").exists()
    rig.plane.file(job="J4", blob=SealedBlob.of(b"x"), dest=str(tmp_path / "h"), validate="touch %s")
    end = await rig.plane.end("J4")
    assert (end["state"], end["reason"]) == ("failed", "policy") and not (tmp_path / "h").exists()


async def test_a_node_kept_to_some_roots_refuses_all_else(make_rig, tmp_path):
    (tmp_path / "in").mkdir()
    rig = make_rig(file_roots=f"{tmp_path}/in")
    await (await rig.start()).synced()
    rig.plane.file(job="J1", blob=SealedBlob.of(b"x"), dest=str(tmp_path / "in" / "sub" / "f"))
    assert (await rig.plane.end("J1"))["state"] == "succeeded"
    rig.plane.file(job="J2", blob=SealedBlob.of(b"x"), dest=str(tmp_path / "out"))
    end = await rig.plane.end("J2")
    assert end["state"] == "failed" and str(tmp_path / "in") in end["detail"]
    assert not (tmp_path / "out").exists()


async def test_the_agents_own_state_is_not_a_target(rig):
    rig.plane.file(blob=SealedBlob.of(b"{}"), dest=str(rig.state.root / "identity.json"))
    end = await rig.plane.end()
    assert end["state"] == "failed" and "agent itself" in end["detail"]


async def test_a_worker_that_starts_no_processes_moves_files_only_where_it_is_kept_to(make_rig, tmp_path):
    rig = make_rig()
    await rig.start(execute=False)
    await rig.synced()
    rig.plane.file(blob=SealedBlob.of(b"x"), dest=str(tmp_path / "f"))
    assert (await rig.plane.end())["state"] == "succeeded" and not (tmp_path / "f").exists()
    kept = make_rig("kept", file_roots=str(tmp_path))
    await kept.start(execute=False)
    await kept.synced()
    kept.plane.file(blob=SealedBlob.of(b"x"), dest=str(tmp_path / "f"), notify="touch " + str(tmp_path / "told"))
    end = await kept.plane.end()
    assert end["result"]["changed"] and (tmp_path / "f").exists() and not (tmp_path / "told").exists()

"""Rollback, copy, delete, fetch and preview on a real worker."""

import hashlib
import os
import stat
import subprocess
import sys

import pytest

from corral.agent.worker.builtin import paths
from corral.agent.worker.builtin.errors import TaskFailed
from corral.testing.blobs import SealedBlob


def sha(data):
    return hashlib.sha256(data).hexdigest()


async def applied(rig, job, dest, data, **spec):
    rig.plane.file(job=job, blob=SealedBlob.of(data), dest=str(dest), **spec)
    end = await rig.plane.end(job)
    assert end["state"] == "succeeded", end
    return end["result"]


async def asked(rig, job, op, dest, **spec):
    rig.plane.file(op, job=job, dest=str(dest), **spec)
    return await rig.plane.end(job)


# --- rollback ---------------------------------------------------------------------------------------------------------


async def test_a_rollback_goes_back_step_by_step_to_what_this_node_had(rig, tmp_path):
    dest = tmp_path / "f"
    dest.write_bytes(b"own, made by hand")
    dest.chmod(0o600)
    await applied(rig, "J1", dest, b"one", mode="0640")
    await applied(rig, "J2", dest, b"two")
    end = await asked(rig, "J3", "rollback", dest)
    assert (end["state"], dest.read_bytes()) == ("succeeded", b"one")
    assert (end["result"]["changed"], end["result"]["old"], end["result"]["new"]) == (True, sha(b"two"), sha(b"one"))
    # what was undone is kept, and is no step of the way back
    with open(end["result"]["backup"], "rb") as file:
        assert file.read() == b"two"
    await asked(rig, "J4", "rollback", dest)
    assert dest.read_bytes() == b"own, made by hand"
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600
    end = await asked(rig, "J5", "rollback", dest)
    assert end["state"] == "failed" and "remembers nothing" in end["detail"]
    assert dest.read_bytes() == b"own, made by hand"


async def test_a_rollback_of_a_new_file_removes_it_again(rig, tmp_path):
    dest = tmp_path / "f"
    await applied(rig, "J1", dest, b"one")
    end = await asked(rig, "J2", "rollback", dest, dry_run=True)
    assert end["result"]["changed"] is True and dest.exists()
    end = await asked(rig, "J3", "rollback", dest)
    assert (end["state"], end["result"]["changed"], end["result"]["new"]) == ("succeeded", True, None)
    assert not dest.exists()


async def test_an_apply_that_changed_nothing_is_no_step_of_the_way_back(rig, tmp_path):
    dest = tmp_path / "f"
    await applied(rig, "J1", dest, b"one")
    await applied(rig, "J2", dest, b"two")
    assert (await applied(rig, "J3", dest, b"two"))["changed"] is False
    await asked(rig, "J4", "rollback", dest)
    assert dest.read_bytes() == b"one"


async def test_a_change_of_mode_alone_is_a_step_of_the_way_back(rig, tmp_path):
    dest = tmp_path / "f"
    await applied(rig, "J1", dest, b"one", mode="0644")
    await applied(rig, "J2", dest, b"one", mode="0755")
    assert (await asked(rig, "J3", "rollback", dest))["result"]["changed"] is True
    assert (dest.read_bytes(), stat.S_IMODE(dest.stat().st_mode)) == (b"one", 0o644)


async def test_without_a_backup_there_is_no_way_back_and_it_says_so(rig, tmp_path):
    dest = tmp_path / "f"
    await applied(rig, "J1", dest, b"one")
    assert (await applied(rig, "J2", dest, b"two", backup=False))["backup"] is None
    end = await asked(rig, "J3", "rollback", dest)
    assert end["state"] == "failed" and "--no-backup" in end["detail"]
    assert dest.read_bytes() == b"two"


async def test_a_backup_that_was_changed_is_not_put_back(rig, tmp_path):
    dest = tmp_path / "f"
    await applied(rig, "J1", dest, b"one")
    with open((await applied(rig, "J2", dest, b"two"))["backup"], "wb") as file:
        file.write(b"eno")
    end = await asked(rig, "J3", "rollback", dest)
    assert end["state"] == "failed" and "was changed" in end["detail"]
    assert dest.read_bytes() == b"two"


async def test_only_so_many_backups_are_kept(make_rig, tmp_path):
    rig = make_rig(backup_keep=2, backup_max_bytes=1500)
    await (await rig.start()).synced()
    for number in range(5):
        await applied(rig, f"J{number}", tmp_path / "f", b"%d" % number * 600)
    kept = [path for path in rig.state.backups.rglob("[0-9]*") if path.is_file()]
    assert len(kept) == 2
    for number in range(5, 8):
        await applied(rig, f"J{number}", tmp_path / "g", b"%d" % number * 600)
    kept = [path for path in rig.state.backups.rglob("[0-9]*") if path.is_file()]
    assert sum(path.stat().st_size for path in kept) <= 2 * 600
    await asked(rig, "J9", "rollback", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"3" * 600


# --- copy -------------------------------------------------------------------------------------------------------------


async def test_a_copy_is_like_its_source_and_atomic(rig, tmp_path):
    source, dest = tmp_path / "s", tmp_path / "sub" / "d"
    source.write_bytes(os.urandom(400_000))
    source.chmod(0o750)
    end = await asked(rig, "J1", "copy", dest, source=str(source))
    assert (end["state"], end["result"]["changed"]) == ("succeeded", True)
    assert dest.read_bytes() == source.read_bytes()
    assert stat.S_IMODE(dest.stat().st_mode) == 0o750
    assert (await asked(rig, "J2", "copy", dest, source=str(source)))["result"]["changed"] is False


@pytest.mark.parametrize("make", ["link", "folder", "none", "fifo"])
async def test_only_a_regular_file_is_copied_or_fetched(rig, tmp_path, make):
    source = tmp_path / "s"
    {
        "link": lambda: source.symlink_to("/etc/passwd"),
        "folder": source.mkdir,
        "none": lambda: None,
        "fifo": lambda: os.mkfifo(source),
    }[make]()
    for job, op, spec in (("J1", "copy", {"source": str(source)}), ("J2", "fetch", {})):
        end = await asked(rig, job, op, tmp_path / "d" if op == "copy" else source, **spec)
        assert end["state"] == "failed", end
    assert not (tmp_path / "d").exists() and rig.plane.stream("J2")[0] == b""


# --- delete -----------------------------------------------------------------------------------------------------------


async def test_a_deleted_file_can_be_rolled_back(rig, tmp_path):
    dest = tmp_path / "f"
    dest.write_bytes(b"precious")
    end = await asked(rig, "J1", "delete", dest)
    assert (end["state"], end["result"]["changed"], dest.exists()) == ("succeeded", True, False)
    assert (await asked(rig, "J2", "delete", dest))["result"]["changed"] is False
    assert (await asked(rig, "J3", "delete", tmp_path / "no" / "such"))["result"]["changed"] is False
    await asked(rig, "J4", "rollback", dest)
    assert dest.read_bytes() == b"precious"


async def test_a_tree_goes_only_when_recursive_and_links_in_it_lead_nowhere(rig, tmp_path):
    tree = tmp_path / "t"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "f").write_bytes(b"x")
    (tmp_path / "canary").mkdir()
    (tmp_path / "canary" / "precious").write_bytes(b"precious")
    (tree / "a" / "way").symlink_to(tmp_path / "canary")
    end = await asked(rig, "J1", "delete", tree)
    assert end["state"] == "failed" and "--recursive" in end["detail"] and (tree / "a" / "b" / "f").exists()
    end = await asked(rig, "J2", "delete", tree, recursive=True, dry_run=True)
    assert end["result"]["changed"] is True and tree.exists()
    end = await asked(rig, "J3", "delete", tree, recursive=True)
    assert (end["state"], end["result"]["changed"], tree.exists()) == ("succeeded", True, False)
    assert (tmp_path / "canary" / "precious").read_bytes() == b"precious"


async def test_a_link_is_deleted_and_not_what_it_points_to(rig, tmp_path):
    (tmp_path / "real").write_bytes(b"real")
    (tmp_path / "l").symlink_to("real")
    assert (await asked(rig, "J1", "delete", tmp_path / "l"))["result"]["changed"] is True
    assert (tmp_path / "real").exists() and not os.path.lexists(tmp_path / "l")


@pytest.mark.parametrize(
    "path",
    ["/etc", "/etc/passwd", "/usr", "/usr/bin/env", "/bin", "/home", "/var", "/var/lib", "/tmp", "/root", "/dev/null",
     "/proc/1", "/sys", "/boot", "/lib"],
)  # fmt: skip
def test_a_system_path_is_never_removed(path):
    # asked of the rule itself: a test that asks a worker to delete these would hurt when it fails
    with pytest.raises(TaskFailed, match="system path"):
        paths.refuse_system_path(path, "delete")


def test_a_mount_point_below_is_found():
    with pytest.raises(TaskFailed, match="mount point"):
        paths.refuse_mounts("/proc", "delete")


BIND = """
import os, sys
sys.path.insert(0, sys.argv[1])
from corral.agent.worker.builtin import paths
from corral.agent.worker.builtin.errors import TaskFailed
try:
    paths.refuse_mounts(sys.argv[2], "delete")
except TaskFailed as error:
    print(error.message)
"""


def test_a_bind_mount_of_the_same_file_system_is_found_too(tmp_path):
    (tmp_path / "t" / "with blank").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    source = os.path.join(os.path.dirname(__file__), *[".."] * 5, "src")
    script = 'mount --bind "$1/other" "$1/t/with blank" || exit 77; exec "$2" -c "$3" "$4" "$1/t"'
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh", tmp_path, sys.executable, BIND, source],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        pytest.skip(f"no mount namespace of our own: {done.stderr.strip()[:200]}")
    assert "with blank' is a mount point" in done.stdout, (done.stdout, done.stderr)


# --- fetch and preview ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
async def test_a_fetched_file_arrives_whole_whatever_the_cap(rig, tmp_path, size):
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    end = await asked(rig, "J1", "fetch", tmp_path / "f", max_output=1024)
    assert (end["state"], end["result"]["new"], end["result"]["size"]) == ("succeeded", sha(data), size)
    await rig.plane.until(lambda: len(rig.plane.stream()[0]) == size)
    assert rig.plane.stream() == (data, 0)
    assert not end.get("truncated")


async def test_a_file_beyond_the_spool_is_not_fetched(make_rig, tmp_path):
    rig = make_rig(spool_max_bytes=1000)
    await (await rig.start()).synced()
    (tmp_path / "f").write_bytes(b"x" * 1001)
    end = await asked(rig, "J1", "fetch", tmp_path / "f")
    assert end["state"] == "failed" and "1001 bytes" in end["detail"]


async def test_a_fetch_is_slowed_to_its_bandwidth(rig, tmp_path):
    (tmp_path / "f").write_bytes(os.urandom(9 << 20))
    end = await asked(rig, "J1", "fetch", tmp_path / "f", bandwidth=9 << 20)
    assert end["state"] == "succeeded"
    assert 0.4 < end["finished_at"] - end["started_at"] < 5


async def test_a_preview_shows_the_beginning_and_what_it_is(rig, tmp_path):
    (tmp_path / "f").write_bytes(b"line\n" * 50_000)
    end = await asked(rig, "J1", "preview", tmp_path / "f")
    result = end["result"]
    assert (result["kind"], result["size"], result["binary"], result["whole"]) == (
        "a regular file", 250_000, False, False,
    )  # fmt: skip
    assert rig.plane.stream("J1")[0] == (b"line\n" * 50_000)[: 64 << 10]
    (tmp_path / "b").write_bytes(b"\0\1\2")
    assert (await asked(rig, "J2", "preview", tmp_path / "b"))["result"]["binary"] is True


async def test_a_preview_of_a_directory_lists_it_and_of_a_link_opens_nothing(rig, tmp_path):
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "odd\nname").write_bytes(b"12345")
    (tmp_path / "l").symlink_to("/etc/passwd")
    await asked(rig, "J1", "preview", tmp_path / "d")
    lines = rig.plane.stream("J1")[0].decode().splitlines()
    assert [line.split()[0][0] + " " + line.split()[-1] for line in lines] == ["- odd?name", "d sub"]
    end = await asked(rig, "J2", "preview", tmp_path / "l")
    assert end["result"]["kind"] == "a symbolic link" and rig.plane.stream("J2")[0] == b""

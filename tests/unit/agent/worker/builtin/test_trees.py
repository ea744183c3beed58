"""Archives become directories on a real worker: whole, swapped in one step, unchanged when they are, and back again."""

import io
import os
import stat
import tarfile

import pytest

from corral.testing.blobs import SealedBlob


def packed(**files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            data = text.encode()
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tree(path):
    return {str(p.relative_to(path)): p.read_text() for p in path.rglob("*") if p.is_file()}


async def asked(rig, job, dest, data, **spec):
    rig.plane.file(job=job, blob=SealedBlob.of(data), dest=str(dest), archive="tar", **spec)
    return await rig.plane.end(job)


ONE, TWO = packed(a="1", sub__b="1"), packed(a="2", c="2")


async def test_an_archive_replaces_the_directory_and_the_old_one_can_come_back(rig, tmp_path):
    dest = tmp_path / "site"
    dest.mkdir()
    (dest / "by-hand").write_text("x")
    end = await asked(rig, "J1", dest, ONE, mode="0750")
    assert (end["state"], end["result"]["changed"]) == ("succeeded", True), end
    assert tree(dest) == {"a": "1", "sub/b": "1"}
    assert stat.S_IMODE(dest.stat().st_mode) == 0o750
    assert tree(tmp_path / ".corral-previous-site") == {"by-hand": "x"}
    end = await asked(rig, "J2", dest, TWO)
    assert end["result"]["changed"] is True and tree(dest) == {"a": "2", "c": "2"}
    rig.plane.file("rollback", job="J3", dest=str(dest))
    end = await rig.plane.end("J3")
    assert (end["state"], end["result"]["changed"]) == ("succeeded", True), end
    assert tree(dest) == {"a": "1", "sub/b": "1"}
    rig.plane.file("rollback", job="J4", dest=str(dest))
    end = await rig.plane.end("J4")
    # one tree is kept, and it was used
    assert end["state"] == "failed" and tree(dest) == {"a": "1", "sub/b": "1"}
    assert sorted(os.listdir(tmp_path)) == ["site", "state"]


async def test_an_unchanged_tree_is_left_alone_and_a_touched_one_is_put_right(rig, tmp_path):
    dest = tmp_path / "site"
    await asked(rig, "J1", dest, ONE)
    inode = dest.stat().st_ino
    end = await asked(rig, "J2", dest, ONE)
    assert end["result"]["changed"] is False and dest.stat().st_ino == inode
    (dest / "a").write_text("by hand")
    end = await asked(rig, "J3", dest, ONE, dry_run=True)
    assert end["result"]["changed"] is True and (dest / "a").read_text() == "by hand"
    end = await asked(rig, "J4", dest, ONE)
    assert end["result"]["changed"] is True and tree(dest) == {"a": "1", "sub/b": "1"}


async def test_a_new_tree_goes_again_with_a_rollback(rig, tmp_path):
    dest = tmp_path / "deep" / "site"
    await asked(rig, "J1", dest, ONE)
    rig.plane.file("rollback", job="J2", dest=str(dest))
    assert (await rig.plane.end("J2"))["state"] == "succeeded"
    assert os.listdir(tmp_path / "deep") == []


async def test_without_a_backup_the_old_tree_goes(rig, tmp_path):
    dest = tmp_path / "site"
    await asked(rig, "J1", dest, ONE)
    end = await asked(rig, "J2", dest, TWO, backup=False)
    assert end["result"]["backup"] is None and sorted(os.listdir(tmp_path)) == ["site", "state"]


async def test_a_bad_archive_or_a_refused_one_leaves_the_directory_alone(rig, tmp_path):
    dest = tmp_path / "site"
    await asked(rig, "J1", dest, ONE)
    for job, data, spec in (
        ("J2", packed(a="3", **{"..__evil": "x"}), {}),
        ("J3", TWO[:1000], {}),
        ("J4", b"no archive", {}),
        ("J5", TWO, {"validate": "test -e %s/none"}),
        ("J6", TWO, {"owner": "no-such-user"}),
    ):
        end = await asked(rig, job, dest, data, **spec)
        assert end["state"] == "failed", (job, end)
        assert tree(dest) == {"a": "1", "sub/b": "1"}
        assert sorted(os.listdir(tmp_path)) == ["site", "state"]


async def test_an_archive_does_not_replace_a_file_or_follow_a_link(rig, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for number, name in enumerate(("file", "link")):
        end = await asked(rig, f"J{number}", tmp_path / name, ONE)
        assert end["state"] == "failed"
    assert (tmp_path / "file").read_text() == "x" and os.listdir(tmp_path / "real") == []


async def test_validation_sees_the_new_tree_and_notify_follows(rig, tmp_path):
    dest = tmp_path / "site"
    end = await asked(rig, "J1", dest, ONE, validate="test -f %s/sub/b", notify=f"cp {dest}/a {tmp_path}/told")
    assert end["state"] == "succeeded", end
    assert (end["result"]["validated"], end["result"]["notified"]) == (True, 0)
    assert (tmp_path / "told").read_text() == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
async def test_the_owner_is_of_all_of_the_tree(rig, tmp_path):
    dest = tmp_path / "site"
    await asked(rig, "J1", dest, ONE, owner="1234:4321")
    owners = {(p.stat().st_uid, p.stat().st_gid) for p in (dest, *dest.rglob("*"))}
    assert owners == {(1234, 4321)}

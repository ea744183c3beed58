"""A worker that dies by SIGKILL at any step of a file task: the next one ends it, once, with the truth, and notifies at most once."""

import io
import os
import tarfile

import pytest

from corral.testing.blobs import SealedBlob

BUILTIN = "corral.agent.worker.builtin"
STEPS = {
    "before the coroutine": f"{BUILTIN}.host:Host.start:before",
    "after the first record": f"{BUILTIN}.work:Work.save:after",
    "before the first record": f"{BUILTIN}.work:Work.save:before",
    "before the temporary file": "corral.runtime.safepath:Folder.create:before",
    "after the temporary file": "corral.runtime.safepath:Folder.create:after",
    "after its owner and mode": f"{BUILTIN}.ownership:Wanted.put_on:after",
    "before the backup": f"{BUILTIN}.backups:Backups.keep:before",
    "after the backup is listed": f"{BUILTIN}.backups:Backups._write:after",
    "before the rename": "corral.runtime.safepath:Folder.rename:before",
    "after the rename": "corral.runtime.safepath:Folder.rename:after",
    "after the folder is synced": "corral.runtime.safepath:Folder.sync:after",
    "before the notify": "corral.agent.worker.wrapper:Launcher.launch:before",
    "after the notify began": "corral.agent.worker.wrapper:Launcher.launch:after",
    "before the end is journalled": "corral.agent.worker.journal:Journal.done:before",
    "after the end is journalled": "corral.agent.worker.journal:Journal.done:after",
}


def left_beside(folder):
    return [name for name in os.listdir(folder) if name.startswith(".corral-n")]


async def killed(child, crash):
    """Start a worker that dies at `crash`, and see that it did."""
    await child.start(TEST_CRASH=crash)


async def finished(child, job="J1"):
    await child.plane.until(lambda: child.process.poll() is not None)
    child.kill()
    await child.start()
    return await child.plane.end(job)


@pytest.mark.parametrize("step", STEPS)
async def test_an_apply_that_dies_is_ended_by_the_next_worker(child, tmp_path, step):
    dest, log = tmp_path / "f", tmp_path / "log"
    dest.write_bytes(b"old")
    dest.chmod(0o600)
    await killed(child, STEPS[step])
    child.plane.file(
        blob=SealedBlob.of(b"new"), dest=str(dest), mode="0640", notify=f"sh -c 'sleep 0.1; echo told >>{log}'"
    )
    end = await finished(child)
    assert (end["state"], end["exit_code"]) == ("succeeded", 0), end
    result = end["result"]
    assert (result["changed"], result["notified"]) == (True, 0)
    assert dest.read_bytes() == b"new" and dest.stat().st_mode & 0o777 == 0o640
    with open(result["backup"], "rb") as file:
        assert file.read() == b"old"
    assert log.read_text() == "told\n", "notify has to run exactly once here"
    assert left_beside(tmp_path) == []
    # one step back leads to what was there before the task, however often it began
    child.plane.file("rollback", job="J2", dest=str(dest))
    assert (await child.plane.end("J2"))["state"] == "succeeded"
    assert dest.read_bytes() == b"old" and dest.stat().st_mode & 0o777 == 0o600
    child.plane.file("rollback", job="J3", dest=str(dest))
    assert (await child.plane.end("J3"))["state"] == "failed"


ROLLBACK_STEPS = {
    "after the choice": f"{BUILTIN}.work:Work.save:after",
    "before the rename": "corral.runtime.safepath:Folder.rename:before",
    "after the rename": "corral.runtime.safepath:Folder.rename:after",
    "before the entry goes": f"{BUILTIN}.backups:Backups.remove:before",
    "after the entry went": f"{BUILTIN}.backups:Backups.remove:after",
    "before the end is journalled": "corral.agent.worker.journal:Journal.done:before",
}


@pytest.mark.parametrize("step", ROLLBACK_STEPS)
async def test_a_rollback_that_dies_goes_one_step_back_and_not_two(child, tmp_path, step):
    dest = tmp_path / "f"
    await child.start()
    for number, data in enumerate((b"one", b"two", b"three")):
        child.plane.file(job=f"A{number}", blob=SealedBlob.of(data), dest=str(dest))
        await child.plane.end(f"A{number}")
    await child.plane.until(lambda: not list((child.root / "spool").iterdir()))
    child.kill()
    await killed(child, ROLLBACK_STEPS[step])
    child.plane.file("rollback", dest=str(dest))
    end = await finished(child)
    assert (end["state"], end["result"]["changed"]) == ("succeeded", True), end
    assert dest.read_bytes() == b"two"
    child.plane.file("rollback", job="J2", dest=str(dest))
    assert (await child.plane.end("J2"))["state"] == "succeeded"
    assert dest.read_bytes() == b"one"


def packed(name, text):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    return out.getvalue()


TREE_STEPS = {
    "while extracting": "corral.runtime.safepath:Folder.create:after",
    "before the swap": "corral.runtime.safepath:Folder.exchange:before",
    "after the swap": "corral.runtime.safepath:Folder.exchange:after",
    "before the old one is put aside": "corral.runtime.safepath:Folder.rename:before",
    "after the old one is put aside": "corral.runtime.safepath:Folder.rename:after",
    "after it is written down": f"{BUILTIN}.backups:Backups.set_tree:after",
    "before the end is journalled": "corral.agent.worker.journal:Journal.done:before",
}


@pytest.mark.parametrize("step", TREE_STEPS)
async def test_a_tree_that_dies_while_it_is_swapped_in_is_ended_whole(child, tmp_path, step):
    dest = tmp_path / "site"
    dest.mkdir()
    (dest / "old").write_bytes(b"old")
    await killed(child, TREE_STEPS[step])
    child.plane.file(blob=SealedBlob.of(packed("new", b"new")), dest=str(dest), archive="tar")
    end = await finished(child)
    assert (end["state"], end["result"]["changed"]) == ("succeeded", True), end
    assert os.listdir(dest) == ["new"]
    assert os.listdir(tmp_path / ".corral-previous-site") == ["old"]
    assert left_beside(tmp_path) == []
    child.plane.file("rollback", job="J2", dest=str(dest))
    assert (await child.plane.end("J2"))["state"] == "succeeded"
    assert os.listdir(dest) == ["old"]


@pytest.mark.parametrize(
    "step", ["corral.runtime.safepath:Folder.exchange:before", "corral.runtime.safepath:Folder.exchange:after"]
)
async def test_a_rollback_of_a_tree_that_dies_does_not_swap_twice(child, tmp_path, step):
    dest = tmp_path / "site"
    dest.mkdir()
    (dest / "old").write_bytes(b"old")
    await child.start()
    child.plane.file(job="A1", blob=SealedBlob.of(packed("new", b"new")), dest=str(dest), archive="tar")
    await child.plane.end("A1")
    child.kill()
    await killed(child, step)
    child.plane.file("rollback", dest=str(dest))
    end = await finished(child)
    assert end["state"] == "succeeded", end
    assert os.listdir(dest) == ["old"]


async def test_a_delete_that_dies_half_way_is_finished_and_told(child, tmp_path):
    tree = tmp_path / "t"
    for number in range(20):
        (tree / f"d{number}").mkdir(parents=True)
        (tree / f"d{number}" / "f").write_bytes(b"x")
    await killed(child, "corral.runtime.safepath:Folder.rmdir:after")
    child.plane.file("delete", dest=str(tree), recursive=True)
    end = await finished(child)
    assert (end["state"], end["result"]["changed"], tree.exists()) == ("succeeded", True, False)


async def test_a_fetch_goes_on_where_it_was_and_notices_a_file_that_changed(child, tmp_path):
    data = os.urandom(9 << 20)
    (tmp_path / "f").write_bytes(data)
    for job, change in (("J1", None), ("J2", b"changed")):
        await killed(child, "corral.runtime.limits:TokenBucket.take:before")
        child.plane.file("fetch", job=job, dest=str(tmp_path / "f"), max_output=1024)
        await child.plane.until(lambda: child.process.poll() is not None)
        if change:
            with (tmp_path / "f").open("r+b") as file:
                file.write(change)
        end = await finished(child, job)
        if change:
            assert end["state"] == "failed" and "changed while" in end["detail"]
        else:
            await child.plane.until(lambda: len(child.plane.stream()[0]) == len(data))
            assert child.plane.stream() == (data, 0)
        # nothing of this one is left to send for the next worker, which dies when it sends anything
        await child.plane.until(lambda: not list((child.root / "spool").iterdir()))
        child.kill()


async def test_a_task_cancelled_while_no_worker_ran_leaves_nothing_behind(child, tmp_path):
    dest = tmp_path / "f"
    dest.write_bytes(b"old")
    await killed(child, "corral.runtime.safepath:Folder.create:after")
    child.plane.file(blob=SealedBlob.of(b"new"), dest=str(dest))
    await child.plane.until(lambda: child.process.poll() is not None)
    assert left_beside(tmp_path)
    child.kill()
    # its cancel comes to a worker that dies before it acts on it
    child.plane.cancels = [child.plane.cancel()]
    await child.start(TEST_CRASH="corral.agent.worker.journal:Journal.bury:after")
    await child.plane.until(lambda: child.process.poll() is not None or child.plane.ends())
    child.kill()
    await child.start()
    end = await child.plane.end()
    # the worker in between may have been quicker with the work than with the cancel: then the real outcome wins
    assert end["state"] in ("cancelled", "succeeded")
    assert dest.read_bytes() == (b"old" if end["state"] == "cancelled" else b"new")
    assert left_beside(tmp_path) == []


async def test_after_a_reboot_a_file_task_is_ended_and_not_given_up(child, tmp_path):
    dest = tmp_path / "f"
    await child.start(TEST_CRASH="corral.runtime.safepath:Folder.rename:after", TEST_BOOT_ID="one")
    child.plane.file(blob=SealedBlob.of(b"new"), dest=str(dest))
    await child.plane.until(lambda: child.process.poll() is not None)
    child.kill()
    await child.start(TEST_BOOT_ID="two")
    end = await child.plane.end()
    assert (end["state"], end["result"]["changed"]) == ("succeeded", True), end

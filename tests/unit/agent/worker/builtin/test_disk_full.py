"""A full disk, a real one of 48 MB in a mount namespace that goes with the worker: said clearly, nothing torn, and over when it is."""

import os
import subprocess
from pathlib import Path

import pytest

from corral.testing.blobs import SealedBlob

MIB = 1 << 20
SMALL = b"fits"


@pytest.fixture
def small(tmp_path):
    """(a folder that is a 48 MB disk for whoever starts with the prefix, the prefix)"""
    folder = tmp_path / "small"
    folder.mkdir()
    prefix = ["unshare", "-m", "--propagation", "private", "sh", "-c"]
    script = 'mount -t tmpfs -o size=48m corral-test "$0" && exec "$@"'
    tried = subprocess.run([*prefix, script, str(folder), "true"], capture_output=True, text=True, timeout=30)
    if tried.returncode:
        pytest.skip(f"no mount namespace of our own: {tried.stderr.strip()[:200]}")
    yield folder, [*prefix, script, str(folder)]
    # the disk was only ever seen from inside, and went with the last process there
    assert os.listdir(folder) == [] and not os.path.ismount(folder)


def seen(child, path):
    """`path` as the worker sees it."""
    return Path(f"/proc/{child.process.pid}/root{path}")


async def test_a_target_disk_that_is_full_leaves_the_old_file_and_nothing_else(child, small):
    folder, child.prefix = small
    await child.start()
    child.plane.file(job="J1", blob=SealedBlob.of(SMALL), dest=str(folder / "f"))
    assert (await child.plane.end("J1"))["state"] == "succeeded"
    child.plane.file(job="J2", blob=SealedBlob.of(os.urandom(52 * MIB)), dest=str(folder / "f"))
    end = await child.plane.end("J2")
    assert end["state"] == "failed" and "no space left on device" in end["detail"], end
    assert seen(child, folder / "f").read_bytes() == SMALL
    assert os.listdir(seen(child, folder)) == ["f"]
    # and when there is room it goes on as if nothing had been
    child.plane.file(job="J3", blob=SealedBlob.of(os.urandom(MIB)), dest=str(folder / "f"))
    assert (await child.plane.end("J3"))["state"] == "succeeded"


async def test_a_state_disk_that_is_too_small_says_what_it_needs_and_what_it_has(child, small, tmp_path):
    folder, child.prefix = small
    child.root = folder / "state"
    await child.start()
    child.plane.file(job="J1", blob=SealedBlob.of(os.urandom(52 * MIB)), dest=str(tmp_path / "f"))
    end = await child.plane.end("J1")
    assert end["state"] == "failed" and f"needs {52 * MIB} bytes" in end["detail"], end
    assert os.listdir(seen(child, child.root / "blobs")) == []
    assert not (tmp_path / "f").exists()


async def test_a_state_disk_that_fills_up_half_way_gets_its_space_back(child, small, tmp_path):
    folder, child.prefix = small
    child.root = folder / "state"
    filled = []

    async def fill(ask):
        if ask["seq"] > 100 and not filled:
            filled.append(ask["seq"])
            with seen(child, folder / "filler").open("wb") as file:
                try:
                    while True:
                        file.write(b"\0" * MIB)
                except OSError:
                    pass

    child.plane.object_hook = fill
    await child.start()
    child.plane.file(job="J1", blob=SealedBlob.of(os.urandom(30 * MIB)), dest=str(tmp_path / "f"))
    await child.plane.until(lambda: filled)
    # the partial file is gone as soon as it is known to be in vain, so the end can be journalled
    end = await child.plane.end("J1")
    assert end["state"] == "failed" and "no space left on device" in end["detail"], end
    assert os.listdir(seen(child, child.root / "blobs")) == []
    seen(child, folder / "filler").unlink()
    child.plane.file(job="J2", blob=SealedBlob.of(os.urandom(30 * MIB)), dest=str(tmp_path / "f"))
    assert (await child.plane.end("J2"))["state"] == "succeeded"

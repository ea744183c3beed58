"""Paths by handle: with openat2 and by the walk, the same answers; and nobody who swaps folders meanwhile moves anything of ours."""

import os
import stat
import subprocess
import sys
import textwrap

import pytest

from corral.runtime import safepath
from corral.runtime.safepath import UnsafePath, open_folder, open_target, split_path


@pytest.fixture(params=["openat2", "walk"])
def way(request):
    if request.param == "walk":
        safepath.without_openat2()
    elif not safepath.openat2_works():
        pytest.skip("this kernel has no openat2")
    yield request.param
    safepath.without_openat2(off=False)


@pytest.mark.parametrize(
    "path", ["", "a", "./a", "/a/../b", "/..", "/a\0b", "/" + "x" * 256, "/" + "x/" * 2100, "/\udc80"]
)
def test_what_is_no_absolute_path_is_refused(path):
    with pytest.raises(UnsafePath):
        split_path(path)


def test_a_path_is_split_into_its_names():
    assert split_path("//a/./b/") == ("a", "b")
    assert split_path("/") == ()


def test_the_root_is_no_target():
    with pytest.raises(UnsafePath, match="root of the machine"):
        open_target("/")


def test_a_link_anywhere_on_the_way_is_refused_and_named(tmp_path, way):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "link").symlink_to("b")
    (tmp_path / "up").symlink_to(tmp_path / "a")
    (tmp_path / "loop").symlink_to("loop")
    for path, culprit in (
        (tmp_path / "a" / "link" / "f", tmp_path / "a" / "link"),
        (tmp_path / "up" / "b" / "f", tmp_path / "up"),
        (tmp_path / "loop" / "f", tmp_path / "loop"),
    ):
        with pytest.raises(UnsafePath, match="symbolic link") as caught:
            open_target(str(path))
        assert caught.value.element == str(culprit)


def test_what_is_no_folder_on_the_way_is_refused(tmp_path, way):
    (tmp_path / "file").write_bytes(b"")
    os.mkfifo(tmp_path / "fifo")
    for name, word in (("file", "regular file"), ("fifo", "FIFO")):
        with pytest.raises(UnsafePath, match=word):
            open_target(str(tmp_path / name / "f"))


def test_missing_folders_are_made_only_when_asked_for(tmp_path, way):
    path = str(tmp_path / "x" / "y" / "f")
    with pytest.raises(FileNotFoundError):
        open_target(path)
    with open_target(path, create=True) as target:
        os.close(target.folder.create(target.name))
    assert (tmp_path / "x" / "y" / "f").exists()
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) & 0o022 == 0


def test_a_link_is_not_made_into_a_folder(tmp_path, way):
    (tmp_path / "dangling").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePath):
        open_target(str(tmp_path / "dangling" / "sub" / "f"), create=True)
    assert not (tmp_path / "elsewhere").exists()


def test_roots_bound_where_a_path_may_be(tmp_path, way):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "inner").mkdir()
    (tmp_path / "in" / "out").symlink_to(tmp_path / "inner")
    roots = [str(tmp_path / "in"), "/nowhere"]
    open_target(str(tmp_path / "in" / "f"), roots=roots).folder.close()
    open_target(str(tmp_path / "in" / "deep" / "f"), roots=roots).folder.close()
    for path in (tmp_path / "inner" / "f", tmp_path / "f", tmp_path / "in" / "out" / "f"):
        with pytest.raises(UnsafePath):
            open_target(str(path), roots=roots)


def test_only_regular_files_are_read(tmp_path, way):
    (tmp_path / "file").write_bytes(b"yes")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with open_folder(str(tmp_path)) as folder:
        fd = folder.open_read("file")
        assert os.read(fd, 9) == b"yes"
        os.close(fd)
        for name in ("link", "dir", "fifo"):
            with pytest.raises(UnsafePath):
                folder.open_read(name)
        with pytest.raises(FileExistsError):
            folder.create("link")
        with pytest.raises(FileNotFoundError):
            folder.open_read("none")


def test_two_entries_are_swapped_in_one_step(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").touch()
    (tmp_path / "b").mkdir()
    with open_folder(str(tmp_path)) as folder:
        folder.exchange("a", "b")
    assert (tmp_path / "b" / "one").exists() and not (tmp_path / "a" / "one").exists()


SWAPPER = """
    import os, sys
    folder, canary = sys.argv[1:]
    os.chdir(folder)
    while True:
        os.rename("d", "d.real")
        os.symlink(canary, "d")
        os.unlink("d")
        os.rename("d.real", "d")
        os.rename("d/t", "d/t.real")
        os.symlink(canary + "/precious", "d/t")
        os.unlink("d/t")
        os.rename("d/t.real", "d/t")
"""


@pytest.mark.parametrize("roots", [False, True])
def test_while_folder_and_target_are_swapped_for_links_nothing_gets_out(tmp_path, way, roots):
    """T13: the check of a real path let 570 of 20,000 writes out."""
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "precious").write_bytes(b"precious")
    (canary / "t").write_bytes(b"precious")
    field = tmp_path / "field"
    (field / "d").mkdir(parents=True)
    (field / "d" / "t").write_bytes(b"0")
    swapper = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SWAPPER), str(field), str(canary)])
    done = refused = 0
    try:
        for _ in range(5000):
            try:
                with open_target(str(field / "d" / "t"), roots=[str(field)] if roots else ()) as target:
                    target.regular()
                    fd = target.folder.create("new")
                    try:
                        os.write(fd, b"written")
                        target.folder.rename("new", target.name)
                    finally:
                        os.close(fd)
                done += 1
            except (UnsafePath, FileNotFoundError):
                refused += 1
            if swapper.poll() is not None:
                # it fell over our own rename: its steps are not atomic either; put things right and let it go on
                swapper = _again(field, canary)
    finally:
        swapper.kill()
        swapper.wait()
    assert done and refused, (done, refused)
    assert sorted(os.listdir(canary)) == ["precious", "t"]
    assert {(canary / name).read_bytes() for name in ("precious", "t")} == {b"precious"}


def _again(field, canary):
    if (field / "d").is_symlink():
        (field / "d").unlink()
    if (field / "d.real").exists():
        (field / "d.real").rename(field / "d")
    if (field / "d" / "t").is_symlink():
        (field / "d" / "t").unlink()
    (field / "d" / "t").write_bytes(b"0")
    return subprocess.Popen([sys.executable, "-S", "-c", textwrap.dedent(SWAPPER), str(field), str(canary)])

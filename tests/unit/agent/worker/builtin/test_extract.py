"""T8: a corpus of archives made to get out, get in twice, or get too large; and generated ones. No byte outside, nothing half used."""

import bz2
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corral.agent.worker.builtin import extract as extraction
from corral.agent.worker.builtin import names, unpacked
from corral.agent.worker.builtin.errors import TaskFailed
from corral.agent.worker.builtin.extract import Stopped, extract
from corral.agent.worker.builtin.ownership import Wanted
from corral.domain.artifact import Archive
from corral.runtime.safepath import open_folder

OUTSIDE = f"/tmp/corral-evil-{os.getpid()}"


@dataclass
class Member:
    """One entry to be put into an archive as it is, however odd."""

    name: str
    data: bytes = b"evil"
    type: bytes = tarfile.REGTYPE
    link: str = ""
    mode: int = 0o644
    pax: dict = field(default_factory=dict)


def tar(*members, form=tarfile.PAX_FORMAT, pack=lambda data: data, pax=None):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, pax_headers=pax or {}) as archive:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.type, info.linkname, info.mode = member.type, member.link, member.mode
            info.pax_headers = member.pax
            data = member.data if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE) else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return pack(out.getvalue())


def folder(name, mode=0o755):
    return Member(name, b"", tarfile.DIRTYPE, mode=mode)


def zipped(*members, how=zipfile.ZIP_DEFLATED, encrypted=False):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for member in members:
            info = zipfile.ZipInfo("placeholder")
            info.filename = member.name
            info.create_system = 3
            info.compress_type = how
            kinds = {
                tarfile.SYMTYPE: stat.S_IFLNK,
                tarfile.FIFOTYPE: stat.S_IFIFO,
                tarfile.CHRTYPE: stat.S_IFCHR,
                tarfile.DIRTYPE: stat.S_IFDIR,
            }
            info.external_attr = (kinds.get(member.type, stat.S_IFREG) | member.mode) << 16
            archive.writestr(info, member.link or member.data)
    data = out.getvalue()
    if encrypted:
        data = bytearray(data)
        data[data.index(b"PK\x03\x04") + 6] |= 1
        data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def renamed(data, old, new):
    """An archive whose bytes say another name than the library would write."""
    assert len(old) == len(new)
    return data.replace(old, new)


def header(data, at, value):
    """A tar with bytes of its first header changed and the checksum put right."""
    block = bytearray(data[:512])
    block[at : at + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data[512:]


def overlapping():
    """Two directory entries for the same bytes: what makes a small zip endless."""
    data = zipped(Member("a", b"x" * 1000), Member("b", b"x" * 1000))
    end = data.index(b"PK\x05\x06")
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 4)
    first_offset = struct.unpack_from("<L", data, data.index(b"PK\x01\x02") + 42)[0]
    changed = bytearray(data)
    struct.pack_into("<L", changed, second + 42, first_offset)
    return bytes(changed[:end]) + data[end:]


def lying_about_its_size():
    """The directory says five bytes, the content is a thousand."""
    data = zipped(Member("f", b"0123456789" * 100))
    at = data.index(b"PK\x01\x02") + 24
    return data[:at] + struct.pack("<L", 5) + data[at + 4 :]


GOOD = Member("good.txt", b"good")
SYM, HARD, CHAR, BLOCK, FIFO = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE
GNU, USTAR = tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT
NUL_ZIP = renamed(zipped(Member("goodXname")), b"goodXname", b"good\0name")

BAD = {
    # names that lead out
    "dotdot": tar(Member("../evil")),
    "dotdot deep": tar(Member("a/b/../../../evil")),
    "dotdot that comes back": tar(Member("a/../b")),
    "dotdot at the end": tar(folder("a/..")),
    "dotdot alone": tar(Member("..")),
    "absolute": tar(Member(OUTSIDE)),
    "absolute twice": tar(Member("/" + OUTSIDE)),
    "absolute by pax": tar(Member("x", pax={"path": OUTSIDE})),
    "dotdot by pax": tar(Member("x", pax={"path": "../evil"})),
    "dotdot by a long name": tar(Member("../" + "a" * 150), form=GNU),
    "absolute by a prefix": tar(Member("/" + "d" * 60 + "/" + "e" * 60), form=USTAR),
    "global pax path": tar(GOOD, pax={"path": "../evil"}),
    "backslash": tar(Member("a\\..\\..\\evil")),
    "drive": tar(Member("C:evil")),
    "drive absolute": tar(Member("c:/evil")),
    "home is a name but a control character is none": tar(Member("a\nb")),
    "escape": tar(Member("a\x1b[2Jb")),
    "delete": tar(Member("a\x7fb")),
    "no name": header(tar(Member("x")), 0, b"\0" * 100),
    "not utf-8": header(tar(Member("x"), form=USTAR), 0, b"\xff\xfe"),
    "too long a part": tar(Member("x" * 256)),
    "too long a name": tar(Member("x/" * 1100 + "y")),
    "too deep": tar(Member("d/" * 65 + "f")),
    "file without a name": tar(Member("./")),
    # kinds
    "symlink": tar(Member("l", type=SYM, link="/etc")),
    "symlink inside": tar(Member("l", type=SYM, link="good.txt")),
    "symlink then through it": tar(Member("l", type=SYM, link="/tmp"), Member("l/evil")),
    "hard link": tar(GOOD, Member("h", type=HARD, link="good.txt")),
    "hard link out": tar(Member("h", type=HARD, link="/etc/passwd")),
    "hard link then over it": tar(Member("h", type=HARD, link="/etc/passwd"), Member("h")),
    "character device": tar(Member("d", type=CHAR)),
    "block device": tar(Member("d", type=BLOCK)),
    "fifo": tar(Member("p", type=FIFO)),
    "gnu sparse": tar(Member("s", b"", type=b"S"), form=GNU),
    "pax sparse": tar(Member("s", pax={"GNU.sparse.major": "1", "GNU.sparse.name": "s"})),
    "unknown kind": tar(Member("u", b"", type=b"Q"), form=GNU),
    "volume": tar(Member("v", b"", type=b"V"), form=GNU),
    "multi volume": tar(Member("v", b"", type=b"M"), form=GNU),
    "long link": tar(Member("l", type=SYM, link="x" * 200), form=GNU),
    "directory with content": header(tar(Member("d", b"1234")), 156, b"5"),
    # names twice
    "file twice": tar(GOOD, GOOD),
    "directory twice": tar(folder("d"), folder("d")),
    "file twice by a dot": tar(Member("a"), Member("./a")),
    "case": tar(Member("Readme"), Member("README")),
    "case of a directory": tar(Member("A/x"), Member("a/y")),
    "sharp s": tar(Member("straße"), Member("STRASSE")),
    "composed": tar(Member("é"), Member("e\u0301")),
    "ligature": tar(Member("\ufb01le"), Member("file")),
    "file then directory": tar(Member("a"), folder("a")),
    "directory then file": tar(folder("a"), Member("a")),
    "file then below it": tar(Member("a"), Member("a/b")),
    "below it then file": tar(Member("a/b"), Member("a")),
    # damage
    "cut in a header": tar(GOOD)[:300],
    "cut in the content": tar(Member("f", b"x" * 5000))[:2048],
    "cut in the padding": tar(Member("f", b"x"))[:600],
    "without an end": tar(GOOD)[:1024],
    "empty": b"",
    "no archive": b"hello " * 200,
    "checksum": b"x" + tar(GOOD)[1:],
    "size is no number": header(tar(GOOD), 124, b"hello world "),
    "negative size": header(tar(GOOD), 124, b"\xff" * 12),
    "endless size": header(tar(GOOD), 124, b"\x80" + b"\x7f" + b"\xff" * 10),
    "size by pax is no number": tar(Member("x", pax={"size": "-5"})),
    "pax without end": header(tar(Member("x", pax={"comment": "y"})), 124, b"77777777777\0"),
    "damaged pax": tar(Member("x", pax={"comment": "y"})).replace(b"13 comment=y", b"99 comment=y"),
    "gzip cut": gzip.compress(tar(Member("f", os.urandom(5000))))[:-1000],
    "gzip damaged": gzip.compress(tar(Member("f", os.urandom(5000))))[:2000] + b"\0" * 20 + gzip.compress(tar(GOOD))[2020:],
    "xz cut": lzma.compress(tar(Member("f", os.urandom(5000))))[:-1000],
    "bzip2 cut": bz2.compress(tar(Member("f", os.urandom(5000))))[:-1000],
    "zstd": b"\x28\xb5\x2f\xfd" + b"\0" * 100,
    # too much
    "bomb gzip": gzip.compress(tar(Member("f", bytes(20 << 20)))),
    "bomb bzip2": bz2.compress(tar(Member("f", bytes(20 << 20)))),
    "bomb xz": lzma.compress(tar(Member("f", bytes(20 << 20)))),
    "bomb in two gzips": gzip.compress(gzip.compress(tar(Member("f", bytes(40 << 20))))),
    "too many": tar(*(Member(f"f{n}", b"") for n in range(names.ENTRIES_MAX + 1)), form=USTAR),
    "too many directories": gzip.compress(tar(*(folder(f"d{n}") for n in range(names.ENTRIES_MAX + 1)), form=USTAR), 1),
}  # fmt: skip

BAD_ZIP = {
    "dotdot": zipped(Member("../evil")),
    "dotdot deep": zipped(Member("a/../../evil")),
    "absolute": zipped(Member(OUTSIDE)),
    "backslash": zipped(Member("..\\evil")),
    "drive": zipped(Member("C:/evil")),
    "nul": NUL_ZIP,
    "control": zipped(Member("a\rb")),
    "symlink": zipped(Member("l", type=SYM, link="/etc")),
    "symlink then through it": zipped(Member("l", type=SYM, link="/tmp"), Member("l/evil")),
    "fifo": zipped(Member("p", b"", type=FIFO)),
    "device": zipped(Member("d", b"", type=CHAR)),
    "directory that is called a file": zipped(Member("d", b"", type=tarfile.DIRTYPE)),
    "file that is called a directory": zipped(Member("d/", b"")),
    "directory with content": zipped(Member("d/", b"123", type=tarfile.DIRTYPE)),
    "case": zipped(Member("a"), Member("A")),
    "file then below it": zipped(Member("a"), Member("a/b")),
    "encrypted": zipped(GOOD, encrypted=True),
    "bzip2 inside": zipped(GOOD, how=zipfile.ZIP_BZIP2),
    "lzma inside": zipped(GOOD, how=zipfile.ZIP_LZMA),
    "bomb": zipped(Member("f", bytes(20 << 20))),
    "overlapping": overlapping(),
    "cut": zipped(GOOD)[:-30],
    "no zip": b"hello" * 100,
    "empty": b"",
    "damaged content": zipped(Member("f", b"abcdefgh" * 10), how=zipfile.ZIP_STORED).replace(b"abcdefgh" * 10, b"abcdefgX" * 10),
    "another name inside": renamed(zipped(Member("aaaaaaaa")), b"aaaaaaaa", b"bbbbbbbb").replace(b"bbbbbbbb", b"cccccccc", 1),
    "too many": zipped(*(Member(f"f{n}", b"") for n in range(names.ENTRIES_MAX + 1)), how=zipfile.ZIP_STORED),
    "lying about sizes": lying_about_its_size(),
}  # fmt: skip


class Ground:
    """A folder to extract into, in a folder that must not change, beside a canary."""

    def __init__(self, path):
        self.path = path
        self.root = path / "outer" / "root"
        self.root.mkdir(parents=True)
        (path / "canary").write_bytes(b"precious")

    def extract(self, data, kind, stopped=lambda: False):
        source = self.path / "archive"
        source.write_bytes(data)
        fd = os.open(source, os.O_RDONLY)
        try:
            with open_folder(str(self.root)) as root:
                return extract(fd, kind, root, Wanted(), stopped)
        finally:
            os.close(fd)

    def check_nothing_got_out(self):
        assert sorted(os.listdir(self.path)) == ["archive", "canary", "outer"]
        assert (self.path / "canary").read_bytes() == b"precious"
        assert os.listdir(self.path / "outer") == ["root"]
        assert not os.path.lexists(OUTSIDE)
        for at, folders, files in os.walk(self.root):
            for name in (*folders, *files):
                mode = os.lstat(os.path.join(at, name)).st_mode
                assert stat.S_ISREG(mode) or stat.S_ISDIR(mode)
                assert mode & 0o7000 == 0

    def contents(self):
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}


@pytest.fixture
def ground(tmp_path):
    return Ground(tmp_path)


def test_the_corpus_is_as_large_as_promised():
    assert len(BAD) + len(BAD_ZIP) >= 60


@pytest.mark.parametrize("name", BAD)
def test_a_bad_tar_is_refused_and_nothing_gets_out(ground, name):
    with pytest.raises(TaskFailed) as caught:
        ground.extract(BAD[name], Archive.TAR)
    assert caught.value.message.startswith("cannot extract"), caught.value.message
    ground.check_nothing_got_out()


@pytest.mark.parametrize("name", BAD_ZIP)
def test_a_bad_zip_is_refused_and_nothing_gets_out(ground, name):
    with pytest.raises(TaskFailed) as caught:
        ground.extract(BAD_ZIP[name], Archive.ZIP)
    assert caught.value.message.startswith("cannot extract"), caught.value.message
    ground.check_nothing_got_out()


GOOD_TREE = (
    folder("./"),
    folder("d"),
    folder("d/locked", 0o555),
    Member("d/locked/f", b"inside", mode=0o444),
    Member("d/x.sh", b"#!/bin/sh\n", mode=0o4755),
    Member("implicit/deep/ä", b"uml"),
    Member("long/" + "n" * 200, b"long"),
    Member("empty", b""),
    Member("big", b"0123456789abcdef" * 100_000),
)


@pytest.mark.parametrize(
    ("form", "pack"),
    [
        (tarfile.PAX_FORMAT, lambda data: data),
        (GNU, lambda data: data),
        (tarfile.PAX_FORMAT, lambda data: gzip.compress(data, 1)),
        (tarfile.PAX_FORMAT, bz2.compress),
        (tarfile.PAX_FORMAT, lzma.compress),
        (GNU, lambda data: gzip.compress(data[:1024]) + gzip.compress(data[1024:])),
    ],
    ids=["pax", "gnu", "gzip", "bzip2", "xz", "two gzip members"],
)
def test_a_good_tar_comes_out_whole(ground, form, pack, monkeypatch):
    monkeypatch.setattr(unpacked, "SMALL_BYTES", 64 << 20)
    done = ground.extract(tar(*GOOD_TREE, form=form, pack=pack), Archive.TAR)
    files = {m.name: m.data for m in GOOD_TREE if m.type == tarfile.REGTYPE}
    assert ground.contents() == files
    assert (done.files, done.bytes) == (len(files), sum(map(len, files.values())))
    modes = {
        name: stat.S_IMODE((ground.root / name).stat().st_mode) for name in ("d", "d/locked", "d/locked/f", "d/x.sh")
    }
    assert modes == {"d": 0o755, "d/locked": 0o555, "d/locked/f": 0o444, "d/x.sh": 0o755}
    ground.check_nothing_got_out()


def test_a_good_zip_comes_out_whole(ground, monkeypatch):
    monkeypatch.setattr(unpacked, "SMALL_BYTES", 64 << 20)
    members = [Member("d/", b"", tarfile.DIRTYPE, mode=0o755), *(m for m in GOOD_TREE if m.type == tarfile.REGTYPE)]
    ground.extract(zipped(*members), Archive.ZIP)
    assert ground.contents() == {m.name: m.data for m in GOOD_TREE if m.type == tarfile.REGTYPE}
    assert stat.S_IMODE((ground.root / "d/x.sh").stat().st_mode) == 0o755
    ground.check_nothing_got_out()


def test_an_old_tar_without_a_magic_is_read(ground):
    data = header(tar(Member("old", b"data"), form=USTAR), 257, b"\0" * 8)
    ground.extract(data, Archive.TAR)
    assert ground.contents() == {"old": b"data"}


def test_an_extraction_that_is_stopped_ends_soon(ground):
    looks = iter([False, False, True])
    with pytest.raises(Stopped):
        ground.extract(tar(*(Member(f"f{n}") for n in range(50))), Archive.TAR, lambda: next(looks, True))
    assert len(ground.contents()) < 5


def test_bytes_are_counted_as_they_come_and_not_as_promised(ground, monkeypatch):
    monkeypatch.setattr(extraction, "allowed_bytes", lambda packed: 1000)
    with pytest.raises(TaskFailed, match="more comes out"):
        ground.extract(tar(Member("f", b"x" * 1001)), Archive.TAR)
    with pytest.raises(TaskFailed, match="more comes out"):
        Ground(ground.path / "again").extract(zipped(Member("f", os.urandom(1001))), Archive.ZIP)


PARTS = st.sampled_from(["a", "A", "b", "..", ".", "", "ä", "x" * 40, "\\", "C:", "a\0b", "\n", "etc", "tmp"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
KINDS = st.sampled_from([tarfile.REGTYPE] * 6 + [tarfile.DIRTYPE, SYM, HARD, FIFO, CHAR, b"S", b"Q"])
MEMBERS = st.lists(
    st.builds(Member, name=NAMES, data=st.binary(max_size=700), type=KINDS, link=NAMES, mode=st.integers(0, 0o7777)),
    max_size=6,
)


def _tried(path, data, kind):
    place = path / f"case{len(os.listdir(path))}"
    place.mkdir()
    ground = Ground(place)
    try:
        ground.extract(data, kind)
    except TaskFailed:
        pass
    ground.check_nothing_got_out()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=MEMBERS, form=st.sampled_from([GNU, tarfile.PAX_FORMAT]), cut=st.none() | st.integers(0, 4096))
def test_no_generated_tar_gets_out(tmp_path, members, form, cut):
    _tried(tmp_path, tar(*members, form=form)[:cut], Archive.TAR)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(members=MEMBERS, cut=st.none() | st.integers(0, 2048))
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_no_generated_zip_gets_out(tmp_path, members, cut):
    _tried(tmp_path, zipped(*members)[:cut], Archive.ZIP)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 2047), value=st.integers(0, 255), count=st.integers(1, 8))
def test_no_damaged_header_gets_out_or_runs_away(tmp_path, at, value, count):
    data = bytearray(tar(Member("a/b", b"x" * 600), Member("c" * 120, b"y"), form=GNU))
    data[at : at + count] = bytes([value]) * count
    for block in range(0, len(data), 512):
        if data[block + 257 : block + 262] == b"ustar":
            data[block + 148 : block + 156] = b" " * 8
            data[block + 148 : block + 156] = b"%06o\0 " % sum(data[block : block + 512])
    _tried(tmp_path, bytes(data), Archive.TAR)

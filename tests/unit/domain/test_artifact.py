"""Source paths, file specs and the pruning decision."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.artifact import (
    PLAIN_CHUNK_BYTES,
    Archive,
    Blob,
    FileOp,
    FileSpec,
    Revision,
    as_mapping,
    check_file,
    check_source_path,
    chunk_count,
    clear,
    file_line,
    from_mapping,
)
from corral.domain.errors import Invalid
from corral.domain.job import CommandSpec, JobSpec
from corral.domain.kinds import check_job, kind_name

NOW = datetime(2026, 11, 21, tzinfo=UTC)
SPEC = FileSpec(op=FileOp.APPLY, source="app.conf", dest="/etc/app.conf")


@pytest.mark.parametrize("path", ["a", "a/b.conf", "/srv/ü/x", "a b", "x" * 512])
def test_a_source_path_is_names_joined_by_slashes(path: str) -> None:
    assert check_source_path(path) == path


@pytest.mark.parametrize("path", ["", "/", "a//b", "a/", "../a", "a/./b", "a\0", "a\nb", "x" * 513, "//a"])
def test_what_could_mean_two_things_is_no_source_path(path: str) -> None:
    with pytest.raises(Invalid):
        check_source_path(path)


@pytest.mark.parametrize(
    ("changes", "element"),
    [
        ({"dest": "etc/x"}, "dest"),
        ({"dest": "/etc/../x"}, "dest"),
        ({"dest": "/"}, "dest"),
        ({"dest": "/a\nb"}, "dest"),
        ({"dest": "/" + "x" * 4095}, "dest"),
        ({"source": ""}, "source"),
        ({"op": FileOp.COPY, "source": "relative"}, "source"),
        ({"digest": "F" * 64}, "digest"),
        ({"owner": ":"}, "owner"),
        ({"owner": "a b"}, "owner"),
        ({"owner": "-rf"}, "owner"),
        ({"mode": "0888"}, "mode"),
        ({"mode": "64"}, "mode"),
        ({"validate": "visudo -cf"}, "validate"),
        ({"notify": "x" * 5000}, "notify"),
        ({"revision": -1}, "revision"),
        ({"bandwidth": 5}, "bandwidth"),
        ({"archive": Archive.TAR, "template": True}, "template"),
        ({"archive": Archive.ZIP, "diff": True}, "diff"),
    ],
)
def test_a_bad_file_spec_is_refused_naming_the_field(changes: dict[str, object], element: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_file(replace(SPEC, **changes))  # type: ignore[arg-type]  # the test varies any field
    assert caught.value.element == element


@pytest.mark.parametrize("owner", ["root", "www-data:www-data", ":adm", "1000:1000", "svc$"])
def test_owners_are_names_or_numbers(owner: str) -> None:
    check_file(replace(SPEC, owner=owner, mode="0640", dest="/srv/{{ node.id }}/x"))


BLOBS = st.builds(
    Blob,
    nuid=st.from_regex(r"[a-z0-9]{4,22}", fullmatch=True),
    key=st.binary(min_size=32, max_size=32),
    chunks=st.integers(0, 10**6),
)
PARTS = st.dictionaries(st.sampled_from(["nuid", "key", "chunks"]), st.text() | st.integers())
SPECS = st.builds(
    FileSpec,
    op=st.sampled_from(FileOp),
    dest=st.text(),
    source=st.text(),
    revision=st.integers(0, 2**31),
    digest=st.text(max_size=64),
    size=st.integers(0, 2**40),
    blob=st.none() | BLOBS,
    owner=st.text(max_size=5),
    mode=st.sampled_from(["", "0644"]),
    backup=st.booleans(),
    dry_run=st.booleans(),
    diff=st.booleans(),
    template=st.booleans(),
    archive=st.sampled_from(Archive),
    bandwidth=st.integers(0, 2**40),
    recursive=st.booleans(),
    timeout_seconds=st.floats(0.1, 1e5),
)  # fmt: skip


@given(SPECS)
def test_a_file_spec_survives_the_wire(spec: FileSpec) -> None:
    assert from_mapping(as_mapping(spec)) == spec


@given(
    st.dictionaries(
        st.sampled_from(["op", "dest", "source", "size", "blob", "backup", "mode", "timeout", "archive", "revision"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["apply", "tar"]) | PARTS,
    )
)  # fmt: skip
def test_whatever_comes_is_a_spec_or_invalid(data: dict[str, object]) -> None:
    try:
        from_mapping(data)
    except Invalid:
        pass


def test_a_blob_whose_name_could_be_a_subject_is_refused() -> None:
    data = as_mapping(replace(SPEC, blob=Blob(nuid="abc", key=b"k" * 32, chunks=1)))
    for nuid in ("*", "a.b", ">", "", "a b"):
        with pytest.raises(Invalid):
            from_mapping({**data, "blob": {**data["blob"], "nuid": nuid}})


def test_a_chunk_more_is_needed_for_a_byte_more() -> None:
    assert [chunk_count(size) for size in (0, 1, PLAIN_CHUNK_BYTES, PLAIN_CHUNK_BYTES + 1)] == [0, 1, 1, 2]


def test_labels_go_along_only_where_something_may_ask_for_them() -> None:
    assert not SPEC.wants_labels
    assert replace(SPEC, template=True).wants_labels
    assert replace(SPEC, dest="/srv/{{ labels.role }}").wants_labels


def test_people_read_what_a_file_task_does() -> None:
    assert file_line(replace(SPEC, revision=3)) == "file apply app.conf r3 → /etc/app.conf"
    assert file_line(replace(SPEC, op=FileOp.DELETE)) == "file delete /etc/app.conf"


def test_a_kind_takes_its_own_spec_alone() -> None:
    assert check_job(JobSpec(target="all", kind="file", command=SPEC)).permission == "file.apply"
    assert kind_name(CommandSpec(argv=("true",))) == "exec"
    for kind in ("exec", "nothing"):
        with pytest.raises(Invalid) as caught:
            check_job(JobSpec(target="all", kind=kind, command=SPEC))
        assert caught.value.element == "kind"
    with pytest.raises(Invalid):
        check_job(JobSpec(target="all", kind="file", command=replace(SPEC, timeout_seconds=0)))


def revisions(**counts: int) -> list[Revision]:
    return [
        Revision(source_path=path, revision=number, digest="d", size=1, created_at=NOW, created_by="ada")
        for path, count in counts.items()
        for number in range(1, count + 1)
    ]


def keys(found: list[Revision]) -> list[tuple[str, int]]:
    return [(item.source_path, item.revision) for item in found]


def test_keep_leaves_the_newest_of_each_artifact() -> None:
    gone, held = clear(revisions(a=4, b=1), keep=2, unused=False)
    assert (keys(gone), held) == ([("a", 2), ("a", 1)], [])


def test_unused_takes_what_no_job_ever_applied_but_the_newest() -> None:
    gone, _ = clear(revisions(a=4, b=1), keep=None, unused=True, referenced={("a", 2)})
    assert keys(gone) == [("a", 3), ("a", 1)]


def test_both_take_what_both_say() -> None:
    gone, _ = clear(revisions(a=4), keep=1, unused=True, referenced={("a", 2)})
    assert keys(gone) == [("a", 3), ("a", 1)]


def test_nothing_said_is_refused() -> None:
    with pytest.raises(Invalid):
        clear([], keep=None, unused=False)


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 6), min_size=1),
    st.none() | st.integers(0, 7),
    st.booleans(),
    st.sets(st.tuples(st.sampled_from("abc"), st.integers(1, 6))),
)
def test_what_is_in_use_never_goes(
    counts: dict[str, int], keep: int | None, unused: bool, in_use: set[tuple[str, int]]
) -> None:
    if keep is None and not unused:
        return
    have = revisions(**counts)
    gone, held = clear(have, keep=keep, unused=unused, in_use=in_use)
    assert not set(keys(gone)) & in_use
    assert set(keys(held)) <= in_use
    free, _ = clear(have, keep=keep, unused=unused)
    assert set(keys(gone)) | set(keys(held)) == set(keys(free))

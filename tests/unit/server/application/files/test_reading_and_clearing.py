"""History, diffs, and what may be removed."""

import pytest

from corral.domain.errors import Conflict, Invalid, NotFound
from corral.server.application.ports.access import Caller

ANN = Caller(name="ann")


async def test_history_tells_the_newest_first(files):
    for text in (b"one", b"two", b"three"):
        await files.upload("a", text)
    page = await files.room.revisions.history(ANN, "a", limit=2)
    assert [item.revision for item in page.items] == [3, 2]
    rest = await files.room.revisions.history(ANN, "a", limit=2, cursor=page.next)
    assert [item.revision for item in rest.items] == [1]


async def test_a_diff_is_from_the_revision_before_unless_said_otherwise(files):
    for text in (b"a\nb\n", b"a\nc\n", b"a\nd\n"):
        await files.upload("a", text)
    found = await files.room.revisions.diff(ANN, "a", 0)
    assert (found.old.revision, found.new.revision) == (2, 3)
    assert "-c\n+d\n" in found.text
    assert "-b\n+d\n" in (await files.room.revisions.diff(ANN, "a", 1)).text
    assert (await files.room.revisions.diff(ANN, "a", 2, 2)).same


async def test_binary_and_huge_revisions_are_only_said_to_differ(files):
    for data in (b"text\n", b"\0\xff", b"x\n" * 300_000):
        await files.upload("a", data)
    for old, new in ((1, 2), (1, 3)):
        found = await files.room.revisions.diff(ANN, "a", old, new)
        assert (found.binary, found.text, found.same) == (True, "", False)


async def test_the_oldest_revision_has_none_before_it(files):
    await files.upload("a", b"x")
    with pytest.raises(NotFound):
        await files.room.revisions.diff(ANN, "a", 0)


async def test_clearing_removes_old_revisions_and_bytes_nobody_names(files):
    for text in (b"one", b"two", b"three"):
        await files.upload("a", text)
    await files.upload("b", b"one")
    gone = await files.room.clearing.clear(ANN, keep=1)
    assert [(item.source_path, item.revision) for item in gone] == [("a", 2), ("a", 1)]
    assert await files.stored() == 2, "'one' is still a revision of b"
    _, content = await files.room.revisions.content(ANN, "b")
    assert b"".join([part async for part in content]) == b"one"


async def test_nothing_is_removed_while_something_of_it_is_in_use(files):
    for text in (b"one", b"two", b"three"):
        await files.upload("a", text)
    files.uses[("a", 2)] = "J123"
    with pytest.raises(Conflict) as caught:
        await files.room.clearing.clear(ANN, keep=1)
    assert "J123" in caught.value.message
    assert await files.stored() == 3
    files.uses.clear()
    assert len(await files.room.clearing.clear(ANN, keep=1)) == 2


async def test_unused_is_what_no_job_ever_shipped(files):
    for text in (b"one", b"two", b"three", b"four"):
        await files.upload("a", text)
    await files.store.applied("a", 2, now=files.clock.now())
    gone = await files.room.clearing.clear(ANN, unused=True)
    assert [item.revision for item in gone] == [3, 1]


async def test_clearing_asks_what(files):
    with pytest.raises(Invalid):
        await files.room.clearing.clear(ANN)
    with pytest.raises(NotFound):
        await files.room.clearing.clear(ANN, source_path="nothing", keep=1)

"""From the announcement to the revision: checked, stored once, healed."""

import asyncio
import hashlib

import pytest

from corral.domain.errors import Conflict, Invalid, NotFound, TooLarge, WrongState
from corral.server.application.ports.access import Caller

ANN, BOB = Caller(name="ann"), Caller(name="bob")
DATA = b"server_name one;\n"
DIGEST = hashlib.sha256(DATA).hexdigest()


async def test_what_was_uploaded_is_a_revision_with_its_bytes(files):
    made = await files.upload("nginx.conf", DATA, mode="0640")
    assert (made.revision, made.digest, made.size, made.mode, made.created_by) == (1, DIGEST, len(DATA), "0640", "ann")
    revision, content = await files.room.revisions.content(ANN, "nginx.conf")
    assert revision == made
    assert b"".join([part async for part in content]) == DATA


async def test_equal_bytes_are_stored_once_under_every_name(files):
    await files.upload("a", DATA)
    begun = await files.room.uploads.begin(BOB, source_path="b", size=len(DATA), digest=DIGEST)
    assert begun.known
    assert (await files.room.uploads.commit(BOB, begun.upload.id)).source_path == "b"
    assert await files.stored() == 1


async def test_committing_the_same_content_again_makes_no_revision(files):
    first = await files.upload("a", DATA)
    assert await files.upload("a", DATA) == first
    assert (await files.upload("a", DATA + b"x")).revision == 2


async def test_bytes_that_are_not_those_announced_are_refused_and_forgotten(files):
    begun = await files.room.uploads.begin(ANN, source_path="a", size=len(DATA), digest="0" * 64)
    await files.room.uploads.append(ANN, begun.upload.id, 0, DATA)
    with pytest.raises(Invalid) as caught:
        await files.room.uploads.commit(ANN, begun.upload.id)
    assert caught.value.element == "sha256"
    assert await files.stored() == 0
    with pytest.raises(NotFound):
        await files.room.uploads.get(ANN, begun.upload.id)
    with pytest.raises(NotFound):
        await files.room.revisions.history(ANN, "a")


async def test_a_commit_before_the_last_byte_waits_for_it(files):
    begun = await files.room.uploads.begin(ANN, source_path="a", size=len(DATA), digest=DIGEST)
    await files.room.uploads.append(ANN, begun.upload.id, 0, DATA[:3])
    with pytest.raises(WrongState) as caught:
        await files.room.uploads.commit(ANN, begun.upload.id)
    assert caught.value.element == "upload"
    await files.room.uploads.append(ANN, begun.upload.id, 3, DATA[3:])
    assert (await files.room.uploads.commit(ANN, begun.upload.id)).revision == 1


async def test_announcing_again_continues_the_unfinished_upload(files):
    begun = await files.room.uploads.begin(ANN, source_path="a", size=len(DATA), digest=DIGEST)
    await files.room.uploads.append(ANN, begun.upload.id, 0, DATA[:3])
    again = await files.room.uploads.begin(ANN, source_path="a", size=len(DATA), digest=DIGEST)
    assert (again.upload.id, again.upload.offset) == (begun.upload.id, 3)
    with pytest.raises(Conflict):
        await files.room.uploads.append(ANN, begun.upload.id, 0, DATA)


async def test_nobody_touches_the_upload_of_another(files):
    begun = await files.room.uploads.begin(ANN, source_path="a", size=len(DATA), digest=DIGEST)
    for attempt in (
        files.room.uploads.get(BOB, begun.upload.id),
        files.room.uploads.append(BOB, begun.upload.id, 0, DATA),
        files.room.uploads.commit(BOB, begun.upload.id),
    ):
        with pytest.raises(NotFound):
            await attempt


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"source_path": "../x"}, Invalid),
        ({"digest": "x"}, Invalid),
        ({"size": -1}, Invalid),
        ({"mode": "999"}, Invalid),
        ({"size": 2 << 20}, TooLarge),
    ],
)
async def test_what_cannot_be_stored_is_not_begun(files, change, error):
    with pytest.raises(error):
        await files.room.uploads.begin(ANN, **{"source_path": "a", "size": 1, "digest": DIGEST, **change})


async def test_after_a_wipe_a_revision_is_missing_until_the_same_bytes_come_again(files):
    await files.upload("a", DATA)
    await files.upload("b", DATA)
    await files.wipe()
    assert [item.missing for item in (await files.room.revisions.artifacts(ANN)).items] == [True, True]
    with pytest.raises(NotFound):
        await files.room.revisions.content(ANN, "a")
    healed = await files.upload("a", DATA)
    assert (healed.revision, healed.missing) == (1, False)
    assert [item.missing for item in (await files.room.revisions.artifacts(ANN)).items] == [False, False]


async def test_racing_commits_of_equal_bytes_store_them_once(files):
    uploads = [
        await files.room.uploads.begin(ANN, source_path=f"p{number}", size=len(DATA), digest=DIGEST)
        for number in range(5)
    ]
    for begun in uploads:
        await files.room.uploads.append(ANN, begun.upload.id, 0, DATA)
    made = await asyncio.gather(*(files.room.uploads.commit(ANN, begun.upload.id) for begun in uploads))
    assert {item.revision for item in made} == {1}
    assert await files.stored() == 1

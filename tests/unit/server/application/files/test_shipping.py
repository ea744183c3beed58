"""What a file job ships is settled when it is submitted."""

from dataclasses import replace

import pytest

from corral.domain.artifact import Archive, FileOp, FileSpec, as_asked
from corral.domain.errors import Conflict, Invalid, NotFound, WrongState
from corral.domain.job import CommandSpec, JobSpec
from corral.server.application.ports.access import Caller

ANN = Caller(name="ann")
SPEC = FileSpec(op=FileOp.APPLY, source="a", dest="/etc/a")


def job(spec):
    return JobSpec(target="all", kind="file", command=spec)


async def test_the_newest_revision_becomes_its_number_digest_and_size(files):
    await files.upload("a", b"one")
    made = await files.upload("a", b"two!", mode="0600", archive=Archive.TAR)
    done = (await files.shipping.complete(ANN, job(SPEC))).command
    assert done == replace(SPEC, revision=2, digest=made.digest, size=4, mode="0600", archive=Archive.TAR)
    assert (await files.shipping.complete(ANN, job(replace(SPEC, revision=1, mode="0644")))).command.mode == "0644"
    assert await files.store.ever_applied() == {("a", 1), ("a", 2)}


async def test_commands_and_other_operations_pass_through(files):
    for spec in (
        job(FileSpec(op=FileOp.DELETE, dest="/x")),
        JobSpec(target="all", command=CommandSpec(argv=("true",))),
    ):
        assert await files.shipping.complete(ANN, spec) == spec


async def test_what_is_not_there_is_not_shipped(files):
    with pytest.raises(NotFound):
        await files.shipping.complete(ANN, job(SPEC))
    await files.upload("a", b"one")
    with pytest.raises(NotFound):
        await files.shipping.complete(ANN, job(replace(SPEC, revision=7)))
    with pytest.raises(Conflict):
        await files.shipping.complete(ANN, job(replace(SPEC, digest="0" * 64)))
    await files.wipe()
    with pytest.raises(WrongState) as caught:
        await files.shipping.complete(ANN, job(SPEC))
    assert "upload" in caught.value.hint


async def test_an_archive_is_no_template(files):
    await files.upload("a", b"one", archive=Archive.TAR)
    with pytest.raises(Invalid):
        await files.shipping.complete(ANN, job(replace(SPEC, template=True)))


def test_a_repeated_submission_of_the_newest_is_the_same_although_there_is_a_newer_one():
    first = replace(SPEC, revision=2, digest="a" * 64, size=4, mode="0600")
    assert as_asked(SPEC, first) == first
    assert as_asked(replace(SPEC, revision=3), first) != first
    assert as_asked(replace(SPEC, dest="/etc/b"), first) != first

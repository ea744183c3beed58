import pytest

from corral.domain.artifact import FileOp, FileSpec, check_file
from corral.domain.artifact_use import shared_out, ships
from corral.domain.errors import Invalid
from corral.domain.job import CommandSpec

MIB = 1 << 20


def spec(**fields):
    return FileSpec(op=FileOp.APPLY, dest="/x", source="a", **fields)


@pytest.mark.parametrize(
    ("job", "own", "at_once", "share"),
    [
        (3 * MIB, 0, 3, MIB),
        (3 * MIB, MIB // 2, 3, MIB // 2),
        (3 * MIB, 2 * MIB, 3, MIB),
        (0, MIB, 3, MIB),
        (MIB, 0, 0, MIB),
    ],
)
def test_a_jobs_bandwidth_is_divided_evenly_and_a_nodes_own_limit_still_holds(job, own, at_once, share):
    assert shared_out(spec(job_bandwidth=job, bandwidth=own), at_once).bandwidth == share


def test_a_share_that_is_next_to_nothing_is_refused_with_the_way_out():
    with pytest.raises(Invalid, match="among 1000 nodes") as caught:
        shared_out(spec(job_bandwidth=MIB), 1000)
    assert (caught.value.element, "--concurrency" in (caught.value.hint or "")) == ("job_bandwidth", True)


def test_a_limit_below_the_least_is_refused_naming_its_field():
    with pytest.raises(Invalid) as caught:
        check_file(spec(job_bandwidth=1))
    assert caught.value.element == "job_bandwidth"


def test_only_an_apply_with_a_settled_revision_ships_something():
    assert ships(spec(revision=3)) == ("a", 3)
    assert ships(spec()) is None
    assert ships(FileSpec(op=FileOp.FETCH, dest="/x", source="a", revision=3)) is None
    assert ships(CommandSpec(argv=("true",))) is None

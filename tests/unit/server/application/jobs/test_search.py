"""Finding a text in output: across chunks, whatever its case, within a budget that says how far it came."""

from datetime import timedelta

import pytest

from corral.domain.errors import Denied, Invalid, NothingMatched
from corral.server.application.jobs.listing import EVERY_JOB
from corral.server.application.jobs.search import HITS_OF_JOB, LINE_CHARS, OutputSearch
from corral.server.application.jobs.sight import JobSight
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import JobFilter, OutputChunk

ANA = Caller(name="ana")


class Log:
    """What jobs printed, in pieces of three bytes."""

    def __init__(self):
        self.chunks = {}

    def print(self, job, node, text, stream="stdout", size=3):
        data = text.encode()
        have = self.chunks.setdefault(job, [])
        for at in range(0, len(data), size):
            piece = OutputChunk(
                sequence=len(have) + 1, node=node, attempt=1, stream=stream, offset=at, data=data[at : at + size]
            )
            have.append(piece)

    async def read(self, job, *, node=None, after=0, limit=1000):
        return [c for c in self.chunks.get(job, []) if c.sequence > after][:limit]


class Slow:
    """Every look at the clock costs a second."""

    def __init__(self):
        self.at = 0.0

    def monotonic(self):
        self.at += 1.0
        return self.at


@pytest.fixture
async def searched(world):
    log = Log()
    jobs = []
    for number in range(4):
        job = await world.submit(name=str(number))
        await world.clock.advance(1)
        jobs.append(job.id)
    clock = Slow()
    search = OutputSearch(queries=world.queries, log=log, sight=JobSight(queries=world.queries), clock=clock)
    return log, jobs, search


async def everything(search, text, only=EVERY_JOB, caller=ANA, seconds=1000.0):
    found, cursor, pages = [], None, 0
    while True:
        page = await search.find(caller, text, only, cursor=cursor, seconds=seconds)
        found += page.items
        pages += 1
        cursor = page.next
        if cursor is None:
            return found, pages


async def test_a_text_is_found_across_chunks_in_the_newest_jobs_first(searched):
    log, jobs, search = searched
    log.print(jobs[0], "n1", "all well\nNo Space left on device\n")
    log.print(jobs[2], "n2", "no space LEFT\n", stream="stderr")
    log.print(jobs[2], "n1", "nothing\n")
    found, _ = await everything(search, "space left")
    assert [(one.job.id, [(h.node, h.stream, h.line) for h in one.hits]) for one in found] == [
        (jobs[2], [("n2", "stderr", "no space LEFT")]),
        (jobs[0], [("n1", "stdout", "No Space left on device")]),
    ]


async def test_a_last_line_without_an_end_is_looked_at_too(searched):
    log, jobs, search = searched
    log.print(jobs[1], "n1", "password expired")
    found, _ = await everything(search, "EXPIRED")
    assert [one.hits[0].line for one in found] == ["password expired"]


async def test_a_long_line_is_cut_around_what_was_found_and_many_hits_are_counted_off(searched):
    log, jobs, search = searched
    log.print(jobs[1], "n1", "x" * 5000 + "needle" + "y" * 5000 + "\n" + "needle\n" * 20, size=1000)
    [one], _ = await everything(search, "needle")
    assert len(one.hits) == HITS_OF_JOB and one.more
    assert "needle" in one.hits[0].line and len(one.hits[0].line) <= LINE_CHARS + 2


async def test_a_search_that_takes_too_long_says_where_to_go_on_and_misses_nothing(searched):
    log, jobs, search = searched
    for job in jobs:
        log.print(job, "n1", "here\n")
    found, pages = await everything(search, "here", seconds=0.5)
    assert ([one.job.id for one in found], pages) == (jobs[::-1], len(jobs))


async def test_only_jobs_that_are_asked_for_are_read(searched, world):
    log, jobs, search = searched
    for job in jobs:
        log.print(job, "n1", "here\n")
    assert (await everything(search, "here", JobFilter(by="nobody")))[0] == []
    now = world.clock.now()
    assert (await everything(search, "here", JobFilter(since=now + timedelta(days=1))))[0] == []
    assert (
        len(
            (await everything(search, "here", JobFilter(since=now - timedelta(days=1), until=now + timedelta(days=1))))[
                0
            ]
        )
        == 4
    )


async def test_output_of_other_nodes_is_not_looked_at(searched):
    log, jobs, search = searched
    log.print(jobs[0], "n1", "here\n")
    log.print(jobs[0], "n2", "here too\n")
    [one], _ = await everything(search, "here", JobFilter(nodes=frozenset({"n2"})))
    assert [hit.node for hit in one.hits] == ["n2"]


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "x" * 201])
async def test_what_is_no_line_of_text_is_refused(searched, text):
    _, _, search = searched
    with pytest.raises(Invalid) as caught:
        await search.find(ANA, text, JobFilter())
    assert caught.value.element == "text"


async def test_it_needs_the_permission_to_read_output(searched):
    _, _, search = searched
    with pytest.raises(Denied):
        await search.find(Caller(name="bob", permissions=frozenset({"exec.read"})), "x", JobFilter())


async def test_a_selector_that_picks_nobody_is_an_error(world):
    with pytest.raises(NothingMatched):
        world.room.listing.only(on="nobody")

"""Revisions of artifacts, on every database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from corral.domain.artifact import Archive, FileOp, FileSpec, Revision
from corral.domain.errors import Conflict, Invalid, NotFound
from corral.domain.job import Job
from corral.domain.node import Node
from corral.domain.task import Outcome, TaskState
from corral.server.application.ports.jobs import NewTask, Reported
from corral.testing.store_set import StoreSet


def made(path: str, content: str, now: datetime, **fields: object) -> Revision:
    base = Revision(
        source_path=path,
        revision=0,
        digest=content * 64,
        size=len(content),
        created_at=now,
        created_by="ada",
        mode="0640",
    )
    return replace(base, **fields)  # type: ignore[arg-type]  # the test varies any field


async def test_revisions_count_from_one_and_read_back(stores: StoreSet, now: datetime) -> None:
    first = await stores.revisions.add(made("etc/ä.conf", "a", now, archive=Archive.TAR))
    second = await stores.revisions.add(made("etc/ä.conf", "b", now))
    assert first == made("etc/ä.conf", "a", now, revision=1, archive=Archive.TAR)
    assert second.revision == 2
    assert await stores.revisions.get("etc/ä.conf") == second
    assert await stores.revisions.get("etc/ä.conf", 1) == first
    for path, revision in (("etc/ä.conf", 3), ("other", 0), ("other\0", 1)):
        with pytest.raises(NotFound):
            await stores.revisions.get(path, revision)


async def test_the_same_content_again_is_the_same_revision(stores: StoreSet, now: datetime) -> None:
    first = await stores.revisions.add(made("a", "a", now))
    assert await stores.revisions.add(made("a", "a", now)) == first
    assert (await stores.revisions.add(made("a", "b", now))).revision == 2
    assert (await stores.revisions.add(made("a", "a", now))).revision == 3, "going back is a new revision"
    assert (await stores.revisions.add(made("a", "a", now, mode="0600"))).revision == 4


async def test_racing_commits_of_one_path_never_share_a_number(stores: StoreSet, now: datetime) -> None:
    contents = "0123456789abcdef"
    added = await asyncio.gather(*(stores.revisions.add(made("a", content, now)) for content in contents))
    assert sorted(revision.revision for revision in added) == list(range(1, 17))


async def test_a_number_is_not_given_again_after_its_revision_was_removed(stores: StoreSet, now: datetime) -> None:
    await stores.revisions.add(made("a", "a", now))
    await stores.revisions.add(made("a", "b", now))
    await stores.revisions.remove([("a", 2), ("a", 9)])
    assert (await stores.revisions.add(made("a", "b", now))).revision == 3


async def test_removing_tells_which_bytes_nobody_names_any_more(stores: StoreSet, now: datetime) -> None:
    for path, content in (("a", "a"), ("a", "b"), ("b", "a"), ("b", "c")):
        await stores.revisions.add(made(path, content, now))
    assert await stores.revisions.remove([("a", 1), ("a", 2)]) == ["b" * 64]
    assert await stores.revisions.remove([("b", 1), ("b", 2)]) == ["a" * 64, "c" * 64]
    assert await stores.revisions.remove([]) == []


async def test_pages_continue_where_they_ended(stores: StoreSet, now: datetime) -> None:
    for number in range(7):
        await stores.revisions.add(made("a", str(number), now))
        await stores.revisions.add(made(f"b{number}", "x", now))
    seen: list[int] = []
    cursor = None
    while True:
        page = await stores.revisions.revisions("a", limit=3, cursor=cursor)
        seen += [item.revision for item in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    first = await stores.revisions.artifacts(limit=5)
    rest = await stores.revisions.artifacts(limit=5, cursor=first.next)
    assert [(item.source_path, item.revision) for item in (*first.items, *rest.items)] == [
        ("a", 7),
        *((f"b{number}", 1) for number in range(7)),
    ]
    assert rest.next is None
    with pytest.raises(NotFound):
        await stores.revisions.revisions("nothing", limit=3)


async def test_what_a_job_shipped_is_remembered(stores: StoreSet, now: datetime) -> None:
    await stores.revisions.add(made("a", "a", now))
    await stores.revisions.add(made("b", "a", now))
    await stores.revisions.applied("a", 1, now=now)
    await stores.revisions.applied("a", 2, now=now)
    assert await stores.revisions.ever_applied() == {("a", 1)}
    assert await stores.revisions.ever_applied("b") == frozenset()
    assert [(item.source_path, item.revision) for item in await stores.revisions.all()] == [("a", 1), ("b", 1)]
    assert [item.source_path for item in await stores.revisions.all("b")] == ["b"]


async def test_open_file_jobs_use_their_revision_and_ended_ones_do_not(
    stores: StoreSet, now: datetime, make_job: Callable[..., Job]
) -> None:
    spec = FileSpec(op=FileOp.APPLY, source="a", revision=3, digest="a" * 64, size=1, dest="/x", diff=True)
    for number in range(4):
        await stores.revisions.add(made("a", str(number), now))
    file = make_job(kind="file", spec=spec)
    ended = make_job(kind="file", spec=replace(spec, revision=4))
    other = make_job(kind="file", spec=FileSpec(op=FileOp.DELETE, dest="/x"))
    for job in (file, other, make_job()):
        await stores.jobs.add(job, [NewTask(node="n1")], operation=None)
    await stores.jobs.add(ended, [NewTask(node="n1", state=TaskState.EXPIRED, due=False)], operation=None)
    assert await stores.file_usage.in_use() == {("a", 3): file.id}
    assert (await stores.queries.get(file.id)).spec == spec
    due = await stores.jobs.due(now=now + timedelta(minutes=5), limit=10)
    assert {(delivery.kind, type(delivery.spec).__name__) for delivery in due} >= {
        ("file", "FileSpec"),
        ("exec", "CommandSpec"),
    }


async def test_a_job_and_a_clearing_that_race_never_leave_a_job_without_its_revision(
    stores: StoreSet, now: datetime, make_job: Callable[..., Job]
) -> None:
    """Either the job is there and its revision stays, or the revision is gone and the job was refused."""
    for number in range(1, 17):
        await stores.revisions.add(made("a", "0123456789abcdef"[number - 1], now))
        spec = FileSpec(op=FileOp.APPLY, source="a", revision=number, digest="a" * 64, size=1, dest="/x")
        job = make_job(kind="file", spec=spec)
        adding = stores.jobs.add(job, [NewTask(node="n1")], operation=None)
        clearing = stores.revisions.remove([("a", number)])
        order = (adding, clearing) if number % 2 else (clearing, adding)
        results = await asyncio.gather(*order, return_exceptions=True)
        refused = [isinstance(result, Conflict) for result in results]
        assert sorted(refused) == [False, True], results
        there = {item.revision for item in await stores.revisions.all("a")}
        stored = job.id in (await stores.file_usage.in_use()).values()
        assert (number in there) == stored


async def test_a_file_job_of_a_cleared_revision_is_refused_and_leaves_nothing(
    stores: StoreSet, make_job: Callable[..., Job]
) -> None:
    spec = FileSpec(op=FileOp.APPLY, source="a", revision=7, digest="a" * 64, size=1, dest="/x")
    job = make_job(kind="file", spec=spec)
    with pytest.raises(Conflict, match="cleared meanwhile"):
        await stores.jobs.add(job, [NewTask(node="n1")], operation="once")
    with pytest.raises(NotFound):
        await stores.queries.get(job.id)


class Placing:
    """File jobs that end, one after the other, as their nodes say."""

    def __init__(self, stores: StoreSet, make_job: Callable[..., Job], now: datetime) -> None:
        self.stores, self.make_job, self.now, self.step = stores, make_job, now, 0

    async def ends(
        self, spec: FileSpec, results: dict[str, dict[str, Any]], state: TaskState = TaskState.SUCCEEDED
    ) -> str:
        self.step += 1
        job = self.make_job(kind="file", spec=spec)
        await self.stores.jobs.add(job, [NewTask(node=node) for node in results], operation=None)
        at = self.now + timedelta(seconds=self.step)
        await self.stores.jobs.apply(
            [
                Reported(
                    node=node,
                    outcome=Outcome(
                        job=job.id, attempt=1, seq=1, state=state, finished_at=at.timestamp(), result=result
                    ),
                )
                for node, result in results.items()
            ],
            now=at,
        )
        return job.id


@pytest.fixture
async def placing(stores: StoreSet, make_job: Callable[..., Job], now: datetime) -> Placing:
    await stores.nodes.add_all(
        [Node(id=f"n{i}", enrolled_at=now, daemon_key=f"D{i}", worker_key=f"W{i}") for i in range(1, 5)]
    )
    for content in "abc":
        await stores.revisions.add(made("app.conf", content, now))
    return Placing(stores, make_job, now)


def applying(revision: int, dest: str = "/etc/ä.conf") -> FileSpec:
    return FileSpec(op=FileOp.APPLY, dest=dest, source="app.conf", revision=revision, digest="abc"[revision - 1] * 64)


def left(content: str | None, dest: str = "/etc/ä.conf") -> dict[str, Any]:
    return {"dest": dest, "new": content and content * 64, "changed": True}


async def where(stores: StoreSet, revision: int = 0) -> list[tuple[str, int]]:
    page = await stores.placements.of("app.conf", revision=revision)
    return [(one.node, one.held.revision) for one in page.items]


async def test_where_a_revision_is_follows_the_ends_of_file_tasks(placing: Placing, stores: StoreSet) -> None:
    await placing.ends(applying(1), {node: left("a") for node in ("n1", "n2", "n3", "stranger")})
    last = await placing.ends(applying(2), {"n1": left("b"), "n2": left("b")})
    await placing.ends(applying(3), {"n3": {**left("c"), "changed": False}}, TaskState.FAILED)
    assert await where(stores) == [("n1", 2), ("n2", 2), ("n3", 1)]
    assert await where(stores, 2) == [("n1", 2), ("n2", 2)]
    found = (await stores.placements.of("app.conf", revision=2)).items[0]
    assert (found.dest, found.job, found.held.digest) == ("/etc/ä.conf", last, "b" * 64)
    assert list((await stores.placements.of("other")).items) == []


async def test_rollbacks_deletions_and_removed_nodes_are_followed(placing: Placing, stores: StoreSet) -> None:
    back = FileSpec(op=FileOp.ROLLBACK, dest="/etc/ä.conf")
    gone = FileSpec(op=FileOp.DELETE, dest="/etc/ä.conf")
    everybody = ("n1", "n2", "n3", "n4")
    for revision, content in enumerate("abc", 1):
        await placing.ends(applying(revision), {node: left(content) for node in everybody})
    await placing.ends(back, {"n1": left("b"), "n2": left("b")})
    await placing.ends(back, {"n2": left("a"), "n3": left("f")})
    await placing.ends(gone, {"n4": left(None)})
    assert await where(stores) == [("n1", 2), ("n2", 1)], "n3 went back to bytes nobody knows, n4 has nothing"
    await placing.ends(back, {"n4": left("c")})
    assert await where(stores, 3) == [("n4", 3)]
    await stores.nodes.remove("n1")
    assert await where(stores) == [("n2", 1), ("n4", 3)]


async def test_an_older_end_that_comes_later_moves_nothing(placing: Placing, stores: StoreSet) -> None:
    await placing.ends(applying(1), {"n1": left("a")})
    await placing.ends(applying(3), {"n1": left("c")})
    placing.step = 0
    await placing.ends(applying(2), {"n1": left("b")})
    assert await where(stores) == [("n1", 3)]


async def test_placements_are_read_page_by_page_and_long_paths_are_kept(placing: Placing, stores: StoreSet) -> None:
    paths = [f"/srv/{'x' * 4000}/{number}" for number in range(5)]
    for path in paths:
        await placing.ends(applying(1, path), {"n1": left("a", path), "n2": left("a", path)})
    found, cursor = [], None
    while True:
        page = await stores.placements.of("app.conf", limit=3, cursor=cursor)
        found += page.items
        if (cursor := page.next) is None:
            break
    assert sorted((one.node, one.dest) for one in found) == [(node, path) for node in ("n1", "n2") for path in paths]
    with pytest.raises(Invalid):
        await stores.placements.of("app.conf", cursor="nonsense")


async def test_what_is_on_a_node_is_read_page_by_page_without_what_is_gone(placing: Placing, stores: StoreSet) -> None:
    paths = [f"/srv/{number}" for number in range(5)]
    for path in paths:
        await placing.ends(applying(1, path), {"n1": left("a", path), "n2": left("a", path)})
    await placing.ends(FileSpec(op=FileOp.DELETE, dest=paths[0]), {"n1": left(None, paths[0])})
    found, cursor = [], None
    while True:
        page = await stores.placements.on("n1", limit=3, cursor=cursor)
        found += page.items
        if (cursor := page.next) is None:
            break
    assert sorted((one.node, one.dest, one.held.source_path) for one in found) == [
        ("n1", path, "app.conf") for path in paths[1:]
    ]
    assert list((await stores.placements.on("n9")).items) == []
    with pytest.raises(Invalid):
        await stores.placements.on("n1", cursor="nonsense")

"""The jobs routes: decode, one use case, encode."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final, TypeVar

from litestar.params import HeaderParameter
from litestar.response import Stream

from corral.domain.errors import Invalid
from corral.domain.job import JobState
from corral.domain.kinds import needed
from corral.domain.task import TaskState
from corral.server.application.audit import about
from corral.server.application.jobs.room import JobRoom
from corral.server.application.jobs.sight import READ
from corral.server.application.ports.access import Caller
from corral.server.application.ports.jobs import JobFilter
from corral.server.interface.rest.envelope import Envelope, ok
from corral.server.interface.rest.jobs_events import events
from corral.server.interface.rest.jobs_submitted import SubmittedView, submitted_view
from corral.server.interface.rest.jobs_types import (
    FoundView,
    JobView,
    NodesBody,
    NodeTaskView,
    PreviewView,
    SubmitBody,
    WhyView,
    found_view,
    job_view,
    node_task_view,
    why_view,
)
from corral.server.interface.rest.moments import moment
from corral.server.interface.rest.route import Route
from corral.server.interface.rest.sse import last_event_id, sse

E = TypeVar("E", bound=StrEnum)
Key = Annotated[str | None, HeaderParameter(name="Idempotency-Key", required=False)]
LastEventId = Annotated[str | None, HeaderParameter(name="Last-Event-ID", required=False)]
TAGS: Final = ("jobs",)
RUNS: Final = ("file.apply", "service.run", "http.run", "sql.run", "search.run", "document.run", "cluster.run")
"""What opens the rows that serve every kind, beside exec.run; the use case asks for the words of the kind at hand."""


async def submit(jobs: JobRoom, caller: Caller, data: SubmitBody, idempotency_key: Key = None) -> Envelope[JobView]:
    """Accepted = committed: when this answers, the job and one task per node are stored."""
    operation = None if not idempotency_key else _operation(caller, idempotency_key)
    submitted = await jobs.submission.submit(caller, data.spec(), operation)
    tasks = submitted.tasks
    if tasks is None:
        words = (READ, *needed(submitted.job.spec))
        tasks = (await jobs.listing.get(caller, submitted.job.id, permissions=words)).tasks
    answer = job_view(submitted.job, tasks)
    if submitted.approval is not None:
        answer.approval = submitted.approval.id
    return ok(answer)


async def preview(jobs: JobRoom, caller: Caller, data: SubmitBody) -> Envelope[PreviewView]:
    """Who this submission would hit, now; nothing is stored."""
    found = await jobs.submission.preview(caller, data.spec())
    return ok(
        PreviewView(
            nodes=list(found.nodes),
            online=found.online,
            offline=list(found.offline),
            waits_for=found.hold.why if found.hold else "",
        )
    )


async def list_jobs(
    jobs: JobRoom,
    caller: Caller,
    states: list[str] | None = None,
    on: str | None = None,
    by: str | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Envelope[list[JobView]]:
    """Newest first, without their tasks. `on` is a selector: jobs with a task on a node it picks now; times are RFC 3339."""
    only = _only(jobs, states, on, by, since, until)
    page = await jobs.listing.list(caller, only, limit=limit, cursor=cursor)
    return ok([job_view(job) for job in page.items], next=page.next)


async def search_output(
    jobs: JobRoom,
    caller: Caller,
    text: str,
    states: list[str] | None = None,
    on: str | None = None,
    by: str | None = None,
    since: str | None = None,
    until: str | None = None,
    cursor: str | None = None,
) -> Envelope[list[FoundView]]:
    """Jobs whose output holds `text` in one line, the newest first. A page takes about two seconds; `next` goes on."""
    page = await jobs.search.find(caller, text, _only(jobs, states, on, by, since, until), cursor=cursor)
    return ok([found_view(found) for found in page.items], next=page.next)


def _only(
    jobs: JobRoom, states: list[str] | None, on: str | None, by: str | None, since: str | None, until: str | None
) -> JobFilter:
    return jobs.listing.only(
        states=_states(JobState, states),
        on=on or None,
        by=by or None,
        since=moment(since, "since"),
        until=moment(until, "until"),
    )


async def get_job(
    jobs: JobRoom,
    caller: Caller,
    job: str,
    states: list[str] | None = None,
    with_output: bool = False,
    limit: int = 1000,
    cursor: str | None = None,
) -> Envelope[JobView]:
    """The job with a page of its tasks (at most 1,000; 250 with output); `next` continues them."""
    if with_output:
        about.reads("output")
    found = await jobs.listing.get(
        caller, job, states=_states(TaskState, states), with_output=with_output, limit=limit, cursor=cursor
    )
    return ok(job_view(found.job, found.tasks, found.output), next=found.next)


async def submission(jobs: JobRoom, caller: Caller, job: str) -> Envelope[SubmittedView]:
    """What it was submitted as: the body of a POST /jobs that does the same again."""
    return ok(submitted_view(await jobs.listing.submitted(caller, job)))


async def node_tasks(
    jobs: JobRoom, caller: Caller, node: str, limit: int = 50, cursor: str | None = None
) -> Envelope[list[NodeTaskView]]:
    """What ran on a node, that of the newest job first."""
    page = await jobs.listing.of_node(caller, node, limit=limit, cursor=cursor)
    return ok([node_task_view(job, task) for job, task in page.items], next=page.next)


async def cancel(jobs: JobRoom, caller: Caller, job: str, data: NodesBody | None = None) -> Envelope[JobView]:
    """Withdraw what has not started, stop what runs. Each task ends with its own receipt."""
    await jobs.cancellation.cancel(caller, job, None if data is None else data.nodes)
    found = await jobs.listing.get(caller, job, permissions=(READ, "exec.cancel"))
    return ok(job_view(found.job, found.tasks))


async def retry(jobs: JobRoom, caller: Caller, job: str, data: NodesBody | None = None) -> Envelope[JobView]:
    """A new attempt for each task that ended without success; the job is open again."""
    retried = await jobs.retry.retry(caller, job, None if data is None else data.nodes)
    found = await jobs.listing.get(caller, job, permissions=(READ, *needed(retried.spec)))
    return ok(job_view(found.job, found.tasks))


async def why(jobs: JobRoom, caller: Caller, job: str, node: str | None = None) -> Envelope[WhyView]:
    """Why the job, or its task on one node, is where it is, in sentences."""
    return ok(why_view(await jobs.explanation.why(caller, job, node)))


async def job_events(
    jobs: JobRoom,
    caller: Caller,
    job: str,
    output: bool = False,
    after: int | None = None,
    resume: LastEventId = None,
) -> Stream:
    """Server-Sent Events: snapshot, then task, job and (with output=1) output, then end."""
    if output:
        about.reads("output")
    watched = await jobs.watching.job(caller, job, output=output, after=last_event_id(resume, after))
    return sse(events(watched))


async def output(
    jobs: JobRoom,
    caller: Caller,
    job: str,
    node: str | None = None,
    after: int | None = None,
    follow: bool = False,
    resume: LastEventId = None,
) -> Stream:
    """Server-Sent Events: output of all nodes or one, then end; with follow=1 only once the job is over."""
    watched = await jobs.watching.output(caller, job, node=node, after=last_event_id(resume, after), follow=follow)
    return sse(events(watched))


async def raw_output(
    jobs: JobRoom, caller: Caller, job: str, node: str, stream: str = "stdout", attempt: int | None = None
) -> Stream:
    """The exact bytes one attempt wrote to one stream, as far as they are stored."""
    data = await jobs.output.raw(caller, job, node, stream, attempt)
    headers = {
        "Content-Disposition": f'attachment; filename="{job}.{node}.{stream}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Stream(data, media_type="application/octet-stream", headers=headers)


def _operation(caller: Caller, key: str) -> str:
    # Per caller, and of one length whatever was sent.
    return hashlib.sha256(f"{caller.user}\n{caller.name}\n{key}".encode()).hexdigest()


def _states(kind: type[E], given: Sequence[str] | None) -> list[E]:
    """`states=a,b` and `states=a&states=b` alike."""
    words = [word for text in given or () for word in text.split(",") if word]
    known = {state.value: state for state in kind}
    for word in words:
        if word not in known:
            raise Invalid(
                f"cannot filter by state {word[:40]!r}: expected one of {', '.join(known)}",
                element="states",
                hint="for example states=failed,lost",
            )
    return [known[word] for word in words]


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="POST",
        path="/jobs",
        permission="exec.run",
        handler=submit,
        summary="Run a command, or a file task, on nodes",
        also=RUNS,
        status=201,
        tags=TAGS,
    ),
    Route(
        method="POST",
        path="/jobs/preview",
        permission="node.read",
        handler=preview,
        summary="Who a submission would hit",
        tags=TAGS,
    ),
    Route(method="GET", path="/jobs", permission="exec.read", handler=list_jobs, summary="List jobs", tags=TAGS),
    Route(
        method="GET",
        path="/output/search",
        permission="output.read",
        handler=search_output,
        summary="Find a text in what jobs printed",
        audit=True,
        tags=TAGS,
    ),
    Route(
        method="GET", path="/jobs/{job:str}", permission="exec.read", handler=get_job, summary="Show a job", tags=TAGS
    ),
    Route(
        method="GET",
        path="/jobs/{job:str}/submission",
        permission="exec.read",
        handler=submission,
        summary="What a job was submitted as",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/nodes/{node}/tasks",
        permission="exec.read",
        handler=node_tasks,
        summary="What ran on a node",
        tags=TAGS,
    ),
    Route(
        method="POST",
        path="/jobs/{job:str}/cancel",
        permission="exec.cancel",
        handler=cancel,
        summary="Cancel a job, or its tasks on some nodes",
        tags=TAGS,
    ),
    Route(
        method="POST",
        path="/jobs/{job:str}/retry",
        permission="exec.run",
        handler=retry,
        summary="Run again what did not succeed",
        also=RUNS,
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/jobs/{job:str}/why",
        permission="exec.read",
        handler=why,
        summary="Why a job or a task is where it is",
        tags=TAGS,
    ),
    Route(
        method="GET",
        path="/jobs/{job:str}/events",
        permission="exec.read",
        handler=job_events,
        summary="Watch a job",
        tags=TAGS,
        raw=True,
    ),
    Route(
        method="GET",
        path="/jobs/{job:str}/output",
        permission="output.read",
        handler=output,
        summary="Read or follow output",
        audit=True,
        tags=TAGS,
        raw=True,
    ),
    Route(
        method="GET",
        path="/jobs/{job:str}/output/raw",
        permission="output.read",
        handler=raw_output,
        summary="The exact bytes of one stream",
        audit=True,
        tags=TAGS,
        raw=True,
    ),
)

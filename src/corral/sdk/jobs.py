"""Jobs: submit, follow, wait, cancel, retry, read their output."""

from __future__ import annotations

import asyncio
import base64
import shlex
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from corral.domain.errors import Invalid
from corral.runtime.lifecycle import TaskSet
from corral.sdk.api import Api, part
from corral.sdk.events import Ended, JobEvent, JobView, LineBook, Output, OutputLedger, TasksChanged, decode
from corral.sdk.models import Job, Line, Preview, Task, Why

OUTPUT_GRACE_SECONDS: Final = 2.0
"""How long the last output may lag behind the end of its task while other tasks stay queued."""
GONE_SECONDS: Final = 30.0
"""Nodes that were online at submission but went away before their task reached them are waited for that long."""
PAGE: Final = 500


class Submittable(Protocol):
    """Anything that says what a job does: a Submission, a FileTask (sdk.files)."""

    def body(self) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What to run and where: exactly one of argv, shell, script. None = the server's default. Times are seconds, sizes bytes."""

    target: str
    argv: Sequence[str] | None = None
    shell: str | None = None
    script: str | None = None
    interpreter: str | None = None
    name: str | None = None
    timeout: float | None = None
    grace: float | None = None
    concurrency: int | None = None
    offline: str | None = None
    expires: float | None = None
    retries: int | None = None
    env: Mapping[str, str] | None = None
    cwd: str | None = None
    user: str | None = None
    stdin: bytes | None = None
    max_output: int | None = None
    host: bool | None = None

    def body(self) -> dict[str, Any]:
        out = {key: value for key, value in vars(self).items() if value is not None}
        if self.argv is not None:
            out["argv"] = list(self.argv)
        if self.env is not None:
            out["env"] = dict(self.env)
        if self.stdin is not None:
            out["stdin"] = base64.b64encode(self.stdin).decode()
        return out


@dataclass(frozen=True, kw_only=True)
class KindTask:
    """A task of an executor's kind; `kinds()` shows each with the schema of its params. None = the server's default."""

    target: str
    kind: str
    params: Mapping[str, Any]
    connection: str | None = None
    dry_run: bool | None = None
    user: str | None = None
    name: str | None = None
    timeout: float | None = None
    grace: float | None = None
    concurrency: int | None = None
    offline: str | None = None
    expires: float | None = None
    retries: int | None = None
    max_output: int | None = None

    def body(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if value is not None} | {"params": dict(self.params)}


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """A submission as the server holds it (Jobs.submitted), on `target` when that is given."""

    submission: Mapping[str, Any]
    target: str | None = None

    def body(self) -> dict[str, Any]:
        return dict(self.submission) if self.target is None else {**self.submission, "target": self.target}


def submission(command: str | Sequence[str] | None, *, on: str, shell: bool = False, **limits: Any) -> Submission:
    """`"df -h /"` or `["df", "-h", "/"]` → argv; with shell=True the text goes to /bin/sh -c as it is."""
    if command is None:
        return Submission(target=on, **limits)
    if shell:
        text = command if isinstance(command, str) else " ".join(command)
        return Submission(target=on, shell=text, **limits)
    if isinstance(command, str):
        try:
            command = shlex.split(command)
        except ValueError as error:
            raise Invalid(
                f"cannot split {command!r} into words: {error}", element="command", hint="pass a list of words"
            ) from None
    return Submission(target=on, argv=tuple(command), **limits)


class JobHandle:
    """A job on the server. Dropping the handle changes nothing there."""

    def __init__(self, api: Api, job: Job) -> None:
        self._api = api
        self.id = job.job
        self.view = JobView(job)

    @property
    def job(self) -> Job:
        """The job with its tasks, as last heard of."""
        return self.view.result()

    async def events(self, *, output: bool = True, after: int | None = None) -> AsyncGenerator[JobEvent, None]:
        """Everything that happens, from a snapshot to `Ended`; output in order and without repetition."""
        ledger = OutputLedger(from_start=after is None)
        query = {"output": output, "after": after}
        async with aclosing(self._api.stream(f"/jobs/{part(self.id)}/events", query=query)) as stream:
            async for raw in stream:
                for event in decode(raw, ledger):
                    self.view.apply(event)
                    yield event
                    if isinstance(event, Ended):
                        return

    async def follow(self, *, everyone: bool = False, output: bool = True) -> AsyncGenerator[JobEvent, None]:
        """events() until nothing is left to wait for: all tasks (`everyone`), or those of nodes online at submission."""
        tasks = TaskSet(f"follow {self.id}")
        queue: asyncio.Queue[JobEvent | BaseException | None] = asyncio.Queue(maxsize=256)
        tasks.start(self._pump(queue, output), name="events")
        clock = self._api.clock
        settled_at: float | None = None
        stalled_at: float | None = None
        try:
            while True:
                if settled_at is None and self.view.settled(everyone=everyone):
                    settled_at = clock.monotonic()
                left: float | None = None
                if settled_at is None and not everyone and self.view.stalled():
                    stalled_at = clock.monotonic() if stalled_at is None else stalled_at
                    left = GONE_SECONDS - (clock.monotonic() - stalled_at)
                    if left <= 0:
                        return
                else:
                    stalled_at = None
                if settled_at is not None and not self.view.ended:
                    left = OUTPUT_GRACE_SECONDS - (clock.monotonic() - settled_at)
                    if (not output or self.view.output_complete()) and queue.empty():
                        left = left if self.view.all_over() else 0
                    if left <= 0:
                        return
                try:
                    async with asyncio.timeout(left):
                        event = await queue.get()
                except TimeoutError:
                    continue
                if event is None:
                    return
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            await tasks.close()

    async def _pump(self, queue: asyncio.Queue[JobEvent | BaseException | None], output: bool) -> None:
        try:
            async with aclosing(self.events(output=output)) as events:
                async for event in events:
                    await queue.put(event)
            await queue.put(None)
        except Exception as error:
            await queue.put(error)

    async def wait(self, *, everyone: bool = True) -> Job:
        """The job once all its tasks are over (or, everyone=False, those of the nodes online at submission)."""
        async with aclosing(self.follow(everyone=everyone, output=False)) as events:
            async for _ in events:
                pass
        return self.job

    async def refresh(self, *, with_output: bool = False) -> Job:
        """The job as it stands on the server now, with its tasks."""
        job = await Jobs(self._api).get(self.id, with_output=with_output)
        self.view = JobView(job)
        return job

    async def cancel(self, nodes: Sequence[str] = ()) -> Job:
        return await Jobs(self._api).cancel(self.id, nodes)

    async def retry(self, nodes: Sequence[str] = ()) -> JobHandle:
        return await Jobs(self._api).retry(self.id, nodes)

    async def why(self, node: str | None = None) -> Why:
        return await Jobs(self._api).why(self.id, node)


class Run:
    """A submission and its output, line by line: `async for line in run`; then `run.job` holds the outcome.

    It raises nothing because a command failed: a partial result is a result. Ends when the nodes that were online at
    submission are done, or with everyone=True when all are.
    """

    def __init__(self, jobs: Jobs, what: Submission, *, everyone: bool = False) -> None:
        self._jobs = jobs
        self._what = what
        self._everyone = everyone
        self.handle: JobHandle | None = None

    @property
    def job(self) -> Job:
        """The job as last heard of; its tasks carry states, exit codes and times."""
        if self.handle is None:
            raise Invalid("cannot read the outcome of a run that was not started", hint="async for line in run: …")
        return self.handle.view.result()

    async def __aiter__(self) -> AsyncGenerator[Line, None]:
        self.handle = handle = await self._jobs.submit(self._what)
        book = LineBook()
        async with aclosing(handle.follow(everyone=self._everyone)) as events:
            async for event in events:
                if isinstance(event, Output):
                    for line in book.feed(event):
                        yield line
                elif isinstance(event, TasksChanged):
                    for task in event.tasks:
                        for line in book.flush(task.node) if handle.view.complete(task) else ():
                            yield line
        for line in book.flush():
            yield line


def _filter(
    states: Sequence[str], on: str | None, by: str | None, since: datetime | None, until: datetime | None
) -> dict[str, Any]:
    return {
        "states": tuple(states) or None,
        "on": on,
        "by": by,
        "since": None if since is None else since.isoformat(),
        "until": None if until is None else until.isoformat(),
    }


class Jobs:
    """`fleet.jobs`."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def submit(self, what: Submittable) -> JobHandle:
        """Accepted = committed: when this returns, the job and a task per node are on disk at the server."""
        return JobHandle(self._api, Job.from_json(await self._api.call("POST", "/jobs", body=what.body())))

    async def preview(self, what: Submittable) -> Preview:
        """Whom this submission would hit; nothing runs."""
        return Preview.from_json(await self._api.call("POST", "/jobs/preview", body=what.body()))

    async def kinds(self) -> Sequence[Mapping[str, Any]]:
        """What can be submitted: name, summary, permission, allowed, engines, schema of each kind."""
        found: Sequence[Mapping[str, Any]] = await self._api.call("GET", "/kinds")
        return found

    async def list(
        self,
        *,
        limit: int | None = 50,
        states: Sequence[str] = (),
        on: str | None = None,
        by: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Job]:
        """Newest first. `on`: a selector, jobs with a task on a node it picks now; `by`: who submitted them."""
        rows = await self._api.pages("/jobs", query=_filter(states, on, by, since, until), limit=limit)
        return [Job.from_json(row) for row in rows]

    async def search(
        self,
        text: str,
        *,
        states: Sequence[str] = (),
        on: str | None = None,
        by: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncGenerator[Mapping[str, Any], None]:
        """Jobs whose output holds `text`: {"job", "hits": [{"node", "stream", "line"}], "more"}, the newest first, as they are found."""
        query = {"text": text, **_filter(states, on, by, since, until)}
        while True:
            answer = await self._api.envelope("GET", "/output/search", query=query)
            for row in answer["data"]:
                yield row
            if not (cursor := answer.get("next")):
                return
            query["cursor"] = cursor

    async def get(self, job: str, *, with_output: bool = False, states: Sequence[str] = ()) -> Job:
        """One job with all its tasks (every page of them)."""
        query = {"with_output": with_output, "states": tuple(states) or None, "limit": PAGE}
        path = f"/jobs/{part(job)}"
        answer = await self._api.envelope("GET", path, query=query)
        data = dict(answer["data"])
        tasks = list(data.get("tasks") or ())
        while cursor := answer.get("next"):
            answer = await self._api.envelope("GET", path, query={**query, "cursor": cursor})
            tasks += answer["data"].get("tasks") or ()
        return Job.from_json({**data, "tasks": tasks})

    async def submitted(self, job: str) -> Mapping[str, Any]:
        """What a job was submitted as: {"submission": body of POST /jobs, "left_out": parts the caller may not see}."""
        found: Mapping[str, Any] = await self._api.call("GET", f"/jobs/{part(job)}/submission")
        return found

    async def of_node(self, node: str, *, limit: int | None = 50) -> Sequence[Mapping[str, Any]]:
        """What ran on a node, the newest first: {"job": …, "task": …}."""
        return await self._api.pages(f"/nodes/{part(node)}/tasks", query={}, limit=limit)

    async def handle(self, job: str) -> JobHandle:
        """A handle on a job submitted earlier. Raises NotFound."""
        return JobHandle(self._api, await self.get(job))

    async def cancel(self, job: str, nodes: Sequence[str] = ()) -> Job:
        body = {"nodes": list(nodes)} if nodes else {}
        return Job.from_json(await self._api.call("POST", f"/jobs/{part(job)}/cancel", body=body))

    async def retry(self, job: str, nodes: Sequence[str] = ()) -> JobHandle:
        """A new attempt for each task that did not succeed (of `nodes`, or all). The job is open again."""
        body = {"nodes": list(nodes)} if nodes else {}
        await self._api.call("POST", f"/jobs/{part(job)}/retry", body=body)
        return await self.handle(job)

    async def why(self, job: str, node: str | None = None) -> Why:
        return Why.from_json(await self._api.call("GET", f"/jobs/{part(job)}/why", query={"node": node}))

    async def output(
        self,
        job: str,
        *,
        node: str | None = None,
        follow: bool = False,
        after: int | None = None,
    ) -> AsyncGenerator[Output, None]:
        """Stored output, in order per stream; with follow=True until the job ends."""
        query = {"node": node, "follow": follow, "after": after}
        ledger = OutputLedger(from_start=after is None)
        async with aclosing(self._api.stream(f"/jobs/{part(job)}/output", query=query)) as stream:
            async for raw in stream:
                for event in decode(raw, ledger) if raw.event == "output" else ledger.flush():
                    if isinstance(event, Output):
                        yield event

    async def raw_output(self, job: str, node: str, stream: str = "stdout") -> AsyncGenerator[bytes, None]:
        """The exact bytes of one stream of one node's last attempt."""
        query = {"node": node, "stream": stream}
        async with aclosing(self._api.octets(f"/jobs/{part(job)}/output/raw", query=query)) as chunks:
            async for chunk in chunks:
                yield chunk


def failed(tasks: Sequence[Task]) -> list[Task]:
    """Those that are over without success."""
    return [task for task in tasks if not task.open and not task.succeeded]

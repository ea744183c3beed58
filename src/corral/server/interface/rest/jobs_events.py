"""A watched job as Server-Sent Events: snapshot, task, job, output, end. The id is the output sequence, which a reconnect resumes from.

Only `output` events move the id: everything else is in the snapshot that a reconnect begins with.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from corral.server.application.jobs.watch import End, JobChanged, Snapshot, TasksChanged, WatchEvent
from corral.server.application.ports.jobs import OutputChunk
from corral.server.interface.rest.jobs_types import JobView, TaskView, job_view, task_view
from corral.server.interface.rest.sse import SseEvent

_ENCODER = msgspec.json.Encoder()


class SnapshotEvent(msgspec.Struct, kw_only=True):
    job: JobView
    tasks: list[TaskView]


class TasksEvent(msgspec.Struct, kw_only=True):
    tasks: list[TaskView]


class OutputEvent(msgspec.Struct, kw_only=True):
    """`data` is base64; `skipped` bytes before `offset` were left out by the node (beyond the cap).

    `at` is when the server stored it, in seconds since the epoch; 0 where the log does not say.
    """

    node: str
    attempt: int
    stream: str
    offset: int
    data: str
    skipped: int
    at: float = 0.0


async def events(watched: AsyncGenerator[WatchEvent, None]) -> AsyncGenerator[SseEvent, None]:
    """Closing it closes what it watches."""
    async with aclosing(watched):
        async for event in watched:
            yield encode(event)


def encode(event: WatchEvent) -> SseEvent:
    if isinstance(event, OutputChunk):
        chunk = OutputEvent(
            node=event.node,
            attempt=event.attempt,
            stream=event.stream,
            offset=event.offset,
            data=base64.b64encode(event.data).decode(),
            skipped=event.skipped,
            at=event.at,
        )
        return "output", event.sequence, _ENCODER.encode(chunk)
    if isinstance(event, TasksChanged):
        return "task", None, _ENCODER.encode(TasksEvent(tasks=[task_view(task) for task in event.tasks]))
    if isinstance(event, Snapshot):
        tasks = [task_view(task) for task in event.tasks]
        return "snapshot", None, _ENCODER.encode(SnapshotEvent(job=job_view(event.job), tasks=tasks))
    if isinstance(event, JobChanged):
        return "job", None, _ENCODER.encode(job_view(event.job))
    assert isinstance(event, End)
    return "end", None, _ENCODER.encode(job_view(event.job))

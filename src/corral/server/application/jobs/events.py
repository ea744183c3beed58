"""Who watches a job hears of its changes: task changes coalesced per node, the end of the job at once.

A subscriber never holds more than `limit` changes: one that falls behind further is told to take a new snapshot instead, so a
reader that never reads costs a bounded amount of memory. Changes that another server made do not pass here; watch.py looks at
the database now and then for those.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from corral.domain.job import Job
from corral.domain.task import Task
from corral.server.application.jobs.counters import Counters
from corral.server.application.ports.jobs import Changed

LIMIT: Final = 4096


@dataclass(frozen=True, slots=True)
class News:
    """What happened since the last `take`. `resync`: too much; read the job again."""

    tasks: tuple[Task, ...] = ()
    ended: Job | None = None
    resync: bool = False

    def __bool__(self) -> bool:
        return bool(self.tasks) or self.ended is not None or self.resync


class Subscription:
    """One watcher of one job. `wake` is set whenever there is news; the watcher may share it with other sources."""

    def __init__(self, job: str, *, limit: int = LIMIT) -> None:
        self.job = job
        self.wake = asyncio.Event()
        self._limit = limit
        self._tasks: dict[str, Task] = {}
        self._ended: Job | None = None
        self._resync = False

    def take(self) -> News:
        """All news so far; afterwards there is none."""
        news = News(tuple(self._tasks.values()), self._ended, self._resync)
        self._tasks, self._ended, self._resync = {}, None, False
        return news

    def put(self, task: Task) -> bool:
        """Keep the newest change of each node; False when this one made the subscriber fall behind."""
        self.wake.set()
        if self._resync:
            return True
        self._tasks[task.node] = task
        if len(self._tasks) <= self._limit:
            return True
        self._tasks, self._resync = {}, True
        return False

    def end(self, job: Job) -> None:
        self._ended = job
        self.wake.set()


class EventHub:
    """Hands changes to the watchers of their job; costs nothing for a job nobody watches."""

    def __init__(self, *, counters: Counters, limit: int = LIMIT) -> None:
        self._counters = counters
        self._limit = limit
        self._subscribers: dict[str, set[Subscription]] = {}

    def subscribe(self, job: str) -> Subscription:
        """Hear of `job` from now on, until `unsubscribe`."""
        subscription = Subscription(job, limit=self._limit)
        self._subscribers.setdefault(job, set()).add(subscription)
        self._counters.add("watchers")
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Safe to call twice."""
        watchers = self._subscribers.get(subscription.job, set())
        if subscription not in watchers:
            return
        watchers.discard(subscription)
        self._counters.add("watchers", -1)
        if not watchers:
            del self._subscribers[subscription.job]

    def publish(self, changed: Changed) -> None:
        """Never waits and never fails; call it after the change is committed."""
        self._counters.add("jobs_ended_total", len(changed.ended))
        if not self._subscribers:
            return
        for task in changed.tasks:
            for subscription in self._subscribers.get(task.job, ()):
                if not subscription.put(task):
                    self._counters.add("event_resyncs_total")
        for job in changed.ended:
            for subscription in self._subscribers.get(job.id, ()):
                subscription.end(job)

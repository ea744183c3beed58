"""What presence adds to a task when it is shown: nothing here is stored, as it would be wrong a second later.

A queued task says whether it waits for its node or for the node's answer; a task that is out on a node we do not hear at present
is flagged `unreachable`, which is a flag and not a state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from corral.domain.task import OPEN, Reason, Task, TaskState
from corral.server.application.ports.fleet import Fleet


class Reach:
    def __init__(self, *, fleet: Fleet) -> None:
        self._fleet = fleet

    def picked(self, selector: str) -> Sequence[str]:
        """The nodes a selector picks now. Raises BadSelector, NothingMatched."""
        return self._fleet.resolve(selector)

    def mark(self, tasks: Iterable[Task]) -> list[Task]:
        """The same tasks, in order, as they look right now."""
        tasks = list(tasks)
        open_nodes = {task.node for task in tasks if task.state in OPEN}
        if not open_nodes:
            return tasks
        online = self._fleet.online(open_nodes)
        return [_marked(task, task.node in online) if task.state in OPEN else task for task in tasks]


def _marked(task: Task, online: bool) -> Task:
    if task.state is not TaskState.QUEUED:
        return task if task.unreachable is not online else replace(task, unreachable=not online)
    if task.reason not in (Reason.OFFLINE, Reason.DISPATCHED, Reason.NONE):
        return task
    reason = Reason.DISPATCHED if online else Reason.OFFLINE
    return task if task.reason is reason else replace(task, reason=reason)

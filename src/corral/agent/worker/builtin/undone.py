"""The last step of a rollback, of a file or of a tree."""

from __future__ import annotations

from corral.agent.worker.builtin.backups import Entry
from corral.agent.worker.builtin.work import Work


def finish(work: Work, dest: str, entry: Entry) -> None:
    """The target is as it was: the entry leaves the stack, and what there is to say is remembered first."""
    work.save(rollback={"entry": entry.id, "result": {**work.result}})
    work.ground.backups.remove(dest, entry)

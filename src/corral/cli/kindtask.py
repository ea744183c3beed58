"""What `corral task run` and `corral http` share: submit a task of a kind and say how it ended, as `exec run` does."""

from __future__ import annotations

from typing import Any

from corral.cli import exits
from corral.cli.commands.exec import show_accepted, show_preview
from corral.cli.filetask import ask_if_many
from corral.cli.session import Session
from corral.domain.errors import NotFound


async def kind_named(fleet: Any, name: str) -> dict[str, Any]:
    """A kind as the server shows it. Raises NotFound for one it does not take, and for exec and file, which have verbs of their own."""
    found = {row["name"]: row for row in await fleet.jobs.kinds() if row.get("schema") is not None}
    if name in found:
        return dict(found[name])
    own = {"exec": "corral exec run", "file": "corral file apply"}.get(name)
    raise NotFound(
        f"cannot run a task of kind {name!r}: "
        + ("it has a verb of its own" if own else "the server knows no such kind"),
        element="kind",
        hint=own or f"one of {', '.join(sorted(found))}",
    )


async def submit(
    session: Session,
    fleet: Any,
    task: Any,
    *,
    everyone: bool,
    detach: bool,
    preview: bool = False,
    live: bool | None = None,
) -> int:
    """The exit status of the job."""
    from corral.cli.watch import Watch

    if preview:
        show_preview(session, await fleet.jobs.preview(task))
        return exits.OK
    await ask_if_many(session, fleet, task)
    handle = await fleet.jobs.submit(task)
    if detach:
        show_accepted(session, handle.job)
        return exits.OK
    return await Watch(session, handle, everyone=everyone, live=live).run()

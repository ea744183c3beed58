"""Commands of a file task: `validate` looks at the new file before it is used, `notify` tells whoever has to know.

Words by shlex, never a shell. Each runs under the wrapper of every other command, in its own folder of the attempt, with the task's
mark, so a stop finds its whole tree. `validate` may run again after a crash of the worker (its leftovers are stopped first);
`notify` runs at most once: its claim decides, and a restarted worker follows the one that runs. The task's time limit is theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
from dataclasses import dataclass
from typing import Final

from corral.agent.worker.builtin.errors import TaskFailed
from corral.agent.worker.builtin.work import Work
from corral.agent.worker.cancel import stop_tree
from corral.agent.worker.invocation import Invocation
from corral.agent.worker.output import read_range, remove_directory
from corral.agent.worker.wrapper import CLAIM_LOST, Claim, Launcher, is_wrapper, read_claim, read_status
from corral.runtime.process import DEFAULT_PATH, ExitWatch, base_environment, find_program

_SHOWN_BYTES: Final = 64 << 10
_PLACE: Final = "%s"


@dataclass(frozen=True, slots=True)
class Ended:
    """`code` None = nobody knows: it was running when the machine, or something from outside, ended it."""

    code: int | None
    output: bytes


def words_of(text: str, what: str, *, path: str = "") -> tuple[str, ...]:
    """The words of a command line, with the path in the place of %s."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise TaskFailed(f"cannot {what}: {text[:80]!r} is no command line: {error}") from None
    if not words:
        raise TaskFailed(f"cannot {what}: the command is empty")
    return tuple(word.replace(_PLACE, path) for word in words) if path else tuple(words)


async def validate(work: Work, path: str) -> None:
    """Raise TaskFailed unless the validation command accepts `path`. Nothing is at the target yet."""
    words = words_of(work.spec.validate, "validate", path=path)
    work.permit_command(words)
    if not work.commands:
        return
    folder = f"{work.directory}/validate"
    if os.path.isdir(folder):
        if read_status(folder) is None:
            await stop_tree(work.mark, 0, grace_seconds=0, clock=work.ground.frame.clock)
        remove_directory(folder)
    ended = await _run(work, words, folder)
    if ended.code != 0:
        said = ended.output.decode(errors="replace").replace(path, "FILE").strip()
        work.err(said + "\n" if said else "")
        raise TaskFailed(
            f"cannot use the new file: {words[0]} ended with {ended.code}; nothing was changed"
            + (f": {said[-200:]}" if said else "")
        )
    work.result["validated"] = True


async def notify(work: Work) -> None:
    """After a change: run the notify command, at most once. Raises TaskFailed when it does not end with 0; the change stays."""
    if not work.spec.notify:
        return
    work.check()
    words = words_of(work.spec.notify, "notify")
    work.permit_command(words)
    if not work.commands:
        return
    ended = await _run(work, words, f"{work.directory}/notify")
    work.result["notified"] = ended.code
    if ended.output:
        work.err(ended.output.decode(errors="replace"))
    if ended.code is None:
        raise TaskFailed("the file was changed, but whether the notify command ended well is unknown: it was cut off")
    if ended.code != 0:
        raise TaskFailed(f"the file was changed, but the notify command {words[0]!r} ended with {ended.code}")


async def _run(work: Work, words: tuple[str, ...], folder: str) -> Ended:
    """Run, or follow what an earlier run of this attempt started in `folder`."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    code = read_status(folder)
    while code is None:
        claim = read_claim(folder)
        if claim is None:
            code, lost = await _start(work, words, folder)
        else:
            lost = await _follow(work, folder, claim)
            code = read_status(folder)
        if code is None and not lost:
            break
    output = b"".join(read_range(f"{folder}/{name}", 0, _SHOWN_BYTES) for name in ("out", "err"))
    return Ended(code, output)


async def _start(work: Work, words: tuple[str, ...], folder: str) -> tuple[int | None, bool]:
    """(exit status, whether somebody else holds the claim)."""
    environment = base_environment()
    program = find_program(words[0], environment.get("PATH", DEFAULT_PATH), "/")
    if program is None:
        raise TaskFailed(f"cannot run {words[0]!r}: no such program on this node")
    name, _, value = work.mark.partition("=")
    call = Invocation(
        argv=(program, *words[1:]),
        environment={**environment, name: value},
        added={name: value},
        cwd="/",
        directory=folder,
    )
    ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
    try:
        watch = Launcher(environment, warm=False).launch(call, ended.set_result)
    except OSError as error:
        raise TaskFailed(f"cannot run {words[0]!r}: {error.strerror}") from None
    status = await _until(work, watch, ended)
    code = read_status(folder)
    if code is None and status is not None and os.WIFEXITED(status):
        own = os.WEXITSTATUS(status)
        # the disk may be too full for the status file, but we are the parent and heard it
        return (None, True) if own == CLAIM_LOST else (own, False)
    return code, False


async def _follow(work: Work, folder: str, claim: Claim) -> bool:
    """Wait for the wrapper of an earlier run. True = look again (its claim was not written yet)."""
    if claim.pid < 0:
        await work.ground.frame.clock.sleep(0.05)
        return read_claim(folder) is not None and (read_claim(folder) or claim).pid > 0
    ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
    try:
        watch = ExitWatch(claim.pid, ended.set_result)
    except OSError:
        return False
    if not is_wrapper(claim, work.mark):
        watch.close()
        return False
    await _until(work, watch, ended)
    return False


async def _until(work: Work, watch: ExitWatch, ended: asyncio.Future[int | None]) -> int | None:
    """Its wait status. A stop of the task stops its tree; a worker that leaves lets it run, the next one follows it."""
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        if not work.leaving:
            work.receipt = await stop_tree(
                work.mark, watch.pid, grace_seconds=work.grace_seconds, clock=work.ground.frame.clock
            )
        raise
    finally:
        watch.close()

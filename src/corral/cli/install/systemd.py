"""systemctl and journalctl, as found on PATH. Their output goes straight to the terminal; their status is ours."""

from __future__ import annotations

import asyncio
import os
import shutil

from corral.cli import exits
from corral.domain.errors import CorralError, Unsupported


class SystemctlFailed(CorralError):
    """systemctl did not do it; it has said why itself."""


def find(program: str) -> str:
    """Its path. Raises Unsupported where there is no systemd."""
    found = shutil.which(program, path=os.environ.get("PATH", os.defpath))
    if found is None:
        raise Unsupported(
            f"cannot manage a service here: there is no {program!r} on PATH",
            element=program,
            hint="without systemd keep 'corral server --config FILE' running with the supervisor this machine has",
        )
    return found


async def run(program: str, *words: str) -> int:
    """Run it on our own terminal; its exit status."""
    process = await asyncio.create_subprocess_exec(find(program), *words)
    try:
        return await process.wait()
    except asyncio.CancelledError:
        # Ctrl-C reached it too, being in our process group; it is only waited for.
        await process.wait()
        raise


async def systemctl(verb: str, *words: str) -> int:
    """Raises SystemctlFailed when it fails, except for `status`, whose answer is its status."""
    status = await run("systemctl", verb, *words)
    if status and verb != "status":
        raise SystemctlFailed(
            f"cannot {verb} {' '.join(words) or 'the service manager'}: systemctl ended with status {status}",
            element="systemctl",
            hint="you may have to be root; corral system logs shows what the server said",
        )
    return exits.OK if status == 0 else exits.FAILED

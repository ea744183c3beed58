"""What a file job ships: the revision it names becomes number, digest and size, before the job is stored."""

from __future__ import annotations

from dataclasses import replace

from corral.domain.artifact import Archive, FileOp, FileSpec, check_file
from corral.domain.errors import Conflict, WrongState
from corral.domain.job import JobSpec
from corral.runtime.clock import Clock
from corral.server.application.ports.access import Caller
from corral.server.application.ports.files import Blobs, RevisionStore


class Shipping:
    """Completes submissions (application/jobs/submit.py calls it); commands and other file operations pass through."""

    def __init__(self, *, revisions: RevisionStore, blobs: Blobs, clock: Clock) -> None:
        self._revisions = revisions
        self._blobs = blobs
        self._clock = clock

    async def complete(self, caller: Caller, spec: JobSpec) -> JobSpec:
        """Raises NotFound for an unknown revision, WrongState when its bytes are missing, Conflict for another digest."""
        command = spec.command
        if not isinstance(command, FileSpec) or command.op is not FileOp.APPLY:
            return spec
        revision = await self._revisions.get(command.source, command.revision)
        if command.digest and command.digest != revision.digest:
            raise Conflict(
                f"cannot apply revision {revision.revision} of {command.source!r}: its SHA-256 is "
                f"{revision.digest[:12]}…, not {command.digest[:12]}…",
                element="digest",
                hint=f"corral file history --source-path {command.source}",
            )
        if await self._blobs.missing([revision.digest]):
            raise WrongState(
                f"cannot apply revision {revision.revision} of {command.source!r}: the engine has lost its bytes",
                element="revision",
                hint="upload the same file again (corral file apply --src …): that heals it",
            )
        made = replace(
            command,
            revision=revision.revision,
            digest=revision.digest,
            size=revision.size,
            mode=command.mode or revision.mode,
            archive=revision.archive if command.archive is Archive.NONE else command.archive,
        )
        check_file(made)
        await self._revisions.applied(revision.source_path, revision.revision, now=self._clock.now())
        return replace(spec, command=made)

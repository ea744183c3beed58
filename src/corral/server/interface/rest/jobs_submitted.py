"""A job as the submission it came from: the inverse of SubmitBody.spec(), without what is the default anyway."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, Final

import msgspec

from corral.domain.artifact import FileSpec
from corral.domain.job import Job, JobSpec, TaskSpec
from corral.server.application.jobs.listing import Submitted
from corral.server.interface.rest.jobs_types import FileBody, SubmitBody

_BODY_NAMES: Final = {"timeout_seconds": "timeout", "grace_seconds": "grace", "max_output_bytes": "max_output"}
_HIDDEN: Final = ("env", "stdin")
"""Values that only running it needs. What runs stays to be seen: whoever approves a job or looks into one has to know it."""


class SubmittedView(msgspec.Struct, kw_only=True):
    """`submission` is what POST /jobs takes. `left_out`: parts the caller may not see, as he could not submit it himself."""

    job: str
    submission: SubmitBody
    left_out: list[str]


def submitted_view(submitted: Submitted) -> SubmittedView:
    job = submitted.job
    given = _of_spec(job.spec) | _of_job(job)
    left_out: list[str] = [name for name in _HIDDEN if name in given and not submitted.whole]
    for name in left_out:
        del given[name]
    return SubmittedView(job=job.id, submission=msgspec.convert(given, SubmitBody), left_out=left_out)


def _of_job(job: Job) -> dict[str, Any]:
    as_submitted = JobSpec(
        target=job.target,
        command=job.spec,
        name=job.name,
        concurrency=job.concurrency,
        offline=job.offline,
        expires_seconds=round((job.expires_at - job.created_at).total_seconds(), 3),
        retries=job.retries,
    )
    given = _changed(as_submitted)
    given.pop("command")
    if "expires_seconds" in given:
        given["expires"] = given.pop("expires_seconds")
    return given


def _of_spec(spec: TaskSpec) -> dict[str, Any]:
    given = {_BODY_NAMES.get(name, name): value for name, value in _changed(spec).items()}
    if not isinstance(spec, FileSpec):
        return given
    file = {name: given.pop(name) for name in FileBody.__struct_fields__ if name in given}
    limits = {name: given[name] for name in _BODY_NAMES.values() if name in given}
    return {**limits, "kind": "file", "file": file}


def _changed(spec: Any) -> dict[str, Any]:
    """Fields of a dataclass that are not as its class has them."""
    found = {}
    for field in fields(spec):
        value = getattr(spec, field.name)
        usual = field.default_factory() if field.default_factory is not MISSING else field.default
        if value != usual:
            found[field.name] = value
    return found

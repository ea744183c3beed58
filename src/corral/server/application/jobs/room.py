"""The jobs room as interfaces receive it: one object per use case, nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from corral.server.application.jobs.cancel import Cancellation
from corral.server.application.jobs.events import EventHub
from corral.server.application.jobs.explain import Explaining
from corral.server.application.jobs.listing import Listing
from corral.server.application.jobs.output import OutputReading
from corral.server.application.jobs.retry import Retry
from corral.server.application.jobs.search import OutputSearch
from corral.server.application.jobs.submit import Submission
from corral.server.application.jobs.watch import Watching
from corral.server.application.ports.jobs import JobQueries


@dataclass(frozen=True, kw_only=True)
class JobRoom:
    submission: Submission
    cancellation: Cancellation
    retry: Retry
    queries: JobQueries
    explanation: Explaining
    listing: Listing
    output: OutputReading
    events: EventHub
    watching: Watching
    search: OutputSearch

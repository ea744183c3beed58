"""Counts of what the jobs room did, as a plain dict of ints that /metrics prints.

Names end in `_total` where they only grow; everything else is a gauge somebody sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NAMES: Final[Mapping[str, str]] = {
    "jobs_submitted_total": "jobs accepted",
    "tasks_submitted_total": "tasks of accepted jobs",
    "jobs_ended_total": "jobs whose last task ended",
    "jobs_cancelled_total": "cancels asked for",
    "jobs_retried_total": "retries asked for",
    "dispatch_published_total": "task and cancel messages pushed to nodes",
    "dispatch_republished_total": "of those, pushed again because no answer came",
    "dispatch_skipped_offline_total": "pushes left out because the node is offline and will sync",
    "dispatch_errors_total": "pushes the engine did not take; they come due again",
    "dispatch_paused_total": "sweeps left out because ingest was behind",
    "reports_received_total": "reports taken from the stream, duplicates included",
    "reports_applied_total": "reports that moved a task",
    "reports_unchanged_total": "reports that changed nothing: duplicates, late or unknown",
    "reports_poison_total": "reports that could not be understood",
    "reports_retries_total": "batches that had to be tried again because the database or the engine failed",
    "receipts_total": "receipts sent to nodes",
    "syncs_total": "syncs answered",
    "sync_tasks_total": "tasks handed over by a sync",
    "sync_forgotten_total": "tasks a node was told to forget",
    "sync_failed_total": "syncs that could not be answered; the node asks again",
    "sync_poison_total": "sync requests that could not be understood",
    "journal_lost_total": "tasks lost because a node no longer knows what it had accepted",
    "digest_mismatch_total": "beats whose digest did not agree with the database",
    "pokes_total": "nodes asked to sync",
    "tasks_swept_total": "tasks ended by the sweep: expired or lost",
    "output_bad_chunks_total": "output chunks without usable headers",
    "event_resyncs_total": "watchers that fell behind and got a new snapshot",
    "ingest_behind_seconds": "for how long ingest has been behind",
    "watchers": "open event streams",
}


class Counters(dict[str, int]):
    """Name → value; starts with every known name at 0 so that a scrape never lacks one."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(NAMES, 0))

    def add(self, name: str, count: int = 1) -> None:
        self[name] = self.get(name, 0) + count

"""What an entry says of a submission: of a request's it is part of that entry, of the server's own an entry of its own, once."""

from __future__ import annotations

import asyncio
import json
from contextvars import Context
from typing import Any

from corral.domain.approval import spec_hash
from corral.domain.job import CommandSpec, JobSpec, pinned_hash
from corral.server.application.audit import about
from corral.server.application.audit.spec_note import TEXT_CHARS, SpecNote
from corral.server.application.ports.access import AuditEntry, Caller
from corral.testing.clock import FakeClock

SPEC = CommandSpec(argv=("mysql",), env={"PASSWORD": "hunter2", "OTHER": "{{ secret.db }}"}, stdin=b"hunter2")
JOB = JobSpec(target="all", command=SPEC, name="R1/stage-1")


async def noted(jobs: list[JobSpec], *, request: bool) -> tuple[dict[str, Any], list[AuditEntry]]:
    entries: list[AuditEntry] = []

    async def record(entry: AuditEntry) -> None:
        entries.append(entry)

    note = SpecNote(record=record, clock=FakeClock())
    told = about.begin() if request else {}
    for job in jobs:
        assert await note.check(Caller(name="ada", kind="rollout"), job, ["b", "a"]) is None
    return told, entries


def in_context_of_its_own(jobs: list[JobSpec], *, request: bool) -> tuple[dict[str, Any], list[AuditEntry]]:
    return Context().run(lambda: asyncio.run(noted(jobs, request=request)))


def test_a_request_s_entry_gets_hash_text_and_nodes_and_no_secret() -> None:
    told, entries = in_context_of_its_own([JOB], request=True)
    assert entries == []
    assert (told["kind"], told["node_count"], told["pinned"]) == ("exec", 2, pinned_hash(["a", "b"]))
    assert told["spec_hash"] == spec_hash(SPEC)
    spec = json.loads(told["spec"])
    assert spec["env"] == {"PASSWORD": "[cut]", "OTHER": "{{ secret.db }}"}
    assert "hunter2" not in told["spec"] and "aHVudGVy" not in told["spec"]


def test_what_the_server_submits_by_itself_is_recorded_once() -> None:
    other = JobSpec(target="all", command=SPEC, name="R1/stage-2")
    told, entries = in_context_of_its_own([JOB, JOB, other, JOB], request=False)
    assert told == {}
    assert [(entry.actor, entry.action, entry.target, entry.outcome) for entry in entries] == [
        ("ada", "rollout submits", "R1/stage-1", "asked"),
        ("ada", "rollout submits", "R1/stage-2", "asked"),
    ]


def test_a_long_spec_is_cut_and_its_hash_is_of_all_of_it() -> None:
    long = CommandSpec(script="x" * 100_000)
    told, _ = in_context_of_its_own([JobSpec(target="all", command=long)], request=True)
    assert len(told["spec"]) < TEXT_CHARS + 50
    assert told["spec_hash"] == spec_hash(long) != spec_hash(CommandSpec(script="x" * 99_999))

from datetime import UTC, datetime, timedelta

import pytest

from corral.domain.errors import NotFound
from corral.domain.job import CommandSpec, Job, JobState
from corral.domain.node import Node, Presence
from corral.domain.task import Reason, Task, TaskState
from corral.server.application.jobs.explain import task_lines

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
JOB = Job(
    id="J" + "0" * 18,
    name="",
    kind="exec",
    target="all",
    spec=CommandSpec(argv=("true",)),
    state=JobState.OPEN,
    counts={TaskState.QUEUED: 3, TaskState.RUNNING: 2},
    nodes=5,
    pinned="",
    created_at=NOW,
    created_by="ann",
    expires_at=NOW + timedelta(hours=1),
    concurrency=2,
)
ONLINE = Node(id="n1", presence=Presence.ONLINE)
OFFLINE = Node(
    id="n1", presence=Presence.OFFLINE, presence_since=NOW - timedelta(minutes=5), presence_reason="no beat for 30 s"
)


def said(state, node=ONLINE, *, published=0, **more):
    task = Task(job=JOB.id, node="n1", state=state, not_after=NOW + timedelta(minutes=30), **more)
    return " ".join(task_lines(task, JOB, node, now=NOW, published=published))


def test_a_queued_task_of_an_offline_node_says_since_when_why_and_until_when():
    text = said(TaskState.QUEUED, OFFLINE, reason=Reason.OFFLINE)
    assert "offline since 2026-05-01T11:55:00.000Z (5 min ago): no beat for 30 s" in text
    assert "expires at 2026-05-01T12:30:00.000Z (in 30 min)" in text


def test_a_queued_task_of_an_online_node_says_how_often_it_was_sent():
    assert "sent 4 times and not acknowledged" in said(TaskState.QUEUED, published=4)
    assert "sent once" in said(TaskState.QUEUED, published=1)


def test_a_task_held_back_says_by_what():
    assert "--concurrency 2 of 5 open tasks" in said(TaskState.QUEUED, reason=Reason.CONCURRENCY)


@pytest.mark.parametrize(
    ("state", "more", "words"),
    [
        (TaskState.DELIVERED, {"reason": Reason.SLOT}, "waits for a free slot"),
        (TaskState.RUNNING, {"started_at": NOW}, "time limit is 300 s"),
        (TaskState.FAILED, {"exit_code": 3}, "failed with exit code 3"),
        (TaskState.FAILED, {"signal": 9}, "by signal 9"),
        (
            TaskState.REJECTED,
            {"reason": Reason.POLICY, "detail": "rule no-reboot"},
            "policy refused it: rule no-reboot",
        ),
        (TaskState.EXPIRED, {"reason": Reason.NOT_DELIVERED}, "never delivered before its deadline"),
        (TaskState.LOST, {"late": {"state": "succeeded", "exit_code": 0}}, "late result came after that: succeeded"),
        (TaskState.INTERRUPTED, {}, "check the machine before running it again"),
        (TaskState.RUNNING, {"cancel_asked": True}, "A cancel was asked for"),
        (TaskState.FAILED, {}, "corral exec retry"),
    ],
)
def test_every_state_has_its_sentence(state, more, words):
    assert words in said(state, **more)


def test_a_node_that_is_gone_or_without_its_worker_is_said():
    assert "not known any more" in said(TaskState.RUNNING, None)
    assert "worker is down" in said(TaskState.QUEUED, Node(id="n1", presence=Presence.ONLINE, worker_down=True))
    assert "never been seen" in said(TaskState.QUEUED, Node(id="n1"))


async def test_why_a_job_names_groups_of_nodes_and_the_next_step(world):
    world.fleet.away = {"n3"}
    job = await world.submit()
    await world.report(job.id, "n1", TaskState.FAILED, exit_code=1)
    found = await world.room.explanation.why(world.caller, job.id)
    text = "\n".join(found.lines)
    assert found.state == "open"
    assert "1 queued: the node is offline" in text and "(n3)" in text
    assert f"corral exec cancel {job.id}" in text


async def test_why_a_task_counts_what_was_sent_and_tells_of_earlier_attempts(world):
    job = await world.submit("n1")
    await world.report(job.id, "n1", TaskState.FAILED, exit_code=7)
    await world.room.retry.retry(world.caller, job.id)
    found = await world.room.explanation.why(world.caller, job.id, "n1")
    text = "\n".join(found.lines)
    assert "sent once" in text
    assert "Attempt 1 ended as failed with exit code 7" in text
    with pytest.raises(NotFound):
        await world.room.explanation.why(world.caller, job.id, "n2")

"""Events of a job and the view that is kept of it."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from corral.sdk.events import (
    Ended,
    JobChanged,
    JobEvent,
    JobView,
    LineBook,
    Output,
    OutputLedger,
    Snapshot,
    TasksChanged,
    decode,
)
from corral.sdk.models import Job, Task
from corral.sdk.sse import ServerEvent


def task(node: str, state: str = "queued", **more: Any) -> Task:
    return Task.from_json({"node": node, "state": state, **more})


def chunk(offset: int, data: bytes, skipped: int = 0, **more: Any) -> dict[str, Any]:
    text = base64.b64encode(data).decode()
    return {"node": "a", "attempt": 1, "stream": "stdout", "offset": offset, "data": text, "skipped": skipped} | more


def decode_one(event: str, data: Any) -> list[JobEvent]:
    return decode(ServerEvent(event, json.dumps(data), ""), OutputLedger())


def test_each_event_is_decoded_to_its_meaning() -> None:
    job = {"job": "J1", "state": "open"}
    assert decode_one("snapshot", {"job": job, "tasks": [{"node": "a"}]}) == [
        Snapshot(Job(job="J1"), (Task(node="a"),))
    ]
    assert decode_one("task", {"tasks": [{"node": "a"}]}) == [TasksChanged((Task(node="a"),))]
    assert decode_one("job", job) == [JobChanged(Job(job="J1"))]
    assert decode_one("end", job) == [Ended(Job(job="J1"))]
    assert decode_one("output", chunk(0, b"hi")) == [Output("a", 1, "stdout", 0, b"hi")]


def test_an_event_of_a_newer_server_is_left_out() -> None:
    assert decode(ServerEvent("weather", "not even JSON", ""), OutputLedger()) == []


def test_chunks_that_repeat_and_overtake_come_out_once_and_in_order() -> None:
    ledger = OutputLedger()
    assert ledger.feed(chunk(3, b"def")) == []
    assert b"".join(out.data for out in ledger.feed(chunk(0, b"abc"))) == b"abcdef"
    assert ledger.feed(chunk(3, b"def")) == []


def test_bytes_dropped_by_the_cap_are_counted_not_hidden() -> None:
    ledger = OutputLedger()
    ledger.feed(chunk(0, b"head"))
    assert ledger.feed(chunk(104, b"tail", skipped=100)) == [Output("a", 1, "stdout", 104, b"tail", 100)]


def test_a_chunk_that_never_came_is_a_named_hole_at_the_end() -> None:
    ledger = OutputLedger()
    ledger.feed(chunk(0, b"ab"))
    assert ledger.feed(chunk(5, b"fg")) == []
    assert ledger.flush() == [Output("a", 1, "stdout", 5, b"fg", 3)]


def test_who_joins_in_the_middle_sees_what_comes_from_there() -> None:
    ledger = OutputLedger(from_start=False)
    assert ledger.feed(chunk(500, b"xy")) == [Output("a", 1, "stdout", 500, b"xy")]


@given(st.binary(min_size=1, max_size=60), st.lists(st.tuples(st.integers(0, 59), st.integers(1, 20)), max_size=30))
def test_any_order_of_overlapping_chunks_gives_the_exact_bytes(data: bytes, cuts: list[tuple[int, int]]) -> None:
    ledger = OutputLedger()
    pieces = [chunk(at, data[at : at + size]) for at, size in cuts if at < len(data)] + [chunk(0, data)]
    out = [o for piece in pieces for o in ledger.feed(piece)] + ledger.flush()
    assert b"".join(o.data for o in out) == data
    assert not any(o.missing for o in out)


def test_the_nodes_waited_for_are_those_not_offline_at_submission() -> None:
    view = JobView(Job(tasks=(task("a"), task("b", reason="offline"))))
    assert view.awaited == {"a"}
    view.apply(TasksChanged((task("a", "succeeded"),)))
    assert view.settled(everyone=False)
    assert not view.settled(everyone=True)


def test_a_node_that_was_offline_and_now_runs_is_not_waited_for_by_default() -> None:
    view = JobView(Job(tasks=(task("a"), task("b", reason="offline"))))
    view.apply(TasksChanged((task("b", "running"), task("a", "failed"))))
    assert view.settled(everyone=False)


def test_nothing_is_settled_before_the_tasks_are_known() -> None:
    assert not JobView(Job()).settled(everyone=False)


def test_a_view_never_goes_backwards_within_an_attempt() -> None:
    view = JobView(Job(tasks=(task("a", "running"),)))
    view.apply(TasksChanged((task("a", "succeeded"),)))
    view.apply(Snapshot(Job(), (task("a", "running"),)))
    assert view.tasks["a"].state == "succeeded"
    view.apply(TasksChanged((task("a", "queued", attempt=2),)))
    assert view.tasks["a"].attempt == 2


def test_a_task_is_complete_only_with_its_last_byte() -> None:
    done = task("a", "succeeded", stdout_bytes=4)
    view = JobView(Job(tasks=(task("a"),)))
    view.apply(TasksChanged((done,)))
    assert not view.complete(done)
    view.apply(Output("a", 1, "stdout", 0, b"abcd"))
    assert view.complete(done)
    assert view.output_complete()


def test_tasks_that_all_wait_for_nodes_gone_meanwhile_are_stalled() -> None:
    view = JobView(Job(tasks=(task("a", reason="dispatched"), task("b"))))
    assert not view.stalled()
    view.apply(TasksChanged((task("a", reason="offline"), task("b", "succeeded"))))
    assert view.stalled()


def test_lines_come_whole_and_the_last_one_at_the_end() -> None:
    book = LineBook()
    assert [line.text for line in book.feed(Output("a", 1, "stdout", 0, b"one\ntw"))] == ["one"]
    assert [line.text for line in book.feed(Output("a", 1, "stdout", 6, b"o\nrest"))] == ["two"]
    assert [(line.node, line.text) for line in book.flush()] == [("a", "rest")]


def test_a_hole_in_the_output_ends_the_line_before_it() -> None:
    book = LineBook()
    book.feed(Output("a", 1, "stdout", 0, b"head"))
    lines = book.feed(Output("a", 1, "stdout", 104, b"tail\n", 100))
    assert [(line.text, line.missing) for line in lines] == [("head", 0), ("tail", 100)]

"""Where revisions are: what follows from the end of a file task, and what a rollback goes back to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from corral.domain.artifact import FileOp, FileSpec
from corral.domain.job import CommandSpec
from corral.domain.placement import NOTHING, Held, Placement, follows, placed
from corral.domain.task import Outcome, TaskState

A, B, C = "a" * 64, "b" * 64, "c" * 64
SPEC = FileSpec(op=FileOp.APPLY, dest="/etc/app.conf", source="app.conf", revision=3, digest=A)


def said(state: TaskState = TaskState.SUCCEEDED, *, finished_at: float | None = 50.0, **result: Any) -> Outcome:
    full = {"dest": "/etc/app.conf", "new": A, "changed": False, **result}
    return Outcome(job="J1", attempt=1, seq=9, state=state, finished_at=finished_at, result=full)


def at(when: float, held: Held, before: Held = NOTHING) -> Placement:
    return Placement(node="n1", dest="/etc/app.conf", held=held, job="J1", at=when, before=before)


def r(number: int, digest: str) -> Held:
    return Held(source_path="app.conf", revision=number, digest=digest)


def test_an_apply_places_its_revision_also_when_it_was_there_already() -> None:
    assert placed("n1", SPEC, said(), now=60.0) == at(50.0, r(3, A))
    assert placed("n1", replace(SPEC, template=True), said(new=B), now=60.0) == at(50.0, r(3, B))


def test_a_failure_after_the_change_counts_and_one_before_it_does_not() -> None:
    assert placed("n1", SPEC, said(TaskState.FAILED, changed=True), now=60.0) == at(50.0, r(3, A))
    assert placed("n1", SPEC, said(TaskState.FAILED), now=60.0) is None


@pytest.mark.parametrize(
    "spec",
    [
        CommandSpec(argv=("true",)),
        replace(SPEC, dry_run=True),
        replace(SPEC, op=FileOp.PREVIEW),
        replace(SPEC, op=FileOp.FETCH),
    ],
)
def test_what_places_nothing_is_not_kept(spec: Any) -> None:
    assert placed("n1", spec, said(changed=True), now=60.0) is None


@pytest.mark.parametrize(
    "result",
    [
        {"dest": "/etc/shadow"},
        {"dest": "relative"},
        {"dest": 7},
        {"dest": "/" + "x" * 5000},
        {"new": "short"},
        {"new": 7},
        {"new": ["a" * 64]},
    ],
)
def test_a_node_cannot_claim_what_its_task_did_not_say(result: dict[str, Any]) -> None:
    assert placed("n1", SPEC, said(**result), now=60.0) is None


def test_a_templated_path_is_the_one_the_node_names() -> None:
    spec = replace(SPEC, dest="/srv/{{ node.id }}/app.conf")
    found = placed("n1", spec, said(dest="/srv/n1/app.conf"), now=60.0)
    assert found is not None
    assert found.dest == "/srv/n1/app.conf"
    assert placed("n1", spec, said(dest="/srv/n1/\0"), now=60.0) is None


@pytest.mark.parametrize(("finished_at", "kept"), [(None, 60.0), (1e12, 60.0), (-5.0, 0.0)])
def test_a_clock_that_is_ahead_does_not_outlive_what_comes_after(finished_at: float | None, kept: float) -> None:
    found = placed("n1", SPEC, said(finished_at=finished_at), now=60.0)
    assert found is not None
    assert found.at == kept


def test_a_rollback_goes_back_to_what_was_there_before() -> None:
    known = follows(at(10.0, r(2, B)), at(20.0, r(3, A)), lambda digest: [])
    assert known is not None
    assert known.before == r(2, B)
    back = placed("n1", FileSpec(op=FileOp.ROLLBACK, dest="/etc/app.conf"), said(new=B, changed=True), now=60.0)
    assert back is not None
    again = follows(known, back, lambda digest: [])
    assert again is not None
    assert (again.held, again.before) == (r(2, B), r(3, A))


def test_a_rollback_further_back_is_found_by_its_bytes_under_the_same_name_alone() -> None:
    revisions = {C: [("app.conf", 1), ("app.conf", 5), ("other.conf", 9)]}
    back = at(30.0, Held(digest=C))
    found = follows(at(20.0, r(3, A), r(2, B)), back, lambda digest: revisions.get(digest, []))
    assert found is not None
    assert found.held == r(5, C)
    unknown = follows(at(20.0, r(3, A)), at(30.0, Held(digest="d" * 64)), lambda digest: [("other.conf", 1)])
    assert unknown is not None
    assert unknown.held == Held(digest="d" * 64), "bytes of nobody knows what are no revision"


def test_what_is_removed_is_nowhere_and_comes_back_with_its_name() -> None:
    gone = placed("n1", FileSpec(op=FileOp.DELETE, dest="/etc/app.conf"), said(new=None, changed=True), now=60.0)
    assert gone is not None
    known = follows(at(20.0, r(3, A)), gone, lambda digest: [])
    assert known is not None
    assert (known.held, known.before) == (NOTHING, r(3, A))
    back = follows(known, at(70.0, Held(digest=A)), lambda digest: [])
    assert back is not None
    assert back.held == r(3, A)


def test_a_late_report_changes_nothing_and_a_repeated_apply_forgets_nothing() -> None:
    known = at(20.0, r(3, A), r(2, B))
    assert follows(known, at(19.0, r(1, C)), lambda digest: []) is None
    again = follows(known, at(21.0, r(3, A)), lambda digest: [])
    assert again is not None
    assert again.before == r(2, B)
    assert follows(None, at(1.0, Held(digest=A)), lambda digest: [("x", 1)]) == at(1.0, Held(digest=A))

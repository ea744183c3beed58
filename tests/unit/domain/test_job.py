from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.domain.errors import Invalid, TooLarge
from corral.domain.job import (
    CommandSpec,
    Interpreter,
    JobSpec,
    JobState,
    as_mapping,
    check_spec,
    from_mapping,
    job_state,
    pinned_hash,
)
from corral.domain.task import OPEN, TaskState

SPEC = JobSpec(target="all", command=CommandSpec(argv=("uptime",)))


def with_command(**changes: object) -> JobSpec:
    return replace(SPEC, command=replace(SPEC.command, **changes))  # type: ignore[arg-type]  # the test varies any field


@pytest.mark.parametrize(
    ("spec", "element"),
    [
        (with_command(argv=()), "command"),
        (with_command(shell="echo"), "command"),
        (with_command(timeout_seconds=0), "timeout"),
        (with_command(cwd="relative"), "cwd"),
        (with_command(env={"A=B": "x"}), "env"),
        (with_command(argv=("a\0b",)), "argv"),
        (with_command(max_output_bytes=1), "max_output"),
        (replace(SPEC, concurrency=0), "concurrency"),
        (replace(SPEC, expires_seconds=0), "expires"),
        (replace(SPEC, retries=-1), "retry"),
    ],
)
def test_a_bad_spec_is_refused_naming_the_field(spec: JobSpec, element: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_spec(spec)
    assert caught.value.element == element


def test_a_spec_beyond_the_cap_is_refused_with_the_remedy() -> None:
    with pytest.raises(TooLarge) as caught:
        check_spec(with_command(stdin=b"x" * (17 << 20)))
    assert "file apply" in (caught.value.hint or "")


@given(
    st.builds(
        CommandSpec,
        argv=st.lists(st.text(), max_size=4).map(tuple),
        shell=st.none() | st.text(),
        script=st.none() | st.text(),
        interpreter=st.just(Interpreter.SH),
        env=st.dictionaries(st.text(min_size=1), st.text(), max_size=3),
        cwd=st.none() | st.text(),
        user=st.none() | st.text(),
        stdin=st.none() | st.binary(),
        timeout_seconds=st.floats(0.1, 1e5),
    )
)
def test_a_command_survives_the_wire(command: CommandSpec) -> None:
    assert from_mapping(as_mapping(command)) == command


@given(st.dictionaries(st.sampled_from(TaskState), st.integers(0, 3)), st.booleans())
def test_a_job_is_open_exactly_while_a_task_is(counts: dict[TaskState, int], asked: bool) -> None:
    still_open = any(counts.get(state) for state in OPEN)
    assert (job_state(counts, cancel_asked=asked) is JobState.OPEN) == still_open


def test_a_cancelled_job_with_a_failure_is_failed() -> None:
    counts = {TaskState.CANCELLED: 2, TaskState.FAILED: 1}
    assert job_state(counts, cancel_asked=True) is JobState.FAILED
    assert job_state({TaskState.CANCELLED: 2, TaskState.SUCCEEDED: 1}, cancel_asked=True) is JobState.CANCELLED


def test_the_pinned_hash_depends_on_the_set_and_not_on_the_order() -> None:
    assert pinned_hash(["b", "a"]) == pinned_hash(["a", "b"]) != pinned_hash(["a"])

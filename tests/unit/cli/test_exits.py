"""Exit statuses: the rule, and every way a command line can end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from corral.cli import exits
from corral.domain.errors import by_code
from corral.domain.task import TaskState
from corral.sdk.models import Task
from corral.testing.fake_api import FakeApi


@pytest.mark.parametrize(
    ("states", "status"),
    [
        (["succeeded", "succeeded"], 0),
        (["timed_out", "timed_out"], 124),
        (["succeeded", "timed_out"], 124),
        (["timed_out", "failed"], 1),
        (["timed_out", "queued"], 1),
        (["succeeded", "queued"], 1),
        (["cancelled"], 1),
        (["teleported"], 1),
        *(([state.value], 1) for state in TaskState if state not in (TaskState.SUCCEEDED, TaskState.TIMED_OUT)),
    ],
)
def test_the_status_of_a_job_follows_from_its_tasks(states: list[str], status: int) -> None:
    assert exits.of_tasks(Task(node=str(at), state=state) for at, state in enumerate(states)) == status


def test_errors_carry_only_documented_statuses() -> None:
    assert {cls.exit_status for cls in by_code().values()} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("exec", "run", "-t", "web-*", "--", "true"), 0),
        (("exec", "run", "-t", "all", "--detach", "--", "false"), 0),
        (("exec", "run", "-t", "web-*", "--", "false"), 1),
        (("exec", "run", "-t", "all", "--", "true"), 1),
        (("exec", "run", "-t", "web-*", "--", "late"), 124),
        (("exec", "run", "-t", "web-1,web-2", "--", "half-late"), 124),
        (("exec", "run", "-t", "web-1,web-2", "-o", "json", "--", "half-late"), 124),
        (("exec", "run", "-t", "((", "--", "true"), 2),
        (("exec", "run", "-t", "all", "--no-such-option", "--", "true"), 2),
        (("exec", "run", "-t", "nobody", "--", "true"), 3),
        (("exec", "get", "J000000000000000099"), 3),
        (("node", "show", "nobody"), 3),
        (("node", "list", "-t", "nobody"), 3),
        (("--url", "x"), 2),
        ((), 0),
    ],
)
def test_a_command_line_ends_with_its_documented_status(
    words: tuple[str, ...], status: int, cli: Callable[..., Any], api: FakeApi
) -> None:
    assert cli(*words).status == status


def test_no_server_is_4(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_URL", "http://127.0.0.1:1")
    result = cli("node", "list")
    assert (result.status, result.out) == (4, "")
    assert "corral up" in result.err


def test_a_wrong_token_and_a_missing_right_are_5(
    cli: Callable[..., Any], api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.denied.add("/api/v1/jobs")
    assert cli("exec", "run", "-t", "all", "--", "true").status == 5
    monkeypatch.setenv("CORRAL_TOKEN", "wrong")
    assert cli("node", "list").status == 5

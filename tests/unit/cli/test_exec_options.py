"""What `exec run` sends to the server, and how output reaches a pipe."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corral.testing.fake_api import Act, FakeApi


def sent(api: FakeApi) -> dict[str, Any]:
    return next(reversed(api.jobs.values())).body


def test_every_option_arrives(cli: Callable[..., Any], api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"\x00\xff")
    words = "exec run -t web-1 --name n --timeout 1h --grace 90s --concurrency 2 --offline skip --expires 2h --retry 3"
    words += " --env A=1 --env B=x=y --cwd /srv --user app --stdin in --max-output 1MiB"
    assert cli(*words.split(), "--", "cat", "-n", "--timeout").status == 0
    assert sent(api) == {
        "target": "web-1",
        "argv": ["cat", "-n", "--timeout"],
        "name": "n",
        "timeout": 3600.0,
        "grace": 90.0,
        "concurrency": 2,
        "offline": "skip",
        "expires": 7200.0,
        "retries": 3,
        "env": {"A": "1", "B": "x=y"},
        "cwd": "/srv",
        "user": "app",
        "stdin": "AP8=",
        "max_output": 1 << 20,
    }


def test_options_not_given_are_left_to_the_server(cli: Callable[..., Any], api: FakeApi) -> None:
    cli("exec", "run", "-t", "web-1", "uptime", "-p")
    assert sent(api) == {"target": "web-1", "argv": ["uptime", "-p"]}


def test_shell_joins_the_words(cli: Callable[..., Any], api: FakeApi) -> None:
    result = cli("exec", "run", "-t", "web-1", "--shell", "--", "echo a | wc", "-l")
    assert sent(api) == {"target": "web-1", "shell": "echo a | wc -l"}
    assert "note:" not in result.err


def test_a_script_is_sent_as_text(cli: Callable[..., Any], api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "fix.py").write_text("print(1)\n")
    assert cli("exec", "run", "-t", "web-1", "--script", "fix.py", "--interpreter", "python3").status == 0
    assert sent(api) == {"target": "web-1", "script": "print(1)\n", "interpreter": "python3"}


@pytest.mark.parametrize(
    "words",
    [
        ("--script", "missing.sh"),
        ("--interpreter", "bash", "--", "true"),
        ("--env", "novalue", "--", "true"),
        ("--stdin", "missing", "--", "true"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(
    words: tuple[str, ...], cli: Callable[..., Any], api: FakeApi
) -> None:
    result = cli("exec", "run", "-t", "all", *words)
    assert result.status == 2
    assert result.err.startswith("error: cannot ")
    assert not api.jobs


def test_one_node_to_a_pipe_is_its_exact_bytes(cli: Callable[..., Any], api: FakeApi) -> None:
    data = b"\x1b[2J\x00\xff no newline"
    api.act = lambda name, body: Act(stdout=data)
    result = cli("exec", "run", "-t", "web-1", "--", "dump")
    assert result.out.encode("utf-8", "surrogateescape") == data


def test_several_nodes_to_a_pipe_are_exact_lines_behind_their_names(cli: Callable[..., Any], api: FakeApi) -> None:
    api.act = lambda name, body: Act(stdout=b"\x1b[2Ja\xff\nb")
    result = cli("exec", "run", "-t", "web-1,web-2", "--", "dump")
    lines = sorted(result.out.encode("utf-8", "surrogateescape").splitlines())
    assert lines == [b"web-1: \x1b[2Ja\xff", b"web-1: b", b"web-2: \x1b[2Ja\xff", b"web-2: b"]


def test_stderr_of_a_node_goes_to_ours(cli: Callable[..., Any], api: FakeApi) -> None:
    api.act = lambda name, body: Act(stdout=b"out\n", stderr=b"err\n")
    result = cli("exec", "run", "-q", "-t", "web-1,web-2", "--", "x")
    assert sorted(result.out.splitlines()) == ["web-1: out", "web-2: out"]
    assert sorted(result.err.splitlines()) == ["web-1: err", "web-2: err"]


def test_json_is_the_only_thing_on_either_stream(cli: Callable[..., Any], api: FakeApi) -> None:
    for extra in ((), ("--detach",), ("--dry-run",)):
        result = cli("exec", "run", "-t", "all", "-o", "json", *extra, "--", "mixed", "a|b")
        assert result.err == ""
        json.loads(result.out)


def test_json_of_run_get_and_detach_have_the_same_keys(cli: Callable[..., Any], api: FakeApi) -> None:
    keys = {"job", "name", "state", "counts", "tasks"}
    task_keys = ["node", "state", "reason", "exit_code", "signal", "attempt", "queued_at", "started_at", "finished_at"]
    task_keys += ["stdout", "stderr", "stdout_bytes", "stderr_bytes", "truncated"]
    detached = json.loads(cli("exec", "run", "-t", "web-1", "--detach", "-o", "json", "--", "echo", "x").out)
    api.settle()
    found = json.loads(cli("exec", "get", detached["job"], "-o", "json").out)
    ran = json.loads(cli("exec", "run", "-t", "web-1", "-o", "json", "--", "echo", "x").out)
    for answer in (detached, found, ran):
        assert set(answer) == keys
        assert list(answer["tasks"][0]) == task_keys
    assert found["tasks"][0]["stdout"] is None
    assert ran["tasks"][0]["stdout"] == "x\n"


def test_many_nodes_are_grouped_instead_of_streamed(cli: Callable[..., Any], api: FakeApi) -> None:
    from corral.testing.fake_api import node

    api.nodes = {f"n{number:02}": node(f"n{number:02}") for number in range(60)}
    api.act = lambda name, body: Act(stdout=b"same\n")
    result = cli("exec", "run", "-t", "all", "--", "x")
    assert result.out == "60 nodes: OK in 0 s\n    same\n"


def test_following_logs_ends_with_the_job(cli: Callable[..., Any], api: FakeApi) -> None:
    job = cli("exec", "run", "-t", "web-1,web-2", "--detach", "-q", "--", "hostname").out.strip()
    result = cli("exec", "logs", job, "--follow")
    assert sorted(result.out.splitlines()) == ["web-1: web-1", "web-2: web-2"]
    api.settle()
    assert cli("exec", "logs", job, "--node", "web-2").out == "web-2\n"
    assert cli("exec", "logs", job, "--node", "db-9").status == 3
    assert cli("exec", "logs", job, "--since", "1m").out == ""
    assert cli("exec", "logs", job, "--since", "10m").out != ""


def test_a_revoked_or_removed_node_is_gone_from_the_list(cli: Callable[..., Any], api: FakeApi) -> None:
    assert cli("node", "remove", "web-3").status == 0
    assert cli("node", "revoke", "web-2", "--reason", "stolen").status == 0
    assert "web-3" not in cli("node", "list", "-o", "name").out
    assert "revoked" in cli("node", "list").out

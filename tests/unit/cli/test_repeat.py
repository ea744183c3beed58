"""`exec repeat` submits what a job was; `node tasks` lists what ran on a node."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from corral.cli import exits
from corral.testing.fake_api import Act, FakeApi

Cli = Callable[..., Any]


def newest(api: FakeApi) -> str:
    return next(reversed(api.jobs))


def test_a_job_is_repeated_as_a_new_one_here_or_elsewhere(cli: Cli, api: FakeApi, tmp_path: Path) -> None:
    script = tmp_path / "fix.sh"
    script.write_text("echo $A\n\n")
    api.act = lambda name, body: Act(stdout=b"done\n")
    cli("exec", "run", "-t", "web-1,web-2", "--script", script, "--env", "A=1", "--timeout", "9s")
    first = newest(api)
    result = cli("exec", "repeat", first)
    assert result.status == exits.OK and "web-1: done" in result.out
    assert newest(api) != first and api.jobs[newest(api)].body == api.jobs[first].body
    assert cli("exec", "repeat", first, "-t", "web-2").out == "done\n"
    assert api.jobs[newest(api)].body == {**api.jobs[first].body, "target": "web-2"}
    before = newest(api)
    assert "would run on 2 nodes" in cli("exec", "repeat", first, "--dry-run").out
    assert json.loads(cli("exec", "repeat", first, "--print").out) == api.jobs[first].body
    assert newest(api) == before


def test_what_is_not_shown_is_not_repeated_without_it(cli: Cli, api: FakeApi) -> None:
    cli("exec", "run", "-t", "all", "--env", "A=1", "--", "true")
    job = newest(api)
    api.left_out = {"env"}
    result = cli("exec", "repeat", job)
    assert result.status == 5 and "its env" in result.err and "--print" in result.err
    assert newest(api) == job
    shown = cli("exec", "repeat", job, "--print")
    assert json.loads(shown.out) == {"target": "all", "argv": ["true"]} and "env: left out" in shown.err


def test_what_ran_on_a_node_is_listed_the_newest_first(cli: Cli, api: FakeApi) -> None:
    assert cli("node", "tasks", "web-1").out == "nothing ran on web-1\n"
    for target in ("all", "web-2", "web-1"):
        cli("exec", "run", "-t", target, "--name", f"on {target}", "--", "uptime")
    lines = cli("node", "tasks", "web-1").out.splitlines()
    assert lines[0].split() == ["JOB", "RESULT", "TIME", "AGE", "BY", "COMMAND"]
    assert [line.split("  ")[-1].strip() for line in lines[1:]] == ["on web-1: uptime", "on all: uptime"]
    assert "OK" in lines[1]
    assert cli("node", "tasks", "web-1", "-o", "name", "--limit", "1").out == newest(api) + "\n"

"""The service executor against a stand-in systemctl, first on PATH: the real one is never called."""

import json

import pytest

from corral.domain.errors import Invalid
from corral.domain.executors import service as kind
from corral.domain.schema import check, check_schema

STAND_IN = r"""#!/usr/bin/env python3
import json, os, sys
home = os.path.dirname(os.path.abspath(__file__))
state_file = os.path.join(home, "state.json")
state = json.load(open(state_file))
verb, rest = sys.argv[1], sys.argv[2:]
with open(os.path.join(home, "calls"), "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\n")
if state.get("broken"):
    sys.stderr.write(state["broken"] + "\n")
    sys.exit(1)
assert rest[-2] == "--", rest
unit = state["units"].get(rest[-1])
if verb == "show":
    if unit and unit.get("after"):
        unit["active"] = unit["after"].pop(0)
    for name, key in (("LoadState", "load"), ("ActiveState", "active"), ("SubState", "sub"), ("UnitFileState", "enabled"),
                      ("MainPID", "pid"), ("ActiveEnterTimestamp", "since"), ("InvocationID", "invocation")):
        print(f"{name}={(unit or {'load': 'not-found'}).get(key, '')}")
elif verb == "status":
    print(f"* {rest[-1]}\n   Active: {unit['active']}\nlog line of the unit")
    sys.exit(0 if unit["active"] == "active" else 3)
elif unit.get("refuses"):
    sys.stderr.write(unit["refuses"] + "\n")
    sys.exit(1)
else:
    if verb in ("start", "restart"):
        unit["active"] = "activating" if unit.get("after") else unit.get("becomes", "active")
        unit["invocation"] = "second"
    elif verb == "stop":
        unit["active"] = "inactive"
    elif verb in ("enable", "disable"):
        unit["enabled"] = verb + "d"
        if "--now" in rest:
            unit["active"] = "active" if verb == "enable" else "inactive"
json.dump(state, open(state_file, "w"))
"""
RUNNING = {
    "load": "loaded",
    "active": "active",
    "sub": "running",
    "enabled": "enabled",
    "pid": "42",
    "invocation": "first",
}


@pytest.fixture
def node(tmp_path, child):
    """`node(units)` is a machine with these units; `node.run(action, unit)` the task."""
    home = tmp_path / "bin"
    home.mkdir()

    class Node:
        calls_file = home / "calls"

        def has(self, broken="", **units):
            (home / "systemctl").write_text(STAND_IN)
            (home / "systemctl").chmod(0o755)
            named = {
                name.replace("__", ".") if "__" in name else f"{name}.service": unit for name, unit in units.items()
            }
            (home / "state.json").write_text(json.dumps({"units": named, "broken": broken}))
            return self

        def run(self, action, unit="nginx", dry_run=False, **params):
            import sys
            from pathlib import Path

            path = f"{home}:{Path(sys.executable).parent}"
            return child("service", {"action": action, "unit": unit, **params}, env={"PATH": path}, dry_run=dry_run)

        @property
        def verbs(self):
            return [json.loads(line)[0] for line in self.calls_file.read_text().splitlines()]

    return Node()


def test_status_says_how_it_stands_and_changes_nothing(node):
    node.has(nginx={**RUNNING, "since": "Sat 2026-11-21 06:54:49 UTC"})
    done = node.run("status")
    assert (done.code, done.out, done.err) == (0, "nginx.service: active (running), enabled\n", "")
    assert done.result == {
        "unit": "nginx.service",
        "action": "status",
        "changed": False,
        "active": "active",
        "sub": "running",
        "enabled": "enabled",
        "main_pid": 42,
        "since": "2026-11-21T06:54:49.000Z",
    }
    assert node.verbs == ["show"]


def test_a_stopped_unit_is_a_state_and_no_failure(node):
    node.has(nginx={**RUNNING, "active": "inactive", "sub": "dead", "pid": "0"})
    done = node.run("status")
    assert (done.code, done.result["active"]) == (0, "inactive")


@pytest.mark.parametrize(
    ("action", "active", "changed"),
    [("start", "active", True), ("restart", "active", True), ("stop", "inactive", True), ("reload", "active", False)],
)
def test_an_action_is_done_and_looked_after(node, action, active, changed):
    node.has(nginx=RUNNING)
    done = node.run(action)
    assert (done.code, done.result["active"], done.result["changed"]) == (0, active, changed)
    assert node.verbs == ["show", action, "show"]


def test_a_unit_that_needs_a_moment_gets_it(node):
    node.has(nginx={**RUNNING, "active": "inactive", "after": ["inactive", "activating", "activating", "active"]})
    done = node.run("start")
    assert (done.code, done.result["active"]) == (0, "active")
    assert node.verbs == ["show", "start", "show", "show", "show"]


def test_a_unit_that_falls_over_is_a_failure_with_what_systemd_says(node):
    node.has(nginx={**RUNNING, "becomes": "failed", "sub": "exit-code"})
    done = node.run("restart")
    assert done.code == 1
    assert "log line of the unit" in done.out
    assert "cannot restart 'nginx.service': it is failed (exit-code) after 30 s, not active" in done.err
    assert done.result["active"] == "failed"


def test_a_unit_that_never_gets_there_is_given_up(node):
    node.has(nginx={**RUNNING, "active": "inactive", "after": ["inactive"] + ["activating"] * 100})
    done = node.run("start", wait_seconds=0.5)
    assert done.code == 1
    assert "after 0.5 s, not active" in done.err


def test_without_waiting_nobody_minds(node):
    node.has(nginx={**RUNNING, "becomes": "activating"})
    assert node.run("start", wait_seconds=0).code == 0


def test_enable_now_starts_it_too(node):
    node.has(tick__timer={**RUNNING, "active": "inactive", "enabled": "disabled"})
    done = node.run("enable", "tick.timer", now=True)
    assert (done.code, done.result["enabled"], done.result["active"]) == (0, "enabled", "active")
    assert json.loads(node.calls_file.read_text().splitlines()[1]) == ["enable", "--now", "--", "tick.timer"]


def test_systemctl_that_refuses_is_quoted(node):
    node.has(nginx={**RUNNING, "refuses": "Failed to restart nginx.service: Access denied"})
    done = node.run("restart")
    assert done.code == 1
    assert "cannot restart 'nginx.service': Failed to restart nginx.service: Access denied" in done.err


def test_a_masked_unit_and_one_that_is_not_there_are_told_apart(node):
    node.has(nginx={**RUNNING, "load": "masked"})
    assert "it is masked" in node.run("start").err
    done = node.run("start", "nothing")
    assert (done.code, "cannot find 'nothing.service': this node has no such unit" in done.err) == (1, True)
    assert "start" not in node.verbs


def test_a_dry_run_says_what_it_would_do(node):
    node.has(nginx=RUNNING)
    done = node.run("stop", dry_run=True)
    assert (done.code, done.out) == (0, "would stop nginx.service: it is active (running), enabled\n")
    assert node.verbs == ["show"]


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "System has not been booted with systemd as init system (PID 1). Can't operate.",
        "Failed to connect to bus: No such file or directory",
    ],
)
def test_a_node_without_systemd_says_so_and_what_to_do(node, broken):
    if broken:
        node.has(broken=broken)
    done = node.run("restart")
    assert done.code == 3
    assert "cannot manage services: this node runs no systemd" in done.err
    assert "hint: use exec with" in done.err


@pytest.mark.parametrize("unit", ["-H", "--root=/x", "a b", "a;b", "*", "a/b", "", "x\n", "ünit"])
def test_what_is_no_unit_name_never_reaches_systemctl(unit):
    with pytest.raises(Invalid) as refused:
        check(kind.SCHEMA, {"action": "start", "unit": unit})
    assert refused.value.element == "params.unit"


def test_a_command_policy_judges_the_systemctl_it_stands_for():
    check_schema(kind.SCHEMA)
    assert kind.KIND.words({"action": "stop", "unit": "sshd"}) == ("systemctl", "stop", "sshd.service")
    assert kind.KIND.words({"action": "disable", "unit": "a.timer", "now": True}) == (
        "systemctl",
        "disable",
        "--now",
        "a.timer",
    )
    assert not kind.KIND.changes({"action": "status", "unit": "sshd"})
    assert kind.KIND.line({"action": "stop", "unit": "sshd"}) == "stop sshd.service"

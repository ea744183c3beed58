"""What people read, word for word. A change here is a change of the product: read it as somebody at 3 a.m. would."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from corral.testing.fake_api import FakeApi

JOB = "J000000000000000001"
SETUP = ("exec", "run", "-t", "all", "--detach", "-q", "--", "mixed")
CASES: dict[str, tuple[tuple[str, ...], ...]] = {
    "root_help": (("--help",),),
    "exec_run_help": (("exec", "run", "--help"),),
    "exec_run_all_ok": (("exec", "run", "-t", "web-*", "--", "hostname"),),
    "exec_run_some_fail_and_one_is_offline": (("exec", "run", "-t", "all", "--", "mixed"),),
    "exec_run_grouped": (("exec", "run", "-t", "web-*", "--no-live", "--", "mixed"),),
    "exec_run_timed_out": (("exec", "run", "-t", "web-1,web-2", "--", "late"),),
    "exec_run_shell_character": (("exec", "run", "-t", "web-1", "--", "echo", "a|b"),),
    "exec_run_dry_run": (("exec", "run", "-t", "all", "--dry-run", "--", "reboot"),),
    "exec_run_detach": (("exec", "run", "-t", "all", "--detach", "--", "true"),),
    "exec_run_skip_offline": (("exec", "run", "-t", "all", "--offline", "skip", "--", "true"),),
    "exec_run_json": (("exec", "run", "-t", "web-1,web-2", "-o", "json", "--", "echo", "hi"),),
    "exec_run_yaml": (("exec", "run", "-t", "web-1", "-o", "yaml", "--", "true"),),
    "exec_get": (SETUP, ("exec", "get", JOB)),
    "exec_get_wide": (SETUP, ("exec", "get", JOB, "-o", "wide")),
    "exec_get_with_output": (SETUP, ("exec", "get", JOB, "--with-output")),
    "exec_get_states": (SETUP, ("exec", "get", JOB, "--states", "failed,queued")),
    "exec_list": (SETUP, ("exec", "list")),
    "exec_list_empty": (("exec", "list"),),
    "exec_logs": (SETUP, ("exec", "logs", JOB)),
    "exec_cancel": (SETUP, ("exec", "cancel", JOB)),
    "exec_retry": (("exec", "run", "-t", "web-*", "-q", "--", "mixed"), ("exec", "retry", JOB)),
    "why_job": (SETUP, ("why", JOB)),
    "why_node": (("why", "db-9"),),
    "why_selector": (("why", "-t", "web-1", "web-2"),),
    "node_list": (("node", "list"),),
    "node_list_wide": (("node", "list", "-o", "wide"),),
    "node_list_offline": (("node", "list", "--offline", "-o", "name"),),
    "node_list_nobody": (("node", "list", "-t", "nobody"),),
    "node_show": (("node", "show", "web-1"),),
    "node_set": (("node", "set", "web-1", "--labels", "env=prod,role-", "--groups", "eu,canary"),),
    "node_top": (("node", "top", "web-1"),),
    "token_create": (("token", "create", "--uses", "3"),),
    "token_list": (("token", "create", "-q"), ("token", "list")),
    "audit_list": (("audit", "list"),),
    "system_status": (("system", "status"),),
    "config_show": (("config", "show", "--origin"),),
    "error_no_such_job": (("exec", "get", "J000000000000000099"),),
    "error_bad_selector": (("exec", "run", "-t", 'labels["a"] === (1', "--", "true"),),
    "error_nothing_matched": (("exec", "run", "-t", "nobody", "--", "true"),),
    "error_no_command": (("exec", "run", "-t", "all"),),
    "error_no_target": (("exec", "run", "--", "true"),),
    "error_bad_duration": (("exec", "run", "-t", "all", "--timeout", "5 parsecs", "--", "true"),),
    "error_bad_state": (("exec", "list", "--states", "happy"),),
    "error_script_and_command": (("exec", "run", "-t", "all", "--script", "x.sh", "--", "true"),),
    "error_raw_of_many": (SETUP, ("exec", "logs", JOB, "--raw")),
    "error_unknown_verb": (("exec", "rum"),),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_command_prints_what_its_golden_file_holds(
    name: str, cli: Callable[..., Any], api: FakeApi, golden: Callable[[str, str], None]
) -> None:
    *setup, words = CASES[name]
    for earlier in setup:
        cli(*earlier)
        api.settle()
    result = cli(*words)
    text = f"$ corral {' '.join(words)}\n{result.out}"
    text += f"--- stderr\n{result.err}" if result.err else ""
    text = f"{text}--- exit {result.status}\n".replace(api.url, "http://SERVER")
    golden(name, re.sub(r"\bin [\d.]+ s( to [\d.]+ s)?", "in T", text))

"""Tasks of executor kinds: a child process by contract, with a command's cancel, limits, output and report."""

import sys

import pytest

PLUGIN = """
import os, sys
from corral.agent.executors.contract import BadParams, Failed, MissingDriver, Request, emit, main, on_cancel, result
from corral.domain.executors.contract import ExecutorKind

KIND = ExecutorKind(
    name="greet",
    summary="greets",
    module="greet_plugin",
    permission="exec.run",
    schema={"type": "object", "properties": {"name": {"type": "string"}, "do": {"type": "string", "default": "greet"}},
            "required": ["name"], "additionalProperties": False},
    line=lambda params: params["name"],
)

def run(request: Request) -> None:
    do = request.params["do"]
    if do == "fail":
        raise Failed("cannot greet: nobody there", hint="knock")
    if do == "driver":
        raise MissingDriver("cannot greet: no voice", hint="pip install voice")
    if do == "wait":
        on_cancel(lambda: emit("stopping"))
        emit("waiting")
        import threading
        threading.Event().wait(60)
    emit("hello " + request.params["name"])
    result({"greeted": request.params["name"], "dry_run": request.dry_run, "deadline": request.deadline_seconds})

if __name__ == "__main__":
    main(KIND, run)
"""


@pytest.fixture
def python(tmp_path):
    """An interpreter that has the plugin installed: its folder holds a module and its entry point."""
    site = tmp_path / "site"
    (site / "greet-1.dist-info").mkdir(parents=True)
    (site / "greet_plugin.py").write_text(PLUGIN)
    (site / "greet-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: greet\nVersion: 1\n")
    (site / "greet-1.dist-info" / "entry_points.txt").write_text("[corral.executors]\ngreet = greet_plugin:KIND\n")
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{site}" exec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
async def rig(make_rig, python):
    return await (await make_rig(executors_python=python).start()).synced()


async def test_a_plugin_of_the_executors_python_does_the_task_and_says_what_came_of_it(rig):
    rig.run(kind="greet", params={"name": "ana"}, dry_run=True, timeout=30.0)
    end = await rig.plane.end()
    assert (end["state"], end["exit_code"]) == ("succeeded", 0)
    assert rig.plane.stream()[0] == b"hello ana\n"
    assert end["result"] == {"greeted": "ana", "dry_run": True, "deadline": 30.0}


@pytest.mark.parametrize(
    ("params", "state", "reason", "words"),
    [
        ({"name": "x", "do": "fail"}, "failed", "", "cannot greet: nobody there; hint: knock"),
        ({"name": "x", "do": "driver"}, "rejected", "executor", "hint: pip install voice"),
        ({"name": 3}, "rejected", "schema", "cannot use 3 as params.name: expected string"),
        ({}, "rejected", "schema", "'name' is missing"),
        ({"name": "x", "more": 1}, "rejected", "schema", "there is no 'more'"),
    ],
)
async def test_a_child_that_cannot_says_so_in_its_own_words(rig, params, state, reason, words):
    rig.run(kind="greet", params=params)
    end = await rig.plane.end()
    assert (end["state"], end.get("reason", "")) == (state, reason)
    assert words in end["detail"]


async def test_a_kind_nobody_installed_is_rejected_with_what_to_do(rig):
    rig.run(kind="teleport", params={})
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("rejected", "executor")
    assert "no executor" in end["detail"]
    assert "executors_python" in end["detail"]


async def test_cancel_lets_the_driver_stop_first_and_ends_like_any_other(rig):
    rig.run(kind="greet", params={"name": "x", "do": "wait"})
    await rig.plane.until(lambda: rig.plane.stream()[0] == b"waiting\n")
    rig.plane.push("cancel", rig.plane.cancel())
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("cancelled", "killed")
    await rig.plane.until(lambda: rig.plane.stream()[0] == b"waiting\nstopping\n")


async def test_params_take_their_secrets_at_the_start_and_give_none_back(rig):
    rig.run(kind="greet", params={"name": "{{ secret.WHO }}"}, private={"secrets": {"WHO": "top-secret"}})
    end = await rig.plane.end()
    assert rig.plane.stream()[0] == b"hello **********\n"
    assert end["result"]["greeted"] == "**********"


async def test_the_module_does_not_come_from_the_folder_it_runs_in(rig, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('hijacked')")
    monkeypatch.setattr(rig.worker._runner._supervision._preparer, "_home", str(tmp_path))
    rig.run(kind="greet", params={"name": "ana"})
    assert (await rig.plane.end())["state"] == "succeeded"

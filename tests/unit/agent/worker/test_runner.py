"""Commands really run: outcomes, signals, environment, stdin, scripts, limits, slots."""

import asyncio
import getpass
import json
import os
import shutil

import pytest


async def test_a_short_task_says_everything_in_one_report(rig):
    rig.run("true")
    end = await rig.plane.end()
    assert (end["state"], end["exit_code"]) == ("succeeded", 0)
    assert len(rig.plane.reports) == 1
    assert end["delivered_at"] <= end["started_at"] <= end["finished_at"]


@pytest.mark.parametrize("warm", [0, 1])
async def test_output_exit_code_and_bytes_are_exact(make_rig, warm):
    rig = make_rig(warm_wrappers=warm)
    await (await rig.start()).synced()
    rig.run("sh", "-c", "printf 'a\\0b\\377'; printf oops >&2; exit 7")
    end = await rig.plane.end()
    assert (end["state"], end["exit_code"], end["stdout_bytes"], end["stderr_bytes"]) == ("failed", 7, 4, 4)
    assert rig.plane.stream() == (b"a\0b\xff", 0)
    assert rig.plane.stream(stream="stderr") == (b"oops", 0)
    assert not end.get("truncated")


@pytest.mark.parametrize("warm", [0, 1])
async def test_environment_directory_and_odd_arguments_arrive_unchanged(make_rig, tmp_path, warm):
    rig = make_rig(warm_wrappers=warm)
    await (await rig.start()).synced()
    odd = ["", "a b", "it's", '"$HOME"', "new\nline", "*", "\\", "-n", "ü"]
    code = (
        "import json,os,sys; print(json.dumps([sys.argv[1:], os.getcwd(), os.environ['K'], os.environ['CORRAL_TASK']]))"
    )
    rig.run("python3", "-c", code, *odd, env={"K": "v 'w'\n"}, cwd=str(tmp_path))
    end = await rig.plane.end()
    assert end["state"] == "succeeded", (end, rig.plane.stream(stream="stderr"))
    assert json.loads(rig.plane.stream()[0]) == [odd, str(tmp_path), "v 'w'\n", "n1.J1.1"]


async def test_the_agents_own_environment_is_not_passed_on(make_rig, monkeypatch):
    monkeypatch.setenv("AGENT_SECRET", "s3cret")
    rig = make_rig()
    await (await rig.start()).synced()
    rig.run("env")
    await rig.plane.end()
    assert b"AGENT_SECRET" not in rig.plane.stream()[0]


async def test_names_no_shell_would_pass_on_reach_the_command(rig):
    rig.run("env", env={"a.b-c": "1", "IFS": "0", "UID": "x"})
    end = await rig.plane.end()
    assert end["exit_code"] == 0
    assert b"a.b-c=1\n" in rig.plane.stream()[0]


async def test_stdin_shell_and_script_forms_work(rig):
    rig.run("cat", job="J1", stdin="aGVsbG8=")
    rig.run(job="J2", shell='read x; echo "got $x" | tr a-z A-Z; exit 3')
    rig.run(job="J3", script="import sys\nprint(6*7)\nsys.exit(4)\n", interpreter="python3")
    rig.run(job="J4", shell="echo " + "x" * 150_000)
    assert (await rig.plane.end("J1"))["exit_code"] == 0
    assert (await rig.plane.end("J2"))["exit_code"] == 3
    assert (await rig.plane.end("J3"))["exit_code"] == 4
    assert (await rig.plane.end("J4"))["exit_code"] == 0
    assert rig.plane.stream("J1")[0] == b"hello"
    assert rig.plane.stream("J2")[0] == b"GOT \n"
    assert rig.plane.stream("J3")[0] == b"42\n"
    assert len(rig.plane.stream("J4")[0]) == 150_001


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        ({"argv": ["no-such-program-here"]}, 127, "no such program"),
        ({"argv": ["/etc/passwd"]}, 126, "not an executable"),
        ({"argv": ["cd"]}, 127, "--shell"),
        ({"argv": ["true"], "cwd": "/no/such/folder"}, None, "/no/such/folder"),
        ({"argv": ["true"], "user": "no-such-user"}, None, "no such user"),
    ],
)
async def test_what_cannot_start_is_failed_spawn_and_says_why(rig, spec, code, words):
    rig.run(**spec)
    end = await rig.plane.end()
    assert (end["state"], end["reason"], end.get("exit_code")) == ("failed", "spawn", code)
    assert words in end["detail"]


async def test_a_missing_interpreter_says_how_to_get_it(rig):
    if shutil.which("pwsh"):
        pytest.skip("pwsh is installed here")
    rig.run(script="1", interpreter="pwsh")
    end = await rig.plane.end()
    assert (end["state"], end["reason"], end["exit_code"]) == ("failed", "spawn", 127)
    assert "PowerShell" in end["detail"]


async def test_death_by_signal_is_reported_and_leaves_no_word_of_the_wrapper(rig):
    rig.run("sh", "-c", "kill -9 $$")
    end = await rig.plane.end()
    assert (end["state"], end["exit_code"], end["signal"], end.get("stderr_bytes", 0)) == ("failed", 137, 9, 0)


async def test_a_command_that_signals_its_own_group_is_still_witnessed(rig):
    rig.run("sh", "-c", "kill -TERM 0; sleep 10")
    end = await rig.plane.end()
    assert (end["state"], end["signal"]) == ("failed", 15)


async def test_a_longer_task_is_announced_and_its_first_output_comes_at_once(rig):
    loop = asyncio.get_running_loop()
    began = loop.time()
    rig.run("sh", "-c", "echo first; sleep 0.4; echo second")
    await rig.plane.until(lambda: rig.plane.chunks)
    assert loop.time() - began < 0.25
    end = await rig.plane.end()
    assert [r["state"] for r in rig.plane.reports] == ["running", "succeeded"]
    assert [r["seq"] for r in rig.plane.reports] == [2, 3]
    assert rig.plane.stream()[0] == b"first\nsecond\n"
    assert 0.3 < end["finished_at"] - end["started_at"] < 3


@pytest.mark.parametrize("step", [86400.0, -86400.0])
async def test_a_clock_put_right_while_a_task_runs_does_not_change_how_long_it_ran(rig, step):
    rig.run("sh", "-c", "echo first; sleep 0.4")
    await rig.plane.until(lambda: rig.plane.chunks)
    rig.worker._time.learn(rig.worker._time.now() + step)
    end = await rig.plane.end()
    assert 0.3 < end["finished_at"] - end["started_at"] < 3


async def test_tasks_beyond_the_slots_wait_and_are_delivered_at_once(make_rig):
    rig = make_rig(slots=2)
    await (await rig.start()).synced()
    for number in range(5):
        rig.run("sleep", "0.3", job=f"J{number}")
    assert len(rig.worker.status()["running"]) == 2
    assert rig.worker.status()["queued"] == 3
    await rig.plane.until(lambda: sum(r["state"] == "delivered" for r in rig.plane.reports) == 3)
    for number in range(5):
        assert (await rig.plane.end(f"J{number}"))["state"] == "succeeded"
    starts = {r["job"]: r["started_at"] for r in rig.plane.reports if r["state"] == "succeeded"}
    assert sorted(starts, key=starts.get) == [f"J{n}" for n in range(5)]


async def test_a_task_that_runs_too_long_is_timed_out_with_its_tree(rig):
    rig.run("sh", "-c", "trap '' TERM; sleep 60 & sleep 60", timeout=0.3, grace=0.2)
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("timed_out", "timeout")
    assert end["cancel"]["signalled_count"] >= 2
    assert end["cancel"]["survivors"] == []
    assert end["finished_at"] - end["started_at"] < 5


async def test_without_execution_everything_happens_but_the_process(make_rig):
    rig = make_rig()
    await rig.start(execute=False)
    await rig.synced()
    rig.run("no-such-program-here")
    assert (await rig.plane.end())["state"] == "succeeded"
    assert rig.state.journal.exists()


async def test_the_spool_folder_goes_when_all_is_delivered(rig):
    rig.run("echo", "x")
    await rig.plane.end()
    await rig.plane.until(lambda: not list(rig.state.spool.iterdir()))
    await rig.plane.until(lambda: rig.worker.status()["digest"] == "0" * 16)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
async def test_another_user_runs_commands_and_scripts(rig):
    rig.run("id", "-un", job="J1", user="nobody", cwd="/")
    rig.run(job="J2", script="id -un; echo err >/dev/stderr", user="nobody", cwd="/")
    rig.run("id", "-un", job="J3", user=getpass.getuser())
    for job, name in (("J1", b"nobody\n"), ("J2", b"nobody\n"), ("J3", getpass.getuser().encode() + b"\n")):
        end = await rig.plane.end(job)
        assert end["state"] == "succeeded", (end, rig.plane.stream(job, stream="stderr"))
        assert rig.plane.stream(job)[0] == name
    assert rig.plane.stream("J2", stream="stderr")[0] == b"err\n"


async def test_128_tasks_at_once_all_end_once(make_rig):
    rig = make_rig(slots=128)
    await (await rig.start()).synced()
    for number in range(128):
        rig.run("sh", "-c", f"echo {number}; exit {number % 5}", job=f"J{number}")
    for number in range(128):
        assert (await rig.plane.end(f"J{number}"))["exit_code"] == number % 5
        assert rig.plane.stream(f"J{number}")[0] == b"%d\n" % number
    assert all(len(rig.plane.ends(f"J{n}")) == 1 for n in range(128))

"""Tasks with secrets: filled in at the start, out of every file that stays and every message that leaves, also over a restart."""

import asyncio
import base64

import pytest

SECRET = "correct-horse-battery-staple"
PRIVATE = {"secrets": {"DB": SECRET}}


def everywhere(rig):
    """Every byte the worker keeps on disk or has sent."""
    files = b"".join(p.read_bytes() for p in rig.state.root.rglob("*") if p.is_file())
    said = b"".join(data for chunks in rig.plane.chunks.values() for _, _, data in chunks)
    return files + said + repr(rig.plane.reports).encode()


def hidden(data):
    return all(
        form not in data
        for form in (SECRET.encode(), base64.b64encode(SECRET.encode()), SECRET.encode().hex().encode())
    )


@pytest.mark.parametrize(
    "spec",
    [
        {"argv": ["sh", "-c", 'printf "%s" "$PW"'], "env": {"PW": "{{ secret.DB }}"}},
        {"shell": "printf %s '{{ secret.DB }}'"},
        {"script": "import sys; sys.stdout.write('{{secret.DB}}')", "interpreter": "python3"},
        {"argv": ["cat"], "stdin": base64.b64encode(b"{{ secret.DB }}").decode()},
    ],
    ids=["env", "shell", "script", "stdin"],
)
async def test_a_secret_reaches_the_command_and_comes_back_as_stars(rig, spec):
    rig.run(private=PRIVATE, **spec)
    end = await rig.plane.end()
    assert (end["state"], end["stdout_bytes"]) == ("succeeded", len(SECRET))
    await rig.plane.until(lambda: len(rig.plane.stream()[0]) == len(SECRET))
    assert rig.plane.stream()[0] == b"*" * len(SECRET)
    await rig.plane.until(lambda: not rig.folder().exists())
    assert hidden(everywhere(rig))


async def test_a_secret_is_in_no_process_list_while_it_runs(rig, tmp_path):
    rig.run(shell="ps -eo args; : '{{ secret.DB }}'", private=PRIVATE)
    await rig.plane.end()
    listed = rig.plane.stream()[0]
    assert b"ps -eo args" in listed
    assert b"*" * len(SECRET) not in listed
    assert hidden(listed)


async def test_half_a_secret_waits_for_its_other_half(rig, tmp_path):
    go = tmp_path / "go"
    half = len(SECRET) // 2
    rig.run(
        shell=f"printf 'a%s' {SECRET[:half]}; until test -e {go}; do sleep 0.01; done; printf '%sz' {SECRET[half:]}",
        private=PRIVATE,
    )
    await rig.plane.until(lambda: rig.plane.stream()[0])
    await asyncio.sleep(0.1)
    assert rig.plane.stream()[0] == b"a"
    go.touch()
    await rig.plane.end()
    await rig.plane.until(lambda: len(rig.plane.stream()[0]) == len(SECRET) + 2)
    assert rig.plane.stream()[0] == b"a" + b"*" * len(SECRET) + b"z"


async def test_a_task_that_waited_over_a_restart_still_has_its_secret(make_rig):
    rig = await make_rig(slots=1).start()
    await rig.synced()
    rig.run("sleep", "1", job="J1")
    rig.run(shell="printf %s '{{ secret.DB }}'", job="J2", private=PRIVATE)
    await rig.plane.until(lambda: any(r["job"] == "J2" for r in rig.plane.reports))
    await rig.stop()
    assert hidden(everywhere(rig))
    await rig.start()
    end = await rig.plane.end("J2")
    assert (end["state"], end["stdout_bytes"]) == ("succeeded", len(SECRET))
    assert rig.plane.stream("J2")[0] == b"*" * len(SECRET)


async def test_a_secret_that_did_not_come_is_said_and_nothing_runs(rig):
    rig.run(shell="printf %s '{{ secret.OTHER }}'", private=PRIVATE)
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("failed", "spawn")
    assert "'OTHER'" in end["detail"]


async def test_a_name_that_would_show_its_value_is_refused(rig):
    rig.run("true", env={"a.b": "{{ secret.DB }}"}, private=PRIVATE)
    end = await rig.plane.end()
    assert (end["state"], end["reason"]) == ("failed", "spawn")
    assert hidden(repr(end).encode())

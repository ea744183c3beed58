"""`corral rollout`: from options to a request, from an answer to what people and scripts read."""

import json
from contextlib import asynccontextmanager

import pytest

from corral.cli import lanes
from corral.cli.commands.rollout import change_of
from corral.cli.output import rollouts as shown
from corral.cli.session import Session
from corral.domain.errors import Invalid
from corral.sdk.rollouts import NewRollout, Rollout, RolloutWhy, gate, strategy

R = "R000000000000000001"


def stage(index, nodes, **fields):
    plain = {
        "name": f"{10 * index}%",
        "counts": {},
        "gate": "pending",
        "why": "",
        "job": None,
        "started_at": None,
        "ended_at": None,
    }
    return {**plain, "index": index, "nodes": [f"n{index}{i}" for i in range(nodes)], **fields}


def answer(**fields):
    plain = {
        "rollout": R, "name": "web", "state": "running", "stage": 2, "pinned": "sha256:aa", "rollback": [], "hold": "", "reason": "",
        "target": "all", "change": "true", "strategy": "percentage:10", "nodes": 6, "created_at": "2026-11-21T12:00:00Z",
        "created_by": "ann",
        "stages": [
            stage(1, 1, counts={"succeeded": 1}, gate="passed", job="J1", started_at="2026-11-21T12:00:00.000Z"),
            stage(2, 4, counts={"running": 1, "failed": 1, "succeeded": 2}, job="J2"),
            stage(3, 1),
        ],
    }  # fmt: skip
    return {**plain, **fields}


class Rollouts:
    """The client's rollouts, scripted."""

    def __init__(self, *answers):
        self.answers = [Rollout.from_json(each) for each in answers]
        self.asked = []

    async def follow(self, rollout):
        for each in self.answers:
            yield each

    async def get(self, rollout):
        self.asked.append(("get", rollout))
        return self.answers[-1]

    async def list(self, **query):
        self.asked.append(("list", query))
        return self.answers

    async def why(self, rollout):
        return RolloutWhy(rollout=rollout, state="paused", lines=("Stage 2 failed.",), raw={"rollout": rollout})

    def __getattr__(self, verb):
        async def call(*words):
            self.asked.append((verb, *words))
            return self.answers[-1]

        return call


class Fleet:
    def __init__(self, *answers):
        self.rollouts = Rollouts(*answers)
        self.nodes = self.files = self
        self.uploaded = []

    async def resolve(self, selector):
        return None

    async def upload(self, src):
        self.uploaded.append(src)
        return type("Revision", (), {"source_path": "/a/b", "revision": 3})


@pytest.fixture
def fleet(monkeypatch):
    made = Fleet(answer())

    @asynccontextmanager
    async def connect(self):
        yield made

    monkeypatch.setattr(Session, "connect", connect)
    return made


CREATE = ("rollout", "create", "--name", "web", "-t", "all", "--strategy", "count:1,0")


def test_create_sends_what_the_options_say_and_prints_the_id(fleet, cli):
    result = cli(
        *CREATE, "--command", "echo 'a b'", "--timeout", "30", "--stage-deadline", "2m", "--max-failed", "1,2", "--gate", "online",
        "--gate", "command:true", "--on-failure", "rollback", "--rollback-cmd", "undo it", "--auto-advance", "--advance-interval", "5",
        "--concurrency", "3", "--retry", "1", "--env", "A=1",
    )  # fmt: skip
    assert (result.status, result.out) == (0, f"{R}\n")
    assert "6 nodes in 3 stages" in result.err
    ((verb, new),) = fleet.rollouts.asked
    assert verb == "create"
    body = new.body()
    assert body["strategy"] == {"kind": "count", "values": ["1", "0"]}
    assert body["change"] == {"argv": ["echo", "a b"], "concurrency": 3, "retries": 1, "env": {"A": "1"}}
    assert body["gates"] == [{"kind": "online"}, {"kind": "command", "shell": "true"}]
    assert (body["timeout"], body["stage_deadline"], body["advance_interval"]) == (30.0, 120.0, 5.0)
    assert (body["rollback_command"], body["on_failure"], body["max_failed"]) == (
        {"shell": "undo it"},
        "rollback",
        "1,2",
    )
    assert body["auto_advance"] is True


def test_create_uploads_the_file_it_ships(fleet, cli):
    result = cli(
        *CREATE,
        "--file-src",
        "app.conf",
        "--file-dest",
        "/etc/app.conf",
        "--file-mode",
        "0640",
        "--file-notify",
        "reload",
        "--file-job-bandwidth",
        "3MiB",
    )
    assert result.status == 0
    assert fleet.uploaded == ["app.conf"]
    file = fleet.rollouts.asked[0][1].body()["change"]["file"]
    assert file == {
        "op": "apply", "dest": "/etc/app.conf", "mode": "0640", "notify": "reload", "source": "/a/b", "revision": 3,
        "job_bandwidth": 3 << 20,
    }  # fmt: skip


def test_a_dry_run_shows_who_is_in_which_stage_and_starts_nothing(fleet, cli):
    extra = {
        "rollout": "",
        "offline": ["n20"],
        "labels": {"rack": {"r1": 4, "r2": 2}},
        "comparison": {"lines": ["Same as before."]},
    }
    fleet.rollouts.answers = [Rollout.from_json(answer(**extra))]
    result = cli(*CREATE, "--command", "true", "--dry-run")
    assert (result.status, [verb for verb, *_ in fleet.rollouts.asked]) == (0, ["preview"])
    for text in ("  2  20%: 4 nodes: n20, n21, n22, n23", "1 offline: n20", "rack: r1 4, r2 2", "Same as before."):
        assert text in result.out


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--command", "a", "--script", "x"),
        ("--command", "'"),
        ("--command", " "),
        ("--command", "a", "--interpreter", "sh"),
        ("--command", "a", "--file-dest", "/x"),
        ("--file-src", "x"),
        ("--command", "a", "--gate", "whatever"),
        ("--command", "a", "--stage", "x"),
        ("--command", "a", "--max-failed"),
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(fleet, cli, words):
    result = cli(*CREATE, *words)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert fleet.rollouts.asked == []


def test_a_script_is_read_and_a_shell_line_is_kept_as_it_is(tmp_path):
    options = dict.fromkeys(
        [
            "command_line",
            "script",
            "file_src",
            "file_dest",
            "shell",
            "args",
            "interpreter",
            "concurrency",
            "retries",
            "file_mode",
        ]
    )
    path = tmp_path / "x.py"
    path.write_text("print(1)")
    made, upload = change_of({**options, "env": (), "script": str(path), "interpreter": "python3"})
    assert (made, upload) == ({"script": "print(1)", "interpreter": "python3"}, None)
    made, _ = change_of({**options, "env": (), "command_line": "a | b", "shell": True, "args": "c 'd"})
    assert made == {"shell": "a | b c 'd"}
    made, _ = change_of({**options, "env": (), "command_line": "a", "args": "b 'c d'"})
    assert made == {"argv": ["a", "b", "c d"]}


def test_json_is_the_shape_scripts_rely_on(fleet, cli):
    data = json.loads(cli("rollout", "status", R, "-o", "json").out)
    assert list(data) == ["rollout", "name", "state", "stage", "stages", "pinned"]
    assert list(data["stages"][0]) == ["index", "nodes", "counts", "gate", "started_at", "ended_at"]
    assert data["stages"][0] == {
        "index": 1, "nodes": ["n10"], "counts": {"succeeded": 1}, "gate": "passed", "started_at": "2026-11-21T12:00:00.000Z",
        "ended_at": None,
    }  # fmt: skip


def test_status_is_a_lane_for_each_stage(fleet, cli):
    out = cli("rollout", "status", R).out
    assert f"{R} (web): running" in out
    assert "  1  10%  [####################]       1/1  passed    1 succeeded" in out
    assert "  2  20%  [##########!!!!!.....]       3/4  running   2 succeeded, 1 failed, 1 running" in out
    assert "  3  30%  [....................]       0/1  waiting" in out


def test_what_a_stage_failed_of_stands_in_its_lane_and_the_next_command_below(fleet, cli):
    failed = stage(1, 1, counts={"failed": 1}, gate="failed", job="J1", why="1 of 1 nodes failed")
    back = stage(1, 1, counts={"succeeded": 1}, gate="passed", job="J2", name="what failed")
    made = answer(state="paused", hold="failed", reason="stage 1 failed", stages=[failed], rollback=[back])
    fleet.rollouts.answers = [Rollout.from_json(made)]
    result = cli("rollout", "status", R, "-o", "wide")
    assert "(1 of 1 nodes failed)" in result.out
    assert "back\n" in result.out
    assert "sha256:aa" in result.out
    assert f"corral rollout resume {R}" in result.err


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"state": "succeeded"}, 0, ""),
        ({"state": "paused", "hold": "advance"}, 0, "corral rollout advance"),
        ({"state": "paused", "hold": "failed"}, 1, "corral why"),
        ({"state": "paused", "hold": "asked"}, 1, "corral rollout resume"),
        ({"state": "rolled_back"}, 1, ""),
        ({"state": "failed"}, 1, "corral why"),
    ],
)
def test_following_ends_when_somebody_has_to_decide_and_says_how(fleet, cli, fields, status, words):
    fleet.rollouts.answers = [Rollout.from_json(each) for each in (answer(), answer(), answer(**fields))]
    result = cli("rollout", "status", "--follow", R)
    assert result.status == status
    lines = result.out.splitlines()
    assert lines[0] == "stage 1/3 (10%): passed, 1/1 done, 1 succeeded"
    assert lines[1] == "stage 2/3 (20%): running, 3/4 done, 1 failed, 1 running, 2 succeeded"
    assert lines.count(f"{R} (web): running") == 1, "only what changed is said"
    assert words in result.err


def test_following_for_machines_prints_the_end_only(fleet, cli):
    fleet.rollouts.answers = [Rollout.from_json(each) for each in (answer(), answer(state="succeeded"))]
    result = cli("rollout", "status", "--follow", R, "-o", "json")
    assert json.loads(result.out)["state"] == "succeeded"


def test_on_a_terminal_lanes_are_drawn_over_the_ones_before(fleet, monkeypatch, capsys):
    monkeypatch.setattr(lanes, "is_terminal", lambda stream: True)
    monkeypatch.setattr(lanes, "_size", lambda: (60, 24))
    drawing = lanes.Lanes(Session())
    drawing._show(Rollout.from_json(answer()))
    drawing._show(Rollout.from_json(answer(reason="x" * 100)))
    out = capsys.readouterr().out
    assert out.count("\x1b[J") == 2
    assert "\x1b[4A" in out
    assert all(len(line) < 60 for line in out.replace("\x1b[4A\r\x1b[J", "").splitlines())


def test_more_stages_than_lines_show_those_around_the_one_that_is_out(monkeypatch, capsys):
    monkeypatch.setattr(lanes, "is_terminal", lambda stream: True)
    monkeypatch.setattr(lanes, "_size", lambda: (80, 12))
    stages = [stage(i, 1) for i in range(1, 51)]
    lanes.Lanes(Session())._show(Rollout.from_json(answer(stages=stages, stage=30)))
    out = capsys.readouterr().out.rstrip("\n").split("\n")
    assert len(out) == 11
    assert any(line.startswith(" 30 ") for line in out)


def test_the_other_verbs_ask_the_server_and_say_where_it_stands(fleet, cli):
    for verb in ("advance", "pause", "resume", "rollback"):
        result = cli("rollout", verb, R)
        assert (result.status, result.out) == (0, f"{R} (web): running\n")
    cli("rollout", "rollback", R, "--rollback-cmd", "undo")
    asked = [entry for entry in fleet.rollouts.asked if entry[0] != "get"]
    assert asked == [
        ("advance", R), ("pause", R), ("resume", R), ("roll_back", R, None), ("roll_back", R, {"shell": "undo"}),
    ]  # fmt: skip
    fleet.rollouts.answers = [Rollout.from_json(answer(state="rolled_back"))]
    assert cli("rollout", "rollback", R, "--follow").status == 0


def test_list_is_a_table_and_why_a_story(fleet, cli):
    result = cli("rollout", "list", "--states", "running,rolled-back")
    assert result.out.splitlines()[0].split() == ["ROLLOUT", "STATE", "STAGE", "NODES", "AGE", "NAME", "CHANGE"]
    assert fleet.rollouts.asked == [("list", {"limit": 20, "states": ["running", "rolled_back"]})]
    assert cli("rollout", "list", "-o", "name").out == f"{R}\n"
    fleet.rollouts.answers = []
    assert cli("rollout", "list").out == "no rollouts\n"
    assert cli("why", R).out == f"{R}: paused\n  Stage 2 failed.\n"


def test_texts_become_strategies_and_gates():
    assert strategy(["a", "b"]) == {"kind": "selectors", "values": ["a", "b"]}
    assert strategy("groups:rack") == {"kind": "groups", "values": ["rack"]}
    assert gate("https://a/") == {"kind": "http", "url": "https://a/"}
    for bad in ("x", "command:", "command"):
        with pytest.raises(Invalid):
            gate(bad)
    with pytest.raises(Invalid):
        strategy("fast")
    assert NewRollout(name="a", target="b", strategy="count:0", change={"argv": ["c"]}).body() == {
        "name": "a", "target": "b", "strategy": {"kind": "count", "values": ["0"]}, "change": {"argv": ["c"]}, "gates": [],
        "auto_advance": False,
    }  # fmt: skip


def test_hostile_names_do_not_reach_the_terminal():
    made = Rollout.from_json(answer(name="\x1b[2J", reason="\x1b]0;x\x07", change="\x9b31m", target="\u202e"))
    text = shown.page(made, columns=None, wide=True) + "\n".join(shown.plan_lines(made))
    assert not any(character in text for character in "\x1b\x07\x9b\u202e")

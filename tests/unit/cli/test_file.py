"""`corral file …` against a fake server: what goes up, what is submitted, what people and scripts read."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from corral.cli.output.files import where_rows
from corral.testing.fake_api import TOKEN, Act, FakeApi, node
from corral.testing.fake_files import changed

OLD = hashlib.sha256(b"old").hexdigest()
NEW = hashlib.sha256(b"new\n").hexdigest()
DIFF = b"--- /etc/app.conf\n+++ /etc/app.conf\n@@ -1 +1 @@\n-old\n+new\n"


def act(name: str, body: Mapping[str, Any]) -> Act:
    """web-3 has it already; on a path with `bad` web-2 fails; fetch sends `<node>`."""
    what = body["file"]
    if what["op"] == "fetch":
        data = name.encode()
        result = {"changed": False, "old": None, "new": hashlib.sha256(data).hexdigest(), "size": len(data)}
        if "lies" in what["dest"]:
            result["new"] = OLD
        return Act(stdout=data, result={**result, "dest": what["dest"]})
    if "bad" in what["dest"] and name == "web-2":
        return Act(state="failed", exit_code=None, reason_text="the file was left as it was")
    if what["op"] == "delete":
        return changed(OLD, None)
    if name == "web-3":
        return changed(NEW, NEW)
    return changed(OLD, NEW, stdout=DIFF if what.get("diff") else b"")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeApi]:
    with FakeApi([node(f"web-{i}", role="web") for i in (1, 2, 3)] + [node("db-9", "offline")], act=act) as server:
        monkeypatch.setenv("CORRAL_URL", server.url)
        monkeypatch.setenv("CORRAL_TOKEN", TOKEN)
        (tmp_path / "app.conf").write_bytes(b"new\n")
        yield server


Cli = Callable[..., Any]


def submitted(api: FakeApi) -> dict[str, Any]:
    return dict(list(api.jobs.values())[-1].body)


def test_apply_uploads_submits_and_says_who_changed(cli: Cli, api: FakeApi, tmp_path: Path) -> None:
    result = cli(
        "file", "apply", "--src", "app.conf", "--dest", "/etc/app.conf", "-t", "web-*", "--owner", "app:app",
        "--mode", "0640", "--validate", "check %s", "--notify", "reload", "--no-backup", "--concurrency", "2",
        "--bandwidth", "1MiB",
    )  # fmt: skip
    assert result.status == 0
    assert f"2 nodes: changed {OLD[:12]} → {NEW[:12]}" in result.out
    assert f"1 node: unchanged {NEW[:12]}" in result.out
    assert submitted(api) == {
        "target": "web-*",
        "kind": "file",
        "concurrency": 2,
        "file": {
            "op": "apply", "source": str(tmp_path / "app.conf"), "revision": 1, "dest": "/etc/app.conf", "owner": "app:app",
            "mode": "0640", "validate": "check %s", "notify": "reload", "backup": False, "bandwidth": 1 << 20,
        },
    }  # fmt: skip


def test_limits_of_the_bandwidth_are_the_servers_to_share_out(cli: Cli, api: FakeApi) -> None:
    words = ("file", "apply", "--src", "app.conf", "--dest", "/x", "-t", "web-*", "--job-bandwidth", "3MiB")
    cli(*words, "--bandwidth", "1MiB")
    asked = submitted(api)["file"]
    assert (asked["bandwidth"], asked["job_bandwidth"]) == (1 << 20, 3 << 20)


def test_the_same_bytes_are_sent_once_and_make_one_revision(cli: Cli, api: FakeApi) -> None:
    words = ("file", "apply", "--src", "app.conf", "--dest", "/etc/app.conf", "-t", "web-1")
    assert cli(*words).status == 0
    assert cli(*words).status == 0
    assert api.files.parts == [(0, 4)]
    assert [len(rows) for rows in api.files.revisions.values()] == [1]


def test_scripts_read_changed_and_the_digests_of_every_task(cli: Cli, api: FakeApi) -> None:
    result = cli("file", "apply", "--src", "app.conf", "--dest", "/etc/app.conf", "-t", "web-1,web-3", "-o", "json")
    assert result.err == ""
    tasks = {task["node"]: task for task in json.loads(result.out)["tasks"]}
    assert tasks["web-1"]["result"]["changed"] is True
    assert tasks["web-1"]["result"]["new"] == NEW
    assert tasks["web-3"]["result"]["changed"] is False


def test_identical_diffs_are_shown_once_and_nothing_is_changed(cli: Cli, api: FakeApi) -> None:
    result = cli("file", "apply", "--src", "app.conf", "--dest", "/etc/app.conf", "-t", "web-*", "--diff")
    assert result.status == 0
    assert result.out.count("+new") == 1
    assert "2 nodes: changed" in result.out and "1 node: unchanged" in result.out
    assert "nothing was changed" in result.err
    assert submitted(api)["file"]["dry_run"] is True


def test_a_node_that_fails_makes_the_status_1_and_says_why(cli: Cli, api: FakeApi) -> None:
    result = cli("file", "apply", "--src", "app.conf", "--dest", "/etc/bad", "-t", "web-*")
    assert result.status == 1
    assert "FAILED (web-2)" in result.out


def test_a_wrong_digest_ships_nothing(cli: Cli, api: FakeApi) -> None:
    result = cli("file", "apply", "--src", "app.conf", "--dest", "/x", "-t", "all", "--sha256", "0" * 64)
    assert result.status == 2
    assert NEW in result.err
    assert not api.files.uploads and not api.jobs


def test_a_selector_that_hits_nobody_ships_nothing(cli: Cli, api: FakeApi) -> None:
    result = cli("file", "apply", "--src", "app.conf", "--dest", "/x", "-t", "nobody")
    assert result.status == 3
    assert not api.files.uploads and not api.files.revisions


def test_a_directory_travels_as_the_same_tar_every_time(cli: Cli, api: FakeApi, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "b").mkdir(parents=True)
    (site / "b" / "two").write_text("2")
    (site / "one.sh").write_text("1")
    (site / "one.sh").chmod(0o750)
    assert cli("file", "apply", "--src", "site", "--dest", "/srv/site", "-t", "web-1").status == 0
    (site / "b" / "two").touch()
    assert cli("file", "apply", "--src", "site", "--dest", "/srv/site", "-t", "web-1").status == 0
    (rows,) = api.files.revisions.values()
    assert [(row["revision"], row["archive"]) for row in rows] == [(1, "tar")]
    with tarfile.open(fileobj=io.BytesIO(api.files.blobs[rows[0]["digest"]])) as archive:
        members = {entry.name: (entry.isdir(), entry.mode, entry.uid, entry.mtime) for entry in archive}
    assert members == {
        "b": (True, 0o755, 0, 0), "b/two": (False, 0o644, 0, 0), "one.sh": (False, 0o755, 0, 0)
    }  # fmt: skip


def test_a_directory_with_a_link_is_refused_before_anything_is_sent(cli: Cli, api: FakeApi, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "link").symlink_to("/etc/passwd")
    result = cli("file", "apply", "--src", "site", "--dest", "/srv/site", "-t", "web-1")
    assert result.status == 2
    assert "link" in result.err
    assert not api.files.uploads


def test_fetch_saves_each_nodes_file_under_its_name(cli: Cli, api: FakeApi, tmp_path: Path) -> None:
    result = cli("file", "fetch", "--path", "/etc/motd", "-t", "web-1,web-2", "--to", "got")
    assert result.status == 0, result.err
    assert {path: path.read_bytes() for path in (tmp_path / "got").rglob("*") if path.is_file()} == {
        tmp_path / "got" / "web-1" / "motd": b"web-1",
        tmp_path / "got" / "web-2" / "motd": b"web-2",
    }


def test_fetch_keeps_nothing_whose_digest_is_another(cli: Cli, api: FakeApi, tmp_path: Path) -> None:
    result = cli("file", "fetch", "--path", "/lies", "-t", "web-1", "--to", "got")
    assert result.status == 1
    assert "SHA-256" in result.err
    assert not [path for path in (tmp_path / "got").rglob("*") if path.is_file()]


def test_history_list_diff_and_clear_read_the_server(cli: Cli, api: FakeApi, tmp_path: Path) -> None:
    words = ("file", "apply", "--src", "app.conf", "--dest", "/etc/app.conf", "-t", "web-1")
    cli(*words)
    (tmp_path / "app.conf").write_bytes(b"newer\n")
    cli(*words)
    history = cli("file", "history", "--source-path", "app.conf", "-o", "name")
    assert (history.status, history.out) == (0, "2\n1\n")
    assert "r2" in cli("file", "history", "--source-path", "app.conf").out
    assert str(tmp_path / "app.conf") in cli("file", "list").out
    assert "+newer" in cli("file", "diff", "--source-path", "app.conf").out
    api.files.in_use.add((str(tmp_path / "app.conf"), 1))
    refused = cli("file", "clear", "--keep", "1")
    assert refused.status == 1
    assert "in use" in refused.err
    api.files.in_use.clear()
    assert cli("file", "clear", "--keep", "1").out == "1 revision removed\n"
    assert cli("file", "history", "--source-path", "app.conf", "-o", "name").out == "2\n"
    assert cli("file", "history", "--source-path", "other.conf").status == 3


def test_rollback_ships_the_revision_asked_for_or_goes_to_each_nodes_own(
    cli: Cli, api: FakeApi, tmp_path: Path
) -> None:
    cli("file", "apply", "--src", "app.conf", "--dest", "/etc/app.conf", "-t", "web-1")
    rollback = ("file", "rollback", "--dest", "/etc/app.conf", "-t", "web-1")
    assert cli(*rollback, "--source-path", "app.conf", "--revision", "1").status == 0
    sent = submitted(api)["file"]
    assert (sent["op"], sent["source"], sent["revision"]) == ("apply", str(tmp_path / "app.conf"), 1)
    assert cli(*rollback, "--previous").status == 0
    assert submitted(api)["file"] == {"op": "rollback", "dest": "/etc/app.conf"}
    assert cli(*rollback, "--source-path", "app.conf", "--revision", "9").status == 3


@pytest.mark.parametrize(
    "words",
    [
        ("rollback", "--dest", "/x", "-t", "all"),
        ("rollback", "--dest", "/x", "-t", "all", "--previous", "--revision", "1"),
        ("rollback", "--dest", "/x", "-t", "all", "--source-path", "a"),
        ("clear",),
        ("apply", "--dest", "/x", "-t", "all"),
        ("apply", "--src", "none", "--dest", "/x", "-t", "all"),
        ("apply", "--src", "app.conf", "--dest", "relative", "-t", "all"),
    ],
)
def test_what_does_not_go_together_is_a_usage_error(cli: Cli, api: FakeApi, words: tuple[str, ...]) -> None:
    assert cli("file", *words).status == 2
    assert not api.jobs


@pytest.mark.parametrize("op", ["copy", "delete", "preview"])
def test_the_small_operations_submit_what_they_say(cli: Cli, api: FakeApi, op: str) -> None:
    words = {
        "copy": ("--src", "/a", "--dest", "/b"),
        "delete": ("--path", "/b", "--recursive"),
        "preview": ("--path", "/b"),
    }
    assert cli("file", op, *words[op], "-t", "web-1").status == 0
    sent = submitted(api)["file"]
    assert (sent["op"], sent["dest"]) == (op, "/b")


def test_detach_prints_the_job_id_alone(cli: Cli, api: FakeApi) -> None:
    result = cli("file", "delete", "--path", "/b", "-t", "web-1", "--detach")
    assert (result.status, result.out) == (0, "J000000000000000001\n")


def test_nodes_with_the_same_revision_at_the_same_path_stand_in_one_row() -> None:
    now = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    places = [
        {"node": f"n{i}", "dest": "/etc/a", "revision": 2 if i < 7 else 3, "at": f"2026-11-21T11:59:{i:02}.000Z"}
        for i in range(9)
    ]
    assert where_rows(places, now, wide=False) == [
        ["r3", "/etc/a", 2, "52 s ago", "n7,n8"],
        ["r2", "/etc/a", 7, "54 s ago", "n0,n1,n2,n3,n4 and 2 more"],
    ]
    assert where_rows(places, now, wide=True)[1][-1] == "n0,n1,n2,n3,n4,n5,n6"

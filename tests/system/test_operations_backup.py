"""The backup drill: what was there is there again after a restore, on other disks too, and enrolled nodes come back by themselves."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.runtime.archive import Archive
from corral.sdk import connect
from corral.testing.installation import Installation

pytestmark = pytest.mark.engine


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.close()


def test_after_a_restore_jobs_nodes_tokens_and_the_nodes_themselves_are_there(
    installation: Installation, tmp_path: Path
) -> None:
    installation.init()
    installation.start_server()
    installation.add_node("web-1")
    installation.corral("node", "set", "web-1", "--labels", "role=web")
    before = installation.json("exec", "run", "-t", "web-1", "--", "echo", "before")
    large = tmp_path / "large.txt"
    large.write_text("padding\n" * 60_000)  # too large for a message: an object in the engine
    sealed = installation.json("exec", "run", "-t", "web-1", "--stdin", str(large), "--detach", "--", "wc", "-c")
    installation.until(lambda: installation.json("exec", "get", sealed["job"])["state"] == "succeeded")
    token = installation.json("token", "create", "--uses", "2")

    file = tmp_path / "corral.tar"
    said = installation.corral("system", "backup", str(file))
    assert "checked" in said
    assert file.stat().st_mode & 0o777 == 0o600
    assert installation.run("system", "backup", str(file), env=installation.admin()).returncode == 1, "it exists"
    figures = installation.json("system", "status")
    assert figures["backup"]["last_at"] is not None
    assert any("/system/backup" in json.dumps(row) for row in installation.json("audit", "list"))

    # The disk dies; the node stays up and keeps trying.
    installation.end(installation.servers[-1])
    identity = json.loads((installation.state("web-1") / "identity.json").read_text())
    shutil.rmtree(installation.data)
    done = installation.run("system", "restore", str(file), "--data-dir", str(installation.data))
    assert done.returncode == 0, done.stderr
    assert f"corral server --config {installation.data}/corral.toml" in done.stdout
    assert not list(installation.data.glob(".restore*"))

    installation.start_server()
    installation.online("web-1", seconds=60)
    assert (
        json.loads((installation.state("web-1") / "identity.json").read_text())["daemon_seed"]
        == identity["daemon_seed"]
    )
    assert installation.json("exec", "get", before["job"])["state"] == "succeeded"
    assert installation.json("node", "show", "web-1")["labels"] == {"role": "web"}
    assert token["id"] in {row["id"] for row in installation.json("token", "list")}
    after = installation.json("exec", "run", "-t", 'labels["role"] == "web"', "--", "echo", "after")
    assert after["tasks"][0]["stdout"] == "after\n"
    assert not list((installation.data / "restored").glob("*/*")), "objects are in the engine again"
    again = tmp_path / "again.tar"
    installation.corral("system", "backup", str(again))
    assert _objects(again) == _objects(file)
    assert _objects(file)

    # And a token of before enrols a node now.
    assert installation.enroll("web-2", token["token"]).returncode == 0


def test_offline_into_another_directory_with_paths_that_fit(installation: Installation, tmp_path: Path) -> None:
    installation.init()
    installation.start_server()
    token = installation.json("token", "create")
    busy = installation.run("system", "backup", "x.tar", "--offline", "--data-dir", str(installation.data))
    assert busy.returncode == 1
    assert f"held by pid {installation.servers[-1].pid}" in busy.stderr
    installation.end(installation.servers[-1])

    file = tmp_path / "corral.tar"
    done = installation.run("system", "backup", str(file), "--offline", "--data-dir", str(installation.data))
    assert done.returncode == 0, done.stderr
    installation.data.rename(tmp_path / "old")
    installation.data = tmp_path / "elsewhere"
    assert installation.run("system", "restore", str(file), "--data-dir", str(installation.data)).returncode == 0
    text = (installation.data / "corral.toml").read_text()
    assert str(tmp_path / "data") not in text
    installation.start_server()
    assert token["id"] in {row["id"] for row in installation.json("token", "list")}


def test_a_damaged_a_cut_off_or_a_foreign_file_is_refused_and_nothing_is_touched(
    installation: Installation, tmp_path: Path
) -> None:
    installation.init()
    installation.start_server()
    file = tmp_path / "corral.tar"
    installation.corral("system", "backup", str(file))
    installation.end(installation.servers[-1])
    content = file.read_bytes()
    target = tmp_path / "target"

    at = content.index(b"SQLite format 3") + 5000
    bad = {
        "flipped": (content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], "differ from what was written"),
        "cut": (content[: len(content) // 2], "cannot use the backup"),
        "no-manifest": (content[: content.rindex(b"manifest.json")] + bytes(1024), "its end is missing"),
        "foreign": (b"hello" * 1000, "cannot"),
    }
    for name, (data, reason) in bad.items():
        (tmp_path / name).write_bytes(data)
        done = installation.run("system", "restore", str(tmp_path / name), "--data-dir", str(target))
        assert done.returncode != 0, name
        assert reason in done.stderr, (name, done.stderr)
        assert "Traceback" not in done.stderr
        assert not target.exists() or not list(target.iterdir()), name

    full = installation.run("system", "restore", str(file), "--data-dir", str(installation.data))
    assert full.returncode == 1
    assert "--force" in full.stderr
    keys = (installation.data / "keys" / "realm.json").read_bytes()
    forced = installation.run("system", "restore", str(file), "--data-dir", str(installation.data), "--force")
    assert forced.returncode == 0, forced.stderr
    aside = next(installation.data.glob("replaced-*"))
    assert (aside / "keys" / "realm.json").read_bytes() == keys
    assert (aside / "corral.db").exists()
    assert (installation.data / "keys" / "realm.json").read_bytes() == keys
    installation.start_server()


def test_a_token_without_system_write_gets_no_backup(installation: Installation, tmp_path: Path) -> None:
    installation.init()
    installation.start_server()

    async def weak() -> str:
        admin = installation.admin()
        async with connect(admin["CORRAL_URL"], admin["CORRAL_TOKEN"], ca=admin["CORRAL_CA"]) as fleet:
            made = await fleet.call("POST", "/api-tokens", {"name": "reader", "permissions": ["system.read"]})
        return str(made["token"])

    token = asyncio.run(weak())
    done = installation.run(
        "system", "backup", str(tmp_path / "no.tar"), env={**installation.admin(), "CORRAL_TOKEN": token}
    )
    assert done.returncode == 5
    assert "system.write" in done.stderr
    assert not list(tmp_path.glob("*no.tar*"))


def _objects(file: Path) -> list[str]:
    return sorted(name for name in Archive(file).check() if name.startswith("objects/"))

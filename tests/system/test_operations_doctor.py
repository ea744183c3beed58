"""`corral doctor` on a real installation: good while all is well, and each thing that goes wrong becomes a line with its remedy."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corral.agent.pidfile import read as read_pid
from corral.testing.installation import Installation

pytestmark = pytest.mark.engine


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.close()


def doctor(installation: Installation) -> tuple[int, list[dict[str, Any]]]:
    done = installation.run("doctor", "-o", "json", env=installation.admin())
    findings = json.loads(done.stdout)
    assert all(row["remedy"] for row in findings if row["status"] != "OK")
    return done.returncode, findings


def status_of(findings: list[dict[str, Any]], check: str) -> str:
    """The worst of that check."""
    found = {row["status"] for row in findings if row["check"] == check}
    return next(status for status in ("FAIL", "WARN", "OK") if status in found)


def test_a_new_installation_is_well_but_for_its_backup(installation: Installation, tmp_path: Path) -> None:
    installation.init()
    installation.start_server()
    installation.add_node("web-1")
    code, findings = doctor(installation)
    assert code == 0
    for check in ("server", "token", "version", "sql", "engine", "streams", "nofile", "tls", "secrets", "kept"):
        assert status_of(findings, check) == "OK", check
    for check in ("letters", "nodes", "clock", "python", "context"):
        assert status_of(findings, check) == "OK", check
    assert status_of(findings, "backup") == "WARN"
    installation.corral("system", "backup", str(tmp_path / "b.tar"))
    assert status_of(doctor(installation)[1], "backup") == "OK"
    assert "OK    tls" in installation.run("doctor", env=installation.admin()).stdout


def test_a_wrong_clock_a_missing_worker_an_offline_node_and_open_keys_are_found(
    installation: Installation, tmp_path: Path
) -> None:
    installation.init()
    installation.start_server()
    (installation.data / "keys").chmod(0o755)
    for node, env in (("late-1", {"CORRAL_CLOCK_OFFSET": "-120"}), ("lame-1", {"CORRAL__AGENT__KEEP_WORKER": "false"})):
        token = installation.json("token", "create", "--node-id", node)["token"]
        assert installation.enroll(node, token).returncode == 0
        installation.start_node(node, env=env)
    installation.online("late-1", "lame-1")
    token = installation.json("token", "create", "--node-id", "never-1")["token"]
    assert installation.enroll("never-1", token).returncode == 0
    worker = read_pid(installation.state("lame-1") / "worker.pid")
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)

    def all_seen() -> bool:
        rows = {row["id"]: row for row in installation.json("node", "list")}
        late = (rows["late-1"].get("vitals") or {}).get("skew_seconds", 0)
        return rows["lame-1"]["worker"] == "down" and abs(late) > 100

    installation.until(all_seen, seconds=40)
    code, findings = doctor(installation)
    assert code == 0, "warnings are no failures"
    texts = {row["check"]: row["text"] for row in findings if row["status"] == "WARN"}
    assert "late-1" in texts["clocks"]
    assert "lame-1" in texts["workers"]
    assert "never-1" in texts["nodes"]
    assert str(installation.data / "keys") in texts["secrets"]


def test_a_server_that_is_down_is_one_failure_with_a_remedy(installation: Installation) -> None:
    installation.init()
    installation.start_server()
    assert installation.corral("node", "list", "-o", "name") == ""
    installation.end(installation.servers[-1])
    code, findings = doctor(installation)
    assert code == 1
    assert status_of(findings, "server") == "FAIL"

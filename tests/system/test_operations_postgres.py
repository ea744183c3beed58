"""PostgreSQL as the truth: one server that dies and comes back, and two servers of which the leading one dies in the middle of a job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from corral.bus.engine_process import find_program
from corral.testing import postgres
from corral.testing.installation import Installation
from corral.testing.ports import free_port

pytestmark = [pytest.mark.engine, pytest.mark.postgres, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster() -> Iterator[postgres.PostgresServer]:
    if postgres.programs() is None:
        pytest.skip(f"PostgreSQL is not installed: {postgres.INSTALL}")
    with postgres.running() as server:
        yield server


@pytest.fixture
def database(cluster: postgres.PostgresServer) -> str:
    return cluster.database()


@pytest.fixture
def installation(tmp_path: Path, database: str) -> Iterator[Installation]:
    made = Installation(tmp_path, env={"CORRAL__SQL__URL": database})
    yield made
    made.close()


def test_a_server_killed_in_the_middle_of_a_job_finds_everything_in_postgresql(
    installation: Installation, tmp_path: Path
) -> None:
    installation.init()
    server = installation.start_server()
    assert installation.json("system", "status")["sql"]["kind"] == "postgresql"
    installation.add_node("web-1")
    gate = tmp_path / "gate"
    job = installation.json(
        "exec", "run", "-t", "web-1", "--detach", "--shell", "--", f"until [ -e {gate} ]; do sleep 0.1; done; echo done"
    )["job"]
    installation.until(lambda: installation.json("exec", "get", job)["counts"].get("running") == 1)
    installation.end(server, signal.SIGKILL)
    gate.touch()  # it ends while nobody listens

    installation.start_server()
    found = installation.until(
        lambda: (now := installation.json("exec", "get", job, "--with-output"))["state"] == "succeeded" and now
    )
    assert found["tasks"][0]["stdout"] == "done\n"
    assert found["tasks"][0]["attempt"] == 1
    assert not (installation.data / "corral.db").exists()

    file = tmp_path / "b.tar"
    done = installation.run("system", "backup", str(file), env=installation.admin())
    assert done.returncode == 0, done.stderr
    assert "pg_dump" in done.stderr


def test_a_database_that_is_away_for_a_while_stops_no_server_and_loses_no_job(
    installation: Installation, cluster: postgres.PostgresServer, database: str, tmp_path: Path
) -> None:
    installation.init()
    server = installation.start_server()
    installation.add_node("web-1")
    name = urlsplit(database).path.strip("/")
    job = installation.json("exec", "run", "-t", "web-1", "--detach", "--shell", "--", "sleep 2; echo done")["job"]
    cluster.sql("postgres", f"alter database {name} allow_connections false")
    cluster.sql("postgres", f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")
    try:
        refused = installation.until(
            lambda: (now := installation.run("exec", "get", job, env=installation.admin())).returncode and now
        )
        assert refused.returncode == 4, refused.stderr
        assert "Traceback" not in refused.stderr
        # Longer than the leader's lease lasts: it is lost meanwhile and has to be taken again.
        with pytest.raises(subprocess.TimeoutExpired):
            server.wait(10)
    finally:
        cluster.sql("postgres", f"alter database {name} allow_connections true")
    found = installation.until(
        lambda: (
            (now := installation.run("exec", "get", job, "-o", "json", env=installation.admin())).returncode == 0
            and "succeeded" in now.stdout
        )
    )
    assert found
    assert server.poll() is None
    installation.until(lambda: installation.json("system", "status")["leader"]["leading"])
    assert installation.json("exec", "run", "-t", "web-1", "--", "true")["state"] == "succeeded"


def test_two_servers_share_a_fleet_and_the_death_of_the_leader_costs_no_job(
    installation: Installation, tmp_path: Path
) -> None:
    """The engine runs apart, as `engine-config` describes it; the second server's data directory is a restored backup."""
    installation.init()
    nats = tmp_path / "nats"
    nats.mkdir()
    listen = f"127.0.0.1:{installation.engine_port}"
    words = ("--config", str(installation.data / "corral.toml"), "--store-dir", str(nats), "--listen", listen)
    described = installation.run("system", "engine-config", *words, "--monitor-port", "0")
    assert described.returncode == 0, described.stderr
    (nats / "nats.conf").write_text(described.stdout)
    installation.spawn([str(find_program(os.environ)), "-c", str(nats / "nats.conf")], log="engine.log")

    installation.env["CORRAL__ENGINE__URLS"] = f"tls://{listen}"
    first = installation.start_server()
    file, second_data = tmp_path / "b.tar", tmp_path / "second"
    installation.corral("system", "backup", str(file))
    restored = installation.run("system", "restore", str(file), "--data-dir", str(second_data))
    assert restored.returncode == 0, restored.stderr
    http, https = free_port(), free_port()
    installation.start_server(
        config=second_data / "corral.toml",
        env={"CORRAL__SERVER__PORT": str(http), "CORRAL__SERVER__TLS_PORT": str(https)},
        http_port=http,
    )
    other = f"https://127.0.0.1:{https}"
    assert installation.json("system", "status")["leader"]["leading"] is True
    before = installation.json("system", "status", url=other)["leader"]
    assert before["leading"] is False

    # Enrolled at the first, usable through the second, and the other way round.
    installation.add_node("web-1")
    installation.online("web-1", url=other)
    installation.add_node("web-2", url=other)
    installation.online("web-1", "web-2")
    across = installation.json("exec", "run", "-t", "web-1,web-2", "--", "echo", "both", url=other)
    assert across["counts"] == {"succeeded": 2}

    # Submitted to the first, followed at the second, and the first, who leads, dies meanwhile.
    gate = tmp_path / "gate"
    script = f"echo begin; until [ -e {gate} ]; do sleep 0.1; done; echo end"
    job = installation.json("exec", "run", "-t", "web-1,web-2", "--detach", "--shell", "--", script)["job"]
    follower = subprocess.Popen(
        [sys.executable, "-m", "corral", "exec", "logs", job, "--follow"],
        env={**os.environ, **installation.admin(other)},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        installation.until(lambda: installation.json("exec", "get", job, url=other)["counts"].get("running") == 2)
        installation.end(first, signal.SIGKILL)
        gate.touch()
        said, _ = follower.communicate(timeout=60)
    finally:
        follower.kill()
    assert (said.count("begin"), said.count("end")) == (2, 2), said
    found = installation.json("exec", "get", job, "--with-output", url=other)
    assert found["state"] == "succeeded"
    assert [task["stdout"] for task in found["tasks"]] == ["begin\nend\n"] * 2
    assert {task["attempt"] for task in found["tasks"]} == {1}

    def moved() -> bool:
        return bool(installation.json("system", "status", url=other)["leader"]["leading"])

    installation.until(moved, seconds=20)
    after = installation.json("exec", "run", "-t", "all", "--", "echo", "after", url=other)
    assert after["counts"] == {"succeeded": 2}
    installation.corral("node", "revoke", "web-2", "--reason", "test", "--yes", url=other)
    installation.until(
        lambda: [row["id"] for row in installation.json("node", "list", "--online", url=other)] == ["web-1"]
    )

"""An engine that somebody else runs: `engine-config` describes it, `engine.urls` points to it, TLS between all of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.bus.engine_process import find_program
from corral.testing.installation import Installation

pytestmark = pytest.mark.engine


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    yield made
    made.close()


def start_engine(installation: Installation, folder: Path) -> int:
    """nats-server on the printed configuration; its pid."""
    folder.mkdir(exist_ok=True)
    listen = f"127.0.0.1:{installation.engine_port}"
    words = ("--config", str(installation.data / "corral.toml"), "--store-dir", str(folder), "--listen", listen)
    done = installation.run("system", "engine-config", *words, "--monitor-port", "0")
    assert done.returncode == 0, done.stderr
    for seed in json.loads((installation.data / "keys" / "realm.json").read_text())["seeds"].values():
        assert seed not in done.stdout
    config = folder / "nats.conf"
    config.write_text(done.stdout)
    return installation.spawn([str(find_program(os.environ)), "-c", str(config)], log="engine.log").pid


def use_it(installation: Installation) -> dict[str, str]:
    return {"CORRAL__ENGINE__URLS": f"tls://127.0.0.1:{installation.engine_port}"}


def test_a_server_works_with_an_external_engine_over_tls_and_starts_none_of_its_own(
    installation: Installation, tmp_path: Path
) -> None:
    installation.init()
    start_engine(installation, tmp_path / "nats")
    server = installation.start_server(env=use_it(installation))
    figures = installation.json("system", "status")["engine"]
    assert figures["ok"] is True
    assert figures["embedded"] is False
    assert figures["urls"] == [f"tls://127.0.0.1:{installation.engine_port}"]
    assert not (installation.data / "engine").exists()
    assert _children(server.pid) == []

    installation.add_node("web-1")
    job = installation.json("exec", "run", "-t", "web-1", "--", "echo", "elsewhere")
    assert job["tasks"][0]["stdout"] == "elsewhere\n"

    # Revoking reaches it: the accounts it started with are only the beginning.
    installation.corral("node", "revoke", "web-1", "--reason", "test", "--yes")
    installation.until(lambda: not installation.json("node", "list", "--online"))


def test_an_engine_under_another_ca_is_refused_with_the_reason(installation: Installation, tmp_path: Path) -> None:
    installation.init()
    start_engine(installation, tmp_path / "nats")
    other = Installation(tmp_path / "other")
    (tmp_path / "other").mkdir()
    other.init()
    env = {
        **use_it(installation),
        "CORRAL__ENGINE__TLS_CA": str(other.data / "pki" / "ca.pem"),
    }
    with_wrong_ca = installation.spawn_server(env)
    log = installation.until(
        lambda: "certificate verify failed" in installation.log_tail() and installation.log_tail(),
        what=installation.log_tail,
    )
    assert "engine" in log.lower() or "connect" in log.lower()
    installation.end(with_wrong_ca)


def _children(pid: int) -> list[str]:
    words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{child}/comm").read_text().strip() for child in words]

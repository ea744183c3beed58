"""The service verbs against stand-ins for systemctl and journalctl, first on PATH: the real ones are never called."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.testing.installation import Installation

UNIT = "corral-server.service"


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    made.init()
    yield made
    made.close()


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Every call of a stand-in is a line in this file; `fails` beside it makes them fail."""
    stand_ins = tmp_path / "stand-ins"
    stand_ins.mkdir()
    log = tmp_path / "calls"
    log.touch()
    for name in ("systemctl", "journalctl"):
        script = stand_ins / name
        script.write_text(
            f'#!/bin/sh\necho "{name} $*" >>{log}\necho "{name} says hello"\n[ ! -e {tmp_path}/fails ] || exit 3\n'
        )
        script.chmod(0o755)
    return log


def path_with(calls: Path) -> dict[str, str]:
    return {"PATH": f"{calls.parent / 'stand-ins'}:/usr/bin:/bin"}


def test_install_writes_a_hardened_unit_and_starts_nothing(
    installation: Installation, calls: Path, tmp_path: Path
) -> None:
    units = tmp_path / "units"
    units.mkdir()
    config = str(installation.data / "corral.toml")
    words = ("system", "install", "--config", config, "--unit-dir", str(units))
    done = installation.run(*words, env=path_with(calls))
    assert done.returncode == 0, done.stderr
    text = (units / UNIT).read_text()
    assert f"ExecStart={sys.executable} -m corral server --config {config}\n" in text
    assert f"User={getpass.getuser()}\n" in text
    assert f"ReadWritePaths={installation.data}\n" in text
    assert "NoNewPrivileges=yes" in text
    assert "LimitNOFILE=65536" in text
    assert calls.read_text() == "systemctl daemon-reload\n"

    # Again is no error; a unit of somebody else is left alone.
    assert installation.run(*words, "--nofile", "131072", env=path_with(calls)).returncode == 0
    assert "LimitNOFILE=131072" in (units / UNIT).read_text()
    (units / UNIT).write_text("[Unit]\n")
    refused = installation.run(*words, env=path_with(calls))
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    assert installation.run(*words, "--force", env=path_with(calls)).returncode == 0


def test_every_verb_is_one_call(installation: Installation, calls: Path, tmp_path: Path) -> None:
    (tmp_path / UNIT).write_text("[Unit]\n")
    for verb in ("enable", "start", "stop", "restart"):
        assert installation.run("system", verb, env=path_with(calls)).returncode == 0
    shown = installation.run("system", "status", "--service", env=path_with(calls))
    assert (shown.returncode, shown.stdout) == (0, "systemctl says hello\n")
    logs = installation.run("system", "logs", "-n", "5", "--since", "yesterday", env=path_with(calls))
    assert (logs.returncode, logs.stdout) == (0, "journalctl says hello\n")
    gone = installation.run("system", "uninstall", "--yes", "--unit-dir", str(tmp_path), env=path_with(calls))
    assert gone.returncode == 0, gone.stderr
    assert not (tmp_path / UNIT).exists()
    assert (installation.data / "corral.toml").exists()
    assert calls.read_text().splitlines() == [
        f"systemctl enable {UNIT}",
        f"systemctl start {UNIT}",
        f"systemctl stop {UNIT}",
        f"systemctl restart {UNIT}",
        f"systemctl status {UNIT} --no-pager",
        f"journalctl --unit {UNIT} --no-pager --lines 5 --since yesterday",
        f"systemctl disable --now {UNIT}",
        "systemctl daemon-reload",
    ]


def test_what_systemctl_refuses_is_an_error_that_says_so(
    installation: Installation, calls: Path, tmp_path: Path
) -> None:
    (tmp_path / "fails").touch()
    done = installation.run("system", "start", env=path_with(calls))
    assert done.returncode == 1
    assert "systemctl ended with status 3" in done.stderr
    assert "hint:" in done.stderr


def test_without_systemd_the_error_says_what_to_do_instead(installation: Installation, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    config = str(installation.data / "corral.toml")
    for words in (("start",), ("logs",), ("install", "--config", config, "--unit-dir", str(tmp_path))):
        done = installation.run("system", *words, env={"PATH": str(empty)})
        assert done.returncode == 1, words
        assert "on PATH" in done.stderr
        assert "supervisor" in done.stderr
    assert not (tmp_path / UNIT).exists()
    shown = installation.run("system", "install", "--config", config, "--dry-run", env={"PATH": str(empty)})
    assert shown.returncode == 0
    assert "[Service]" in shown.stdout


def test_an_unknown_user_and_a_missing_configuration_are_said(
    installation: Installation, calls: Path, tmp_path: Path
) -> None:
    config = str(installation.data / "corral.toml")
    nobody = installation.run(
        "system",
        "install",
        "--config",
        config,
        "--user",
        "no-such-user",
        "--unit-dir",
        str(tmp_path),
        env=path_with(calls),
    )
    assert nobody.returncode == 3
    assert "useradd --system" in nobody.stderr
    missing = installation.run("system", "install", "--unit-dir", str(tmp_path), env=path_with(calls))
    if not os.path.exists("/etc/corral/corral.toml"):
        assert missing.returncode == 3
        assert "corral system init" in missing.stderr
    assert calls.read_text() == ""

"""`doctor` and `login`, `config show`: finding the server and saying what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corral.testing.fake_api import TOKEN, FakeApi


def findings(result: Any) -> dict[str, str]:
    return {row["check"]: row["status"] for row in json.loads(result.out)}


def test_a_healthy_installation_has_no_failure(cli: Callable[..., Any], api: FakeApi) -> None:
    result = cli("doctor", "-o", "json")
    found = findings(result)
    assert (found["server"], found["token"], found["version"]) == ("OK", "OK", "OK")
    assert found["nodes"] == "WARN"
    assert all(row["remedy"] for row in json.loads(result.out) if row["status"] != "OK")
    assert result.status == (1 if "FAIL" in found.values() else 0)


def test_no_server_is_a_failure_with_a_remedy(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_URL", "http://127.0.0.1:1")
    result = cli("doctor")
    assert result.status == 1
    assert "FAIL  server" in result.out
    assert "corral up" in result.out


def test_a_wrong_token_is_a_failure(cli: Callable[..., Any], api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORRAL_TOKEN", "wrong")
    assert findings(cli("doctor", "-o", "json"))["token"] == "FAIL"


def test_a_context_that_others_can_read_is_a_warning(
    cli: Callable[..., Any], api: FakeApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".corral").mkdir()
    path = tmp_path / ".corral" / "local.json"
    path.write_text(json.dumps({"url": api.url, "token": TOKEN}))
    path.chmod(0o644)
    monkeypatch.delenv("CORRAL_URL")
    monkeypatch.delenv("CORRAL_TOKEN")
    assert findings(cli("doctor", "-o", "json"))["context"] == "WARN"
    path.chmod(0o600)
    assert findings(cli("doctor", "-o", "json"))["context"] == "OK"


def test_login_checks_and_stores_the_token(
    cli: Callable[..., Any], api: FakeApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CORRAL_TOKEN")
    monkeypatch.delenv("CORRAL_URL")
    (tmp_path / "token").write_text(TOKEN + "\n")
    (tmp_path / "bad").write_text("nonsense")
    stored = tmp_path / ".config" / "corral" / "local.json"
    assert cli("login", "--url", api.url, "--token-file", "bad").status == 5
    assert not stored.exists()
    assert cli("login", "--url", api.url, "--token-file", "token").status == 0
    assert stored.stat().st_mode & 0o777 == 0o600
    assert cli("node", "list", "-o", "name").status == 0


def test_a_login_link_is_made_for_the_browser(cli: Callable[..., Any], api: FakeApi) -> None:
    assert cli("login", "--link").out == f"{api.url}/login?code=abc\n"


def test_login_without_a_token_and_without_a_terminal_says_how(
    cli: Callable[..., Any], api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CORRAL_TOKEN")
    result = cli("login")
    assert result.status == 2
    assert "--token-file" in result.err


def test_config_show_holds_the_url_and_no_secret(cli: Callable[..., Any], api: FakeApi) -> None:
    result = cli("config", "show", "-o", "json")
    assert json.loads(result.out)["url"] == api.url
    assert TOKEN not in result.out
    assert TOKEN not in cli("config", "show", "--origin", "-o", "wide").out


def test_config_show_reads_a_servers_file_with_origins(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "corral.toml").write_text('[server]\nport = 9999\n[sql]\nurl = "postgresql://u:hunter2@db/c"\n')
    result = cli("config", "show", "--config", "corral.toml", "--origin", "-o", "json")
    data = json.loads(result.out)
    assert data["server.port"] == 9999
    assert data["url"] == "http://127.0.0.1:9999"
    assert "corral.toml" in data["origin"]["server.port"]
    assert "hunter2" not in result.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell: str, cli: Callable[..., Any]) -> None:
    assert "_CORRAL_COMPLETE" in cli("completion", shell).out

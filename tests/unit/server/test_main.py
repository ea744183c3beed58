"""`corral server`: its errors are words with a remedy and the right exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from corral.runtime.files import DirectoryLock
from corral.server import main as server_main
from corral.server.config import ServerConfig, ServerSection


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CORRAL__")]:
        monkeypatch.delenv(name)
    # The test's own log setup stays.
    monkeypatch.setattr(server_main, "setup_logs", lambda section: None)


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        server_main.main(["--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert "examples:" in told
    assert "corral server --data-dir ./data --port 0" in told
    assert "CORRAL__SECTION__KEY" in told


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["--port", "eighty"], 2, "cannot use 'eighty' as server.port (flag)"),
        (["--config", "gone.toml"], 2, "cannot read the configuration 'gone.toml': no such file"),
        (["--host", "0.0.0.0"], 2, "without TLS"),
        (["--data-dir", "/proc/nowhere"], 1, "cannot use the data directory '/proc/nowhere'"),
    ],
)
def test_a_mistake_is_told_with_a_hint_and_a_status(
    words: list[str], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server_main.main(words) == status
    error = capsys.readouterr().err
    assert told in error
    assert "hint: " in error
    assert "Traceback" not in error


def test_an_unknown_flag_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        server_main.main(["--prot", "1"])
    assert caught.value.code == 2
    assert "--prot" in capsys.readouterr().err


def test_a_second_server_on_the_same_data_says_who_holds_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from corral.server.main import hold_data\n"
            "from corral.server.config import ServerConfig, ServerSection\n"
            "with hold_data(ServerConfig(server=ServerSection(data_dir=Path(sys.argv[1])))):\n"
            "    print('held', flush=True); sys.stdin.read()",
            str(tmp_path / "data"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert server_main.main(["--data-dir", str(tmp_path / "data")]) == 1
        error = capsys.readouterr().err
        assert f"held by pid {holder.pid}" in error
        assert "--data-dir" in error or "another directory" in error
    finally:
        holder.communicate(timeout=30)


def test_the_data_directory_is_free_again_afterwards(tmp_path: Path) -> None:
    config = ServerConfig(server=ServerSection(data_dir=tmp_path / "data"))
    for _ in range(2):
        with server_main.hold_data(config):
            assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    lock = DirectoryLock(tmp_path / "data", name="server.lock")
    lock.acquire()
    lock.release()

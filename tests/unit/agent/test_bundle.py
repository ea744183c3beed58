"""The zipapp: reproducible, complete, and running on a Python without a single package."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from corral.agent.bundle import build_bundle
from corral.agent.command import agent_argv, zipapp
from corral.agent.units import bare_command, unit_text


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "corral-agent.pyz"
    build_bundle(path)
    return path


def run(bundle: Path, *words: str, flags: tuple[str, ...] = ("-S", "-E")) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, str(bundle), *words], capture_output=True, text=True, timeout=60, cwd="/", check=False
    )


def test_the_same_sources_make_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    # Another process, another hash seed, another moment.
    code = "import sys; from pathlib import Path; from corral.agent.bundle import build_bundle; "
    code += "print(build_bundle(Path(sys.argv[1])))"
    for seed in ("1", "2"):
        other = tmp_path / seed
        done = subprocess.run(
            [sys.executable, "-c", code, str(other)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert other.read_bytes() == bundle.read_bytes()
        assert done.stdout.strip() == hashlib.sha256(bundle.read_bytes()).hexdigest()


def test_it_holds_the_node_side_and_nothing_else(bundle: Path) -> None:
    names = zipfile.ZipFile(bundle).namelist()
    assert {"__main__.py", "corral/__init__.py", "corral/agent/daemon/main.py", "corral/runtime/crypto.py"} <= set(
        names
    )
    parts = {name.split("/")[1] for name in names if name.count("/") > 1}
    assert parts == {"domain", "runtime", "protocol", "agent"}


def test_it_runs_without_site_packages(bundle: Path, tmp_path: Path) -> None:
    for flags in (("-S", "-E"), ("-I",), ("-I", "-S")):
        done = run(bundle, "agent", "daemon", "--state", str(tmp_path / "none"), flags=flags)
        assert done.returncode == 3, done.stderr
        assert "holds no node identity" in done.stderr
        assert "agent enroll" in done.stderr


def test_another_version_of_python_falls_back_to_the_sources(bundle: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "other.pyz"
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(damaged, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, b"\0\0\0\0" + data[4:] if name.endswith(".pyc") else data)
    done = run(damaged, "agent", "renew", "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_starts_it_again_names_the_zipapp(bundle: Path) -> None:
    assert zipapp() is None
    code = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; "
    code += "from corral.agent.command import agent_argv; print(agent_argv('worker', Path('/state')))"
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", code, str(bundle)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == str([sys.executable, "-S", "-E", str(bundle), "agent", "worker", "--state", "/state"])
    assert agent_argv("daemon", Path("/state"))[1:] == ["-m", "corral", "agent", "daemon", "--state", "/state"]


def test_units_quote_what_systemd_would_expand() -> None:
    text = unit_text("worker", ["/usr/bin/python3", "/opt/my agent/100%.pyz", "$HOME"])
    assert 'ExecStart=/usr/bin/python3 "/opt/my agent/100%%.pyz" $$HOME\n' in text
    assert "KillMode=process" in text
    assert bare_command(["a b", "c"]) == "setsid nohup 'a b' c >/dev/null 2>&1 </dev/null &"

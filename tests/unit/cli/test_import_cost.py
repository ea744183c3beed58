"""Start-up is part of every command: what is loaded when."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("rich", "httpx2", "httpx", "yaml", "anyio", "msgspec", "litestar", "sqlalchemy", "nats", "cryptography")
CODE = """
import sys
from corral.cli.main import main
status = main(sys.argv[1:])
names = {name.partition(".")[0] for name in sys.modules} | set(sys.modules)
print("LOADED", status, *sorted(names))
"""


def loaded(*words: str) -> set[str]:
    out = subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, text=True, timeout=60, check=True)
    line = next(line for line in reversed(out.stdout.splitlines()) if line.startswith("LOADED"))
    return set(line.split()[2:])


@pytest.mark.parametrize("words", [("--help",), ("exec", "run", "--help"), ("node", "list", "--help")])
def test_help_loads_no_client_and_nothing_heavy(words: tuple[str, ...]) -> None:
    names = loaded(*words)
    assert not names & {*HEAVY, "h11", "corral.sdk.fleet", "corral.sdk.http"}


def test_root_help_imports_no_noun() -> None:
    assert not [name for name in loaded("--help") if name.startswith("corral.cli.commands.")]


def test_a_noun_imports_itself_alone() -> None:
    nouns = {name for name in loaded("token", "--help") if name.startswith("corral.cli.commands.")}
    assert nouns == {"corral.cli.commands.token"}


def test_a_command_that_talks_to_a_server_stays_light() -> None:
    names = loaded("exec", "run", "--url", "http://127.0.0.1:1", "-t", "all", "--", "true")
    assert "h11" in names
    assert not names & set(HEAVY)

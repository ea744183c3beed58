import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from corral.domain.errors import Invalid
from corral.runtime.config import load
from corral.runtime.secret import Secret


@dataclass(frozen=True, kw_only=True)
class Web:
    port: int = field(default=8080, metadata={"min": 0, "max": 65535})
    wait_seconds: float = 1.5
    body_bytes: int = 1024
    root: Path = Path("/srv")
    tls: bool = False
    hosts: list[str] = field(default_factory=list)
    password: Secret = field(default_factory=Secret)
    owner: str | None = None
    mode: Literal["fast", "safe"] = "safe"


@dataclass(frozen=True, kw_only=True)
class Schema:
    web: Web = Web()


def read(
    tmp_path: Path, text: str | None = None, env: dict[str, str] | None = None, flags: dict[str, Any] | None = None
) -> Any:
    file = None
    if text is not None:
        file = tmp_path / "corral.toml"
        file.write_text(text)
    return load(Schema, file=file, env=env or {}, flags=flags or {})


def test_a_flag_wins_over_the_environment_over_the_file_over_the_default(tmp_path: Path) -> None:
    text = "[web]\nport = 1\nwait_seconds = 2\nbody_bytes = '1KiB'\n"
    env = {"CORRAL__WEB__PORT": "2", "CORRAL__WEB__WAIT_SECONDS": "1m"}
    loaded = read(tmp_path, text, env, {"web.port": 3, "web.tls": None})
    assert (loaded.value.web.port, loaded.value.web.wait_seconds, loaded.value.web.body_bytes) == (3, 60.0, 1024)
    assert loaded.origin("web.port") == "flag"
    assert loaded.origin("web.wait_seconds") == "env CORRAL__WEB__WAIT_SECONDS"
    assert loaded.origin("web.body_bytes") == f"file {tmp_path / 'corral.toml'}"
    assert loaded.origin("web.tls") == "default"


def test_text_of_the_environment_gets_the_type_of_its_field(tmp_path: Path) -> None:
    env = {
        "CORRAL__WEB__TLS": "yes",
        "CORRAL__WEB__HOSTS": "a, b,,c",
        "CORRAL__WEB__ROOT": "/data",
        "CORRAL__WEB__PASSWORD": "hunter2",
        "CORRAL__WEB__BODY_BYTES": "8MiB",
        "CORRAL__WEB__MODE": "fast",
        "CORRAL__WEB__OWNER": "",
    }
    web = read(tmp_path, env=env).value.web
    assert (web.tls, web.hosts, web.root, web.body_bytes, web.mode) == (
        True,
        ["a", "b", "c"],
        Path("/data"),
        8 << 20,
        "fast",
    )
    assert web.password.reveal() == "hunter2"
    assert web.owner is None


@pytest.mark.parametrize(
    ("text", "env", "words"),
    [
        ("[web]\nprt = 1", {}, ["web.prt", "corral.toml", "did you mean 'port'"]),
        ("[wbe]\nport = 1", {}, ["[wbe]", "no such section", "did you mean 'web'"]),
        (None, {"CORRAL__WEB__PRT": "1"}, ["CORRAL__WEB__PRT", "environment", "'port'"]),
        (None, {"CORRAL__WBE__PORT": "1"}, ["CORRAL__WBE__PORT", "'web'"]),
        (None, {"CORRAL__WEB": "1"}, ["CORRAL__WEB"]),
        (None, {"CORRAL__WEB__PORT": "99999"}, ["'99999'", "web.port", "at most 65535", "from 0 to 65535"]),
        (None, {"CORRAL__WEB__TLS": "perhaps"}, ["'perhaps'", "web.tls", "true or false"]),
        (None, {"CORRAL__WEB__WAIT_SECONDS": "soon"}, ["web.wait_seconds", "1h30m"]),
        (None, {"CORRAL__WEB__MODE": "quick"}, ["web.mode", "one of fast, safe"]),
        ("[web]\nport = 1.5", {}, ["web.port", "whole number"]),
        ("[web]\nport = inf", {}, ["web.port", "whole number"]),
        ("[web]\nroot = 3", {}, ["web.root", "a path"]),
    ],
)
def test_a_mistake_names_the_place_the_key_and_the_remedy(
    tmp_path: Path, text: str | None, env: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(Invalid) as caught:
        read(tmp_path, text, env)
    told = f"{caught.value.message} | {caught.value.hint} | {caught.value.element}"
    assert all(word in told for word in words), told


def test_a_wrong_secret_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        read(tmp_path, "[web]\npassword = ['hunter2']")
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_a_flat_schema_reads_its_own_section_and_leaves_the_others(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    env = {"CORRAL__OTHER__PORT": "x", "CORRAL__AGENT__PORT": "7"}
    for text in ("wait_seconds = 9", "[agent]\nwait_seconds = 9"):
        file.write_text(text)
        loaded = load(Web, section="agent", file=file, env=env, flags={"agent.tls": True})
        assert (loaded.value.port, loaded.value.wait_seconds, loaded.value.tls) == (7, 9.0, True)


def test_a_missing_file_is_an_error_only_when_the_user_named_it(tmp_path: Path) -> None:
    gone = tmp_path / "gone.toml"
    assert load(Schema, file=gone, env={}, flags={}).value == Schema()
    with pytest.raises(Invalid, match="no such file"):
        load(Schema, file=gone, env={}, flags={}, required=True)


def test_sections_of_other_programs_may_be_ignored_by_name() -> None:
    env = {"CORRAL__AGENT__SLOTS": "3"}
    assert load(Schema, env=env, flags={}, ignore=("agent",)).value == Schema()
    with pytest.raises(Invalid):
        load(Schema, env=env, flags={})


def test_tomllib_is_imported_only_when_there_is_a_file() -> None:
    code = (
        "import sys; from dataclasses import dataclass; from corral.runtime.config import load\n"
        "@dataclass(frozen=True)\nclass S:\n    port: int = 1\n"
        "load(S, section='agent', env={}, flags={}); print('tomllib' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"

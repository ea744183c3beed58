"""What is really started: on the host, as another user, and with secrets that no argument may hold."""

import os

import pytest

from corral.agent.worker import invocation
from corral.agent.worker.invocation import CannotStart, Preparer
from corral.agent.worker.wrapper import wrapper_text
from corral.domain.job import CommandSpec, Interpreter

MARK = "CORRAL_TASK=n.J1.1"


@pytest.fixture
def prepare(tmp_path):
    return lambda spec, **more: Preparer().prepare(spec, str(tmp_path), MARK, **more)


@pytest.fixture
def as_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def test_the_host_is_entered_before_anything_else_and_finds_the_program_itself(prepare, as_root):
    call = prepare(CommandSpec(argv=("not-in-this-container", "x"), host=True))
    program, *words = call.argv
    assert program.endswith("/nsenter")
    assert words[-3:] == ["--", "not-in-this-container", "x"]
    assert {"--mount", "--pid", "--net"} <= set(words)
    assert not call.plain


def test_a_script_reaches_the_host_by_descriptor_as_its_path_means_nothing_there(prepare, as_root, tmp_path):
    call = prepare(CommandSpec(script="id", host=True))
    assert call.argv[-1] == "/dev/fd/9"
    assert f" 9<{tmp_path}/script" in wrapper_text(call, '"$@"')


def test_the_host_needs_root_and_nsenter(prepare, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotStart, match="not root"):
        prepare(CommandSpec(argv=("true",), host=True))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(invocation, "find_program", lambda *_: None)
    with pytest.raises(CannotStart, match="no nsenter") as caught:
        prepare(CommandSpec(argv=("true",), host=True))
    assert caught.value.hint == "install util-linux"


def test_a_shell_text_with_secrets_is_a_file_and_not_an_argument(prepare, tmp_path):
    call = prepare(CommandSpec(shell="echo hunter2"), private=True)
    assert "hunter2" not in " ".join(call.argv)
    assert (tmp_path / "script").read_text() == "echo hunter2"
    assert (tmp_path / "script").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("interpreter", [Interpreter.PWSH])
def test_an_interpreter_that_is_not_there_is_said_with_what_to_install(prepare, monkeypatch, interpreter):
    monkeypatch.setattr(invocation, "find_program", lambda name, *_: None if name == "pwsh" else f"/bin/{name}")
    with pytest.raises(CannotStart, match="'pwsh'") as caught:
        prepare(CommandSpec(script="1", interpreter=interpreter))
    assert "PowerShell 7" in (caught.value.hint or "")

"""Plugins of the server: entry points of an installed folder, and none that is broken stops the others."""

import logging
import sys

import pytest

from corral.domain import kinds
from corral.server.infrastructure.plugins.executors import install_executors

GOOD = """
from corral.domain.executors.contract import ExecutorKind
KIND = ExecutorKind(name="greet", summary="Greets.", module="greet_server_plugin", permission="exec.run",
                    schema={"type": "object"}, line=str)
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    (tmp_path / "greet-1.dist-info").mkdir()
    (tmp_path / "greet_server_plugin.py").write_text(GOOD)
    (tmp_path / "greet-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: greet\nVersion: 1\n")
    (tmp_path / "greet-1.dist-info" / "entry_points.txt").write_text(
        "[corral.executors]\nbroken = no_such_module_at_all:KIND\nother = greet_server_plugin:KIND\ngreet = greet_server_plugin:KIND\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(kinds, "KINDS", dict(kinds.KINDS))
    yield tmp_path
    sys.modules.pop("greet_server_plugin", None)


def test_an_installed_plugin_joins_and_a_broken_one_is_said(site, caplog):
    with caplog.at_level(logging.INFO):
        assert install_executors() == ["greet"]
    assert kinds.kind_named("greet").permission == "exec.run"
    assert "no_such_module_at_all" in caplog.text
    assert "expected an ExecutorKind named 'other'" in caplog.text

"""The public names of the client, and that a node never loads it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import corral
import corral.sdk


def test_all_is_sorted_and_every_name_is_there() -> None:
    assert corral.sdk.__all__ == sorted(corral.sdk.__all__)
    for name in corral.sdk.__all__:
        assert getattr(corral.sdk, name) is not None


def test_connect_is_reachable_from_the_package() -> None:
    assert corral.connect is corral.sdk.connect
    assert corral.connect_sync is corral.sdk.connect_sync


def test_other_names_do_not_exist() -> None:
    with pytest.raises(AttributeError):
        _ = corral.conect
    with pytest.raises(AttributeError):
        _ = corral.sdk.nothing


def test_importing_the_package_loads_no_client() -> None:
    code = "import sys, corral; print([m for m in sys.modules if m.startswith(('corral.', 'h11', 'asyncio'))])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert out.stdout.strip() == "[]"

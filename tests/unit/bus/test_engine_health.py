"""When the engine may be started again after its disk was full."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corral.bus import engine_health

MIB = 1 << 20


@pytest.mark.parametrize(
    ("size_mib", "free_mib", "enough"),
    [(100_000, 63, False), (100_000, 64, True), (48, 4, False), (48, 5, True), (48, 40, True), (640, 63, False)],
)
def test_a_small_disk_has_space_when_a_tenth_of_it_is_free(
    monkeypatch: pytest.MonkeyPatch, size_mib: int, free_mib: int, enough: bool
) -> None:
    block = 4096
    found = os.statvfs_result((block, block, size_mib * MIB // block, 0, free_mib * MIB // block, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _directory: found)
    assert engine_health.has_space(Path("/")) is enough

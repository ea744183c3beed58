"""The executors that ship with Corral. A third party's come by entry point (group `corral.executors`) instead."""

from __future__ import annotations

import importlib
from typing import Final

from corral.domain.executors.contract import ExecutorKind
from corral.domain.executors.names import BUILT_IN_NAMES

BUILT_IN: Final[tuple[ExecutorKind, ...]] = tuple(
    importlib.import_module(f"corral.domain.executors.{name}").KIND for name in BUILT_IN_NAMES
)
ENTRY_POINTS: Final = "corral.executors"
"""name = the kind, value = `module:KIND`, an ExecutorKind."""

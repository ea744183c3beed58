"""Corral runs a fleet of Linux machines. See docs/architecture.md for the walk of one command through these files."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`corral.connect` and `corral.connect_sync`, loaded when first used: a node never imports the client."""
    if name not in ("connect", "connect_sync"):
        raise AttributeError(f"module 'corral' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("corral.sdk"), name)

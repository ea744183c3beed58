"""The server's own functions (corral.server.operate), loaded when a verb needs them: only on a machine that has `corral[server]`."""

from __future__ import annotations

import importlib
from typing import Any

from corral.domain.errors import Unsupported


def operate(name: str) -> Any:
    """The module corral.server.operate.<name>. Raises Unsupported where the server is not installed."""
    try:
        return importlib.import_module(f"corral.server.operate.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("corral"):
            raise
        raise Unsupported(
            f"cannot do this here: {error.name!r} is not installed",
            element=error.name,
            hint="pip install 'corral[server]'",
        ) from None

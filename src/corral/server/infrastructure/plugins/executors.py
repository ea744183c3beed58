"""Kinds of task that others wrote: every entry point of group `corral.executors` in this server's environment."""

from __future__ import annotations

import logging
from importlib import metadata

from corral.domain import kinds
from corral.domain.errors import CorralError, Invalid
from corral.domain.executors.contract import ExecutorKind
from corral.domain.executors.registry import ENTRY_POINTS

log = logging.getLogger("corral.plugins")


def install_executors() -> list[str]:
    """Make them known to this process; returns their names. One that cannot be loaded is said and left out: the rest goes on."""
    installed = []
    for point in metadata.entry_points(group=ENTRY_POINTS):
        try:
            kind = point.load()
            if not isinstance(kind, ExecutorKind) or kind.name != point.name:
                raise Invalid(f"expected an ExecutorKind named {point.name!r}, got {kind!r:.80}")
            kinds.install([kind])
        except (ImportError, AttributeError, CorralError) as error:
            log.error("Cannot load plugin %s: %s", point.value, error, extra={"action": "plugin"})
            continue
        installed.append(point.name)
    if installed:
        log.info("Plugins bring the kinds %s", ", ".join(installed), extra={"action": "plugin"})
    return installed

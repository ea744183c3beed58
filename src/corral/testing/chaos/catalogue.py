"""Which faults there are: every module of `faults` with a FAULT, in the order of the catalogue."""

from __future__ import annotations

import importlib
import pkgutil

from corral.testing.chaos import faults
from corral.testing.chaos.ground import Fault


def _found() -> tuple[Fault, ...]:
    names = sorted(module.name for module in pkgutil.iter_modules(faults.__path__))
    modules = [importlib.import_module(f"{faults.__name__}.{name}") for name in names]
    return tuple(module.FAULT for module in modules if hasattr(module, "FAULT"))


FAULTS: tuple[Fault, ...] = _found()

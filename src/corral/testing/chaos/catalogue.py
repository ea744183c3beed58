"""Which faults there are: every module of `faults` with a FAULT, in the order of the catalogue."""

from __future__ import annotations

import importlib
import pkgutil

from corral.testing.chaos import faults
from corral.testing.chaos.ground import Fault


def _found() -> tuple[Fault, ...]:
    names = sorted(module.name for module in pkgutil.iter_modules(faults.__path__) if module.name.startswith("f"))
    return tuple(importlib.import_module(f"{faults.__name__}.{name}").FAULT for name in names)


FAULTS: tuple[Fault, ...] = _found()

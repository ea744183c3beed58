"""`python -m corral.agent.executors <kind>`: finds the executor of a kind and becomes it. `--list` names the kinds there are."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from corral.domain.executors.contract import EXIT_NO_DRIVER
from corral.domain.executors.names import BUILT_IN_NAMES

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


def main(words: list[str]) -> None:
    if words[:1] == ["--list"]:
        for name in sorted({*BUILT_IN_NAMES, *(point.name for point in _plugins())}):
            sys.stdout.write(f"{name}\n")
        return
    if not words:
        sys.exit("usage: python -m corral.agent.executors KIND [--schema]")
    kind, sys.argv[1:] = words[0], words[1:]
    runpy.run_module(_module(kind), run_name="__main__", alter_sys=True)


def _module(kind: str) -> str:
    if kind in BUILT_IN_NAMES:
        return f"corral.agent.executors.{kind}"
    for point in (point for point in _plugins() if point.name == kind):
        try:
            return str(point.load().module)
        except (ImportError, AttributeError) as error:
            _missing(f"cannot run kind {kind!r}: its plugin {point.value!r} cannot be loaded: {error}")
    _missing(f"cannot run kind {kind!r}: this node has no executor for it")


def _plugins() -> Sequence[EntryPoint]:
    # imported here: the built-in kinds start without it, and without each other
    from importlib import metadata

    from corral.domain.executors.registry import ENTRY_POINTS

    return list(metadata.entry_points(group=ENTRY_POINTS))


def _missing(message: str) -> NoReturn:
    sys.stderr.write(
        f"{message}\nhint: install its plugin for {sys.executable}, or set agent.executors_python to the Python that has it\n"
    )
    sys.exit(EXIT_NO_DRIVER)


if __name__ == "__main__":
    main(sys.argv[1:])
